"""`pellucid/digits` tells digits it never saw, from a file on the command line too, and any tool opens it."""

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pellucid import LLM, load_model
from pellucid.cli import app
from pellucid.models.hub import bundled_models
from recipes.digits_data import digits

pytest.importorskip("sklearn")
NAME = "pellucid/digits"


@pytest.fixture(scope="module")
def unseen():
    return digits(choosing=False)[1]


def test_it_tells_digits_that_it_never_saw(unseen):
    pictures, labels = (part[:60] for part in unseen)
    said = LLM(NAME).classify([Image.fromarray(picture) for picture in pictures])
    right = sum(output.outputs.label == str(label) for output, label in zip(said, labels, strict=True))
    assert right >= 57


def test_a_larger_picture_in_a_file_is_classified_from_the_command_line(unseen, tmp_path):
    pictures, labels = unseen
    Image.fromarray(pictures[0]).resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / "digit.png")
    result = CliRunner().invoke(app, ["classify", str(tmp_path / "digit.png"), "-m", NAME])
    assert result.exit_code == 0, result.output
    assert str(labels[0]) in result.output


def test_it_is_tiny_and_has_its_card():
    folder = bundled_models()[NAME]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 2 * 2**20
    card = (folder / "README.md").read_text()
    assert "MNIST" in card and "CC BY 4.0" in card and "What it cannot do" in card


@torch.no_grad()
def test_transformers_opens_it(unseen):
    transformers = pytest.importorskip("transformers")
    folder = bundled_models()[NAME]
    theirs = transformers.ViTForImageClassification.from_pretrained(folder)
    pixels = torch.from_numpy(unseen[0][:5].astype(np.float32)).unsqueeze(1) / 127.5 - 1
    expected = theirs(pixel_values=pixels).logits
    torch.testing.assert_close(load_model(NAME).logits(pixel_values=pixels), expected, rtol=1e-4, atol=1e-4)
    assert theirs.config.id2label[7] == "7"
