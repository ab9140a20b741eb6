"""Encoders equal the published ones: outputs of every head, hidden states and attention, packed or alone."""

import pytest
import torch
import transformers
from parity import random_models
from parity.encoder_cases import CASES, SMALL

from pellucid.kernels import reference, torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.loading import load_model

LENGTHS = (7, 30, 1, 30, 12)


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{len(case[1])}")
def pair(request, tmp_path):
    published = random_models.make(getattr(transformers, request.param[0]), request.param[1])
    if not request.param[1].get("tie_word_embeddings", True):  # one bias under two names in real checkpoints
        published.cls.predictions.bias.data.copy_(published.cls.predictions.decoder.bias)
    return published, load_model(random_models.save(published, tmp_path), dtype="float32", device="cpu")


def published_answer(model, ids_T: torch.Tensor, **more) -> torch.Tensor:
    answer = model(input_ids=ids_T[None], **more)
    name = next(n for n in ("logits", "prediction_logits", "last_hidden_state") if n in answer)
    return answer[name][0] if answer[name].dim() == 3 else answer[name]


@torch.no_grad()
def test_one_sequence(pair) -> None:
    published, ours = pair
    ids_T = random_models.ids(30, 60)
    torch.testing.assert_close(ours.logits(ids_T), published_answer(published, ids_T), atol=1e-4, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kernels", [reference, torch_ops], ids=["reference", "torch_ops"])
def test_packed_sequences_give_what_each_gives_alone(pair, kernels) -> None:
    published, ours = pair
    sequences = [random_models.ids(n, 60, seed=n) for n in LENGTHS]
    packed = ours(torch.cat(sequences), DenseContext(LENGTHS, kernels))
    alone = [published_answer(published, ids_T) for ids_T in sequences]
    torch.testing.assert_close(packed, torch.cat(alone), atol=1e-4, rtol=0)


@torch.no_grad()
def test_two_kinds_of_segment(tmp_path) -> None:
    published = random_models.make(transformers.BertForSequenceClassification, SMALL)
    ours = load_model(random_models.save(published, tmp_path), dtype="float32", device="cpu")
    ids_T, types_T = random_models.ids(12, 60), torch.tensor([0] * 5 + [1] * 7)
    expected = published_answer(published, ids_T, token_type_ids=types_T[None])
    torch.testing.assert_close(ours.logits(ids_T, types_T), expected, atol=1e-4, rtol=0)
    assert not torch.allclose(ours.logits(ids_T), expected, atol=1e-2)


class Watching(DenseContext):
    """Keeps what modules name."""

    def __init__(self, lengths) -> None:
        super().__init__(lengths, reference)
        self.seen: dict[str, torch.Tensor] = {}

    def tap(self, module, name, tensor):
        self.seen[f"{module.name}.{name}"] = tensor
        return tensor


@torch.no_grad()
@pytest.mark.parametrize("case", [CASES[1], CASES[15]], ids=["bert", "modernbert"])
def test_attention_and_hidden_states(case, tmp_path) -> None:
    published = random_models.make(getattr(transformers, case[0]), case[1])
    ours = load_model(random_models.save(published, tmp_path), dtype="float32", device="cpu")
    ids_T, ctx = random_models.ids(20, 60), Watching([20])
    ours(ids_T, ctx)
    expected = published(input_ids=ids_T[None], output_attentions=True, output_hidden_states=True)
    for layer, attention in enumerate(ours.attentions):
        q, k = (ctx.seen[f"blocks.{layer}.attn.{part}"] for part in "qk")
        pattern_HQL = reference.attention_pattern(q, k, attention.spec)
        torch.testing.assert_close(pattern_HQL, expected.attentions[layer][0], atol=1e-4, rtol=0)
        stream_TD = ctx.seen[f"blocks.{layer}.resid_pre"]
        torch.testing.assert_close(stream_TD, expected.hidden_states[layer][0], atol=1e-4, rtol=0)


def test_older_names_of_norms_are_read(tmp_path) -> None:
    from safetensors.torch import load_file, save_file

    published = random_models.make(transformers.BertForMaskedLM, SMALL)
    file = random_models.save(published, tmp_path) / "model.safetensors"
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(file).items()
    }
    save_file(older, file, metadata={"format": "pt"})
    ids_T = random_models.ids(9, 60)
    ours = load_model(tmp_path, dtype="float32", device="cpu")
    torch.testing.assert_close(ours.logits(ids_T), published_answer(published, ids_T), atol=1e-4, rtol=0)
