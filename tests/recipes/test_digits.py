"""`pellucid train digits`: the split that is promised, pictures as they are classified, a checkpoint that opens."""

import gzip

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid import LLM
from pellucid.cli import recipes

pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def recipe():
    from importlib import import_module

    return import_module("recipes.digits_data")


def test_the_parts_are_those_that_are_promised(recipe):
    (pictures, _), (rest, rest_labels) = recipe.digits(choosing=False)
    assert len(pictures) == 1437 and len(rest) == 360
    assert np.bincount(rest_labels).min() >= 35
    assert pictures.dtype == np.uint8 and pictures.max() == 255
    (fewer, _), (chosen, _) = recipe.digits(choosing=True)
    assert len(fewer) + len(chosen) == 1437
    assert {p.tobytes() for p in chosen} <= {p.tobytes() for p in pictures}


def test_pictures_move_the_same_way_at_the_same_step_and_stay_pictures(recipe):
    pixels = torch.full((4, 1, 8, 8), -1.0)
    pixels[:, :, 3:5, 3:5] = 1.0
    source = recipe.Moved(pixels, torch.arange(4), per_step=6, tokens=17, seed=0)
    (one,), (again,), (other,) = source.parts(3, 1), source.parts(3, 1), source.parts(4, 1)
    assert torch.equal(one.inputs, again.inputs) and not torch.equal(one.inputs, other.inputs)
    assert one.inputs.min() >= -1.0001 and one.inputs.max() <= 1.0001
    assert one.lengths == (17,) * 6
    halves = source.parts(3, 2)
    assert torch.equal(torch.cat([h.labels_N for h in halves]).sort()[0], one.labels_N.sort()[0])


def test_it_ends_in_a_checkpoint_that_classifies(tmp_path, capsys):
    mnist = tmp_path / "mnist"
    mnist.mkdir()
    image = np.zeros((2, 28, 28), np.uint8)
    (mnist / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(16) + image.tobytes()))
    (mnist / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(8) + bytes([3, 7])))
    recipes.run_recipe(
        "digits", ["--steps", "2", "--seeds", "1", "--folder", str(tmp_path / "run"), "--mnist", str(mnist)]
    )
    said = capsys.readouterr().out
    assert "of 360 digits it never saw" in said and "MNIST" in said
    folder = tmp_path / "run" / "seed-0" / "model"
    assert "CC BY 4.0" in (folder / "README.md").read_text()
    (output,) = LLM(folder).classify(Image.new("L", (20, 20)))
    assert output.outputs.label in map(str, range(10))
