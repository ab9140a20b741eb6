"""Classes of pictures: the published scores for files, bytes and images, one or many."""

import json

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from pellucid.errors import ConfigError, RequestError
from pellucid.models.loading import load_model
from pellucid.tasks.tasks import Tasks

NAMES = {0: "cat", 1: "dog", 2: "teapot"}


def make_folder(folder, model_class="ViTForImageClassification", processor="ViTImageProcessorPil"):
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32,
        patch_size=8, id2label=NAMES,
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, model_class)(config).eval()
    model.save_pretrained(folder)
    processing = getattr(transformers, processor)(size={"height": 32, "width": 32})
    processing.save_pretrained(folder)
    return model, processing


def open_tasks(folder) -> Tasks:
    return Tasks(load_model(folder, dtype="float32", device="cpu"), None, folder, str(folder))


def picture(seed: int, width: int = 50, height: int = 40) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


@torch.no_grad()
def test_files_and_images_of_any_size(tmp_path) -> None:
    published, processing = make_folder(tmp_path)
    images = [picture(i, 20 + 3 * i, 60 - 2 * i) for i in range(20)]
    images[1].save(tmp_path / "one.png")
    given = [images[0], tmp_path / "one.png", *images[2:]]
    outputs = open_tasks(tmp_path).classify(given)
    pixel_values = torch.tensor(np.stack([processing(image)["pixel_values"][0] for image in images]))
    expected = published(pixel_values=pixel_values).logits.softmax(-1)
    torch.testing.assert_close(torch.tensor([o.outputs.probs for o in outputs]), expected, atol=1e-5, rtol=0)
    assert [o.outputs.label for o in outputs] == [NAMES[i] for i in expected.argmax(-1).tolist()]
    assert outputs[1].prompt.endswith("one.png")
    (alone,) = open_tasks(tmp_path).classify(str(tmp_path / "one.png"))
    assert alone.outputs.probs == pytest.approx(outputs[1].outputs.probs, abs=1e-6)


def test_a_model_without_classes_is_refused(tmp_path) -> None:
    make_folder(tmp_path, "ViTModel")
    with pytest.raises(RequestError, match="no head"):
        open_tasks(tmp_path).classify(picture(0))


def test_a_processor_of_another_model_is_refused(tmp_path) -> None:
    make_folder(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"size": {"height": 64, "width": 64}}))
    with pytest.raises(ConfigError, match="another model"):
        open_tasks(tmp_path).classify(picture(0))


def test_words_are_no_task_of_a_vision_model(tmp_path) -> None:
    make_folder(tmp_path)
    with pytest.raises(RequestError, match="no encoder"):
        open_tasks(tmp_path).embedder.embed("a cat")
