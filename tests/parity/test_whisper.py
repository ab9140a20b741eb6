"""Whispers equal the published ones: logits, the encoder's output, attention; configs in both dialects."""

import dataclasses
import json

import pytest
import torch
from parity import random_models
from parity.whisper_cases import CASES, SPOKEN, TINY, features, make, sound
from safetensors.torch import load_file, save_file
from transformers import PreTrainedConfig, WhisperConfig

from pellucid.errors import ConfigError, RequestError, WeightsError
from pellucid.kernels import reference, torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.inspect import inspect
from pellucid.models.loading import load_model
from pellucid.models.published import ARITHMETIC, PublishedConfig
from pellucid.models.registry import FAMILIES, read_config


@pytest.fixture(params=CASES)
def pair(request, tmp_path):
    published = make(CASES[request.param], SPOKEN, tmp_path)
    return published, load_model(tmp_path, dtype="float32", device="cpu")


def heard(published, count: int = 3) -> torch.Tensor:
    """`[N, M, F]`, as the published model takes it."""
    return torch.cat([features(sound(0.3 + 0.1 * i, i), published.config.num_mel_bins) for i in range(count)])


@torch.no_grad()
@pytest.mark.parametrize("kernels", [reference, torch_ops], ids=["reference", "torch_ops"])
def test_logits_alone_and_packed(pair, kernels) -> None:
    published, ours = pair
    x_NMF = heard(published)
    targets = [random_models.ids(n, 120, n) for n in (5, 1, 12)]
    expected = [
        published(input_features=x[None], decoder_input_ids=t[None]).logits[0]
        for x, t in zip(x_NMF, targets, strict=True)
    ]
    for features_of_one in (x_NMF[0], x_NMF[0].T, x_NMF[:1]):
        alone = ours.logits(targets[0], input_features=features_of_one)
        torch.testing.assert_close(alone, expected[0], atol=1e-4, rtol=0)
    source = DenseContext([ours.config.max_source_length] * 3, kernels)
    ours.encode(ours.pack([x.T for x in x_NMF]), source)
    ctx = DenseContext([len(t) for t in targets], kernels, memory=source)
    torch.testing.assert_close(ours(torch.cat(targets), ctx), torch.cat(expected), atol=1e-4, rtol=0)


class Watching(DenseContext):
    """Keeps what modules name."""

    def __init__(self, lengths, memory=None) -> None:
        super().__init__(lengths, reference, memory=memory)
        self.seen: dict[str, torch.Tensor] = {}

    def tap(self, module, name, tensor):
        self.seen[f"{module.name}.{name}"] = tensor
        return tensor


@torch.no_grad()
def test_the_encoders_output_attention_and_cross_attention(pair) -> None:
    published, ours = pair
    x_NMF, ids_T = heard(published, 1), random_models.ids(6, 120)
    expected = published(input_features=x_NMF, decoder_input_ids=ids_T[None], output_attentions=True)
    source = Watching([ours.config.max_source_length])
    memory_SD = ours.encode(ours.pack([x_NMF[0].T]), source)
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
def test_the_head_under_its_own_name_or_the_tables(tmp_path) -> None:
    published = make(CASES["whisper-tied"], SPOKEN, tmp_path)
    x, ids = heard(published, 1)[0], [61, 62, 66]
    expected = load_model(tmp_path, dtype="float32").logits(ids, input_features=x)
    tensors = load_file(tmp_path / "model.safetensors")
    table = tensors.pop("model.decoder.embed_tokens.weight")
    for name in ("proj_out.weight", "decoder.embed_tokens.weight"):
        save_file(
            {**{n.removeprefix("model."): t for n, t in tensors.items()}, name: table},
            tmp_path / "model.safetensors",
        )
        assert torch.equal(load_model(tmp_path, dtype="float32").logits(ids, input_features=x), expected)


def test_what_is_no_source_of_it_is_refused(pair) -> None:
    _, ours = pair
    with pytest.raises(RequestError, match="reads input_features of shape"):
        ours.logits([61], [5, 6, 7])
    with pytest.raises(RequestError, match="reads input_features of shape"):
        ours.logits([61], input_features=torch.zeros(3000, 80))


def test_inspect(tmp_path) -> None:
    make(TINY, SPOKEN, tmp_path)
    found = inspect(open_checkpoint(tmp_path))
    assert (found.problem, found.model_type, found.body) == (None, "whisper", "EncoderDecoder")
    parts = found.parameters
    assert parts["input"] == 3 * 80 * 32 + 32 + 3 * 32 * 32 + 32
    assert parts["embeddings"] == (120 + 40 + 32) * 32


@pytest.mark.parametrize("quantization", ["int8", "int4"])
def test_rounded_weights_are_near(tmp_path, quantization) -> None:
    published = make(TINY, SPOKEN, tmp_path)
    x, ids = heard(published, 1)[0], [61, 62, 66, 5]
    exact = load_model(tmp_path, dtype="float32").logits(ids, input_features=x)
    rounded = load_model(tmp_path, dtype="float32", quantization=quantization).logits(ids, input_features=x)
    assert torch.nn.functional.cosine_similarity(exact, rounded).min() > (
        0.999 if quantization == "int8" else 0.9
    )


def fields(**more):
    return {"model_type": "whisper", **TINY, **more}


def test_silence_means_what_the_published_class_says() -> None:
    _, config = read_config({"model_type": "whisper"})
    assert (config.hidden_size, config.vocab_size, config.max_source_length) == (384, 51865, 1500)
    assert (len(config.encoder.blocks), config.decoder.blocks[0].attention.spec.num_heads) == (4, 6)
    _, nulls = read_config({"model_type": "whisper", "encoder_layers": None, "d_model": None})
    assert nulls == config


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("quantization_config", {"quant_method": "gptq"}), ("position_embedding_type", "relative_key"), ("add_cross_attention", True),
        ("rope_theta", 10000.0), ("sliding_window", 64), ("activation_function", "laplace"), ("num_mel_bins", 0), ("d_model", 33),
        ("is_decoder", True), ("use_weighted_layer_sum", True),
    ],
)  # fmt: skip
def test_a_field_that_changes_the_arithmetic_is_refused_by_name(name, value) -> None:
    with pytest.raises(ConfigError, match=name if name != "d_model" else "hidden size 33"):
        read_config(fields(**{name: value}))


# What the published class has beside: training, writing and word times.
NO_ARITHMETIC = {
    "activation_dropout", "apply_spec_augment", "attention_dropout", "begin_suppress_tokens", "classifier_proj_size", "decoder_layerdrop",
    "dropout", "encoder_layerdrop", "init_std", "mask_feature_length", "mask_feature_min_masks", "mask_feature_prob", "mask_time_length",
    "mask_time_min_masks", "mask_time_prob", "median_filter_width", "scale_embedding", "suppress_tokens", "use_cache",
}  # fmt: skip


def test_every_field_of_the_published_class_is_accounted_for() -> None:
    published = PublishedConfig(WhisperConfig(**TINY).to_dict(), "config.json")
    FAMILIES["whisper"].read_config(published)
    general = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    own = {field.name for field in dataclasses.fields(WhisperConfig)} - general
    assert own - published.read - ARITHMETIC.keys() - NO_ARITHMETIC == set()


def test_a_checkpoint_for_another_head_is_refused(tmp_path) -> None:
    make(TINY, SPOKEN, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    save_file({**tensors, "classifier.weight": torch.zeros(3, 4)}, tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"classifier\.weight"):
        load_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "encoder_layers": 3}))
    with pytest.raises(WeightsError):
        load_model(tmp_path)
