"""Encoder-decoders equal the published ones: logits, the encoder's output, attention and cross-attention."""

import json

import pytest
import torch
import transformers
from parity import random_models
from parity.encoder_decoder_cases import CASES
from safetensors.torch import load_file, save_file

from pellucid.kernels import reference, torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.loading import load_model

SOURCES, TARGETS = (9, 30, 1, 30, 17), (3, 12, 12, 1, 7)


def make(name: str, folder):
    class_name, fields = CASES[name]
    published = random_models.make(getattr(transformers, class_name), fields)
    if not fields.get("tie_word_embeddings", True):
        published.lm_head.weight = torch.nn.Parameter(torch.randn_like(published.lm_head.weight) / 5)
    if "final_logits_bias" in dict(published.named_buffers()):
        torch.nn.init.normal_(published.final_logits_bias)
    return published, load_model(random_models.save(published, folder), dtype="float32", device="cpu")


@pytest.fixture(params=CASES)
def pair(request, tmp_path):
    return make(request.param, tmp_path)


def texts(ours, seed: int = 0):
    start = torch.tensor([ours.config.decoder_start_token_id])
    sources = [random_models.ids(n, 49, seed + n) for n in SOURCES]
    return sources, [torch.cat([start, random_models.ids(n, 49, seed + 7 * n)]) for n in TARGETS]


@torch.no_grad()
@pytest.mark.parametrize("kernels", [reference, torch_ops], ids=["reference", "torch_ops"])
def test_logits_alone_and_packed(pair, kernels) -> None:
    published, ours = pair
    sources, targets = texts(ours)
    expected = [
        published(input_ids=s[None], decoder_input_ids=t[None]).logits[0]
        for s, t in zip(sources, targets, strict=True)
    ]
    alone = ours.logits(targets[1], encoder_ids=sources[1])
    torch.testing.assert_close(alone, expected[1], atol=1e-4, rtol=0)
    source_ctx = DenseContext([len(s) for s in sources], kernels)
    ours.encode(torch.cat(sources), source_ctx)
    ctx = DenseContext([len(t) for t in targets], kernels, memory=source_ctx)
    packed = ours(torch.cat(targets), ctx)
    torch.testing.assert_close(packed, torch.cat(expected), atol=1e-4, rtol=0)


class Watching(DenseContext):
    """Keeps what modules name."""

    def __init__(self, lengths, memory=None) -> None:
        super().__init__(lengths, reference, memory=memory)
        self.seen: dict[str, torch.Tensor] = {}

    def tap(self, module, name, tensor):
        self.seen[f"{module.name}.{name}"] = tensor
        return tensor


@torch.no_grad()
@pytest.mark.parametrize("name", ["t5", "bart"])
def test_attention_and_cross_attention(name, tmp_path) -> None:
    published, ours = make(name, tmp_path)
    ids_S, ids_T = random_models.ids(14, 49), random_models.ids(6, 49)
    expected = published(input_ids=ids_S[None], decoder_input_ids=ids_T[None], output_attentions=True)
    source = Watching([14])
    memory_SD = ours.encode(ids_S, source)
    torch.testing.assert_close(memory_SD, expected.encoder_last_hidden_state[0], atol=1e-4, rtol=0)
    target = Watching([6], memory=source)
    ours(ids_T, target)
    for modules, queries, keys, patterns in (
        (ours.encoder_attentions, source, source, expected.encoder_attentions),
        (ours.attentions, target, target, expected.decoder_attentions),
        (ours.cross_attentions, target, source, expected.cross_attentions),
    ):
        for module, pattern in zip(modules, patterns, strict=True):
            q, k = queries.seen[f"{module.name}.q"], keys.seen[f"{module.name}.k"]
            ours_HQL = reference.attention_pattern(q, k, module.spec, module.bias_table())
            torch.testing.assert_close(ours_HQL, pattern[0], atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_table_under_its_other_names_is_found(tmp_path) -> None:
    published, _ = make("bart", tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors["model.decoder.embed_tokens.weight"] = tensors.pop("model.shared.weight")
    del tensors["final_logits_bias"]  # as in checkpoints of the bare model
    published.final_logits_bias.zero_()
    save_file(tensors, file, metadata={"format": "pt"})
    ids_S, ids_T = random_models.ids(9, 49), random_models.ids(4, 49)
    ours = load_model(tmp_path, dtype="float32", device="cpu").logits(ids_T, encoder_ids=ids_S)
    expected = published(input_ids=ids_S[None], decoder_input_ids=ids_T[None]).logits[0]
    torch.testing.assert_close(ours, expected, atol=1e-4, rtol=0)


def test_both_dialects_of_t5_1_1_are_one(tmp_path) -> None:
    """Older configs say that the head is untied; newer ones say that it is, and that it is not scaled."""
    _, newer = make("t5-1.1", tmp_path)
    fields = json.loads((tmp_path / "config.json").read_text())
    assert fields.pop("scale_decoder_outputs") is False
    (tmp_path / "config.json").write_text(json.dumps(fields | {"tie_word_embeddings": False}))
    older = load_model(tmp_path, dtype="float32", device="cpu")
    assert older.config == newer.config
    assert not older.config.tie_word_embeddings
