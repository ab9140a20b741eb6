"""Vision models equal the published ones: classes, hidden states, attention, alone and several at once."""

from typing import Any

import pytest
import torch
import transformers
from parity import random_models
from parity.encoder_cases import VIT

from pellucid.errors import RequestError
from pellucid.kernels import reference, torch_ops
from pellucid.models.loading import load_model

CASES: list[tuple[str, dict[str, Any]]] = [
    ("ViTForImageClassification", {**VIT, "num_labels": 5}),
    ("ViTForImageClassification", {**VIT, "num_channels": 1, "image_size": [16, 24], "patch_size": [8, 4], "qkv_bias": False}),
    ("ViTModel", {**VIT, "layer_norm_eps": 1e-6, "hidden_act": "gelu_pytorch_tanh"}),
    ("DeiTForImageClassification", {**VIT, "num_labels": 4}),
    ("DeiTForImageClassificationWithTeacher", {**VIT, "num_labels": 4, "patch_size": 16}),
]  # fmt: skip


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{len(case[1])}")
def pair(request, tmp_path):
    published = random_models.make(getattr(transformers, request.param[0]), request.param[1])
    for name, parameter in published.named_parameters():
        if "token" in name or "position" in name:
            torch.nn.init.normal_(parameter)
    return published, load_model(random_models.save(published, tmp_path), dtype="float32", device="cpu")


def pictures(ours, count: int) -> torch.Tensor:
    shape = ours.config.input
    return torch.randn(count, shape.channels, *shape.image_size, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_answers(pair) -> None:
    published, ours = pair
    pixels = pictures(ours, 3)
    answer = published(pixel_values=pixels)
    expected = answer.logits if "logits" in answer else answer.last_hidden_state.flatten(0, 1)
    torch.testing.assert_close(ours.logits(pixel_values=pixels), expected, atol=1e-4, rtol=0)
    fast = ours(pixels, ours.context(3, torch_ops))
    torch.testing.assert_close(fast, expected, atol=1e-4, rtol=0)
    first = ours.logits(pixel_values=pixels[0])
    torch.testing.assert_close(first, expected[: len(expected) // 3].view_as(first), atol=1e-4, rtol=0)


@torch.no_grad()
def test_attention(pair) -> None:
    published, ours = pair
    pixels = pictures(ours, 1)
    expected = published(pixel_values=pixels, output_attentions=True).attentions
    seen = {}

    class Watching(type(ours.context(1, reference))):
        def tap(self, module, name, tensor):
            seen[f"{module.name}.{name}"] = tensor
            return tensor

    ours(pixels, Watching([ours.config.input.num_tokens], reference))
    for module, pattern in zip(ours.attentions, expected, strict=True):
        q, k = seen[f"{module.name}.q"], seen[f"{module.name}.k"]
        pattern_HQL = reference.attention_pattern(q, k, module.spec)
        torch.testing.assert_close(pattern_HQL, pattern[0], atol=1e-4, rtol=0)


def test_a_picture_of_another_shape_is_refused(pair) -> None:
    _, ours = pair
    with pytest.raises(RequestError, match="pixel_values"):
        ours.logits(pixel_values=torch.zeros(3, 40, 40))
