"""`LLM.trace` of every body: maps and streams equal the published ones, the answer is the untraced one."""

import json
import re
from typing import Any

import pytest
import torch
import transformers
from parity import random_models, whisper_cases
from parity.encoder_cases import DISTIL, MODERN, SMALL, VIT
from parity.encoder_decoder_cases import CASES as TRANSLATORS
from PIL import Image
from safetensors.torch import save_file

from pellucid import LLM, RequestError, SamplingParams
from pellucid.models.registry import read_config
from pellucid.models.transformer import BASE
from pellucid.models.weights import targets

ENCODERS: list[tuple[str, dict[str, Any]]] = [
    ("BertForMaskedLM", SMALL),
    ("BertForSequenceClassification", {**SMALL, "num_labels": 3, "num_attention_heads": 2}),
    ("RobertaForMaskedLM", {**SMALL, "pad_token_id": 1}),
    ("RobertaForTokenClassification", {**SMALL, "pad_token_id": 3, "num_labels": 4}),
    ("DistilBertForMaskedLM", DISTIL),
    ("DistilBertModel", {**DISTIL, "n_heads": 2}),
    ("ModernBertForMaskedLM", {**MODERN, "local_attention": 8}),
    ("ModernBertForSequenceClassification", {**MODERN, "local_attention": 6, "global_attn_every_n_layers": 2}),
]  # fmt: skip
IDS = random_models.ids(24, 60)


def published_shapes(fields: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Published tensor name to shape, of a body that such a config describes."""
    family, config = read_config(fields)
    with torch.device("meta"):
        body = family.build(config)
    parameters = dict(body.named_parameters())
    return {
        name: (target.stop - target.start, *parameters[target.parameter].shape[1:])
        for name, target in targets(body, family).items()
    }


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def maps_equal(map_of, published, num_layers: int) -> None:
    assert len(published) == num_layers
    for layer, maps_1HTS in enumerate(published):
        for head, map_TS in enumerate(maps_1HTS[0]):
            close(map_of(layer, head), map_TS)


def opened(name: str, fields: dict[str, Any], folder):
    published = random_models.make(getattr(transformers, name), fields)
    random_models.save(published, folder)
    return published, LLM(
        folder, dtype="float32", device="cpu", skip_tokenizer_init=True, num_gpu_blocks_override=64
    )


@pytest.mark.parametrize("case", ENCODERS, ids=lambda case: f"{case[0]}-{len(case[1])}")
def test_encoders(case, tmp_path) -> None:
    published, llm = opened(*case, tmp_path)
    with torch.no_grad():
        said = published(input_ids=IDS[None], output_attentions=True, output_hidden_states=True)
    trace = llm.trace({"prompt_token_ids": IDS.tolist()})
    maps_equal(trace.attention, said.attentions, trace.num_layers)
    for layer in range(trace.num_layers):
        close(trace[f"blocks.{layer}.resid_pre"], said.hidden_states[layer][0])
        assert trace.attention_error(layer) < 1e-5
    close(trace.attention(1, 1, rows=[20, 3]), trace.attention(1, 1)[[20, 3]])
    close(trace["blocks.1.attn.pattern"][1], trace.attention(1, 1))
    assert bool(trace.attention(0, 0).triu(1).any()), "no causal triangle"
    close(trace.output, llm.model.logits(IDS))
    if not trace.has_head:
        with pytest.raises(RequestError, match="without a head"):
            trace.logits()
        return
    close(trace.logits(), said.logits[0] if said.logits.dim() == 3 else said.logits)
    lens = trace.logit_lens(top=2)
    assert torch.equal(lens.ids_LTN[-1, :, 0], trace.logits().argmax(-1))
    assert lens.ids_LTN.shape[:2] == (trace.num_layers, len(trace.logits()))


@pytest.fixture(scope="module", params=list(TRANSLATORS))
def translator(request, tmp_path_factory):
    name, fields = TRANSLATORS[request.param]
    return opened(name, fields, tmp_path_factory.mktemp("translator"))


def test_encoder_decoders(translator) -> None:
    published, llm = translator
    source = {"prompt_token_ids": random_models.ids(17, 49).tolist()}
    params = SamplingParams(temperature=0, max_tokens=7, ignore_eos=True)
    trace = llm.trace(source, sampling_params=params)
    (untraced,) = llm.generate(source, params)
    begun = [llm.config.decoder_start_token_id]
    assert trace.token_ids[trace.prompt_length :] == untraced.outputs[0].token_ids
    assert trace.token_ids[:1] == begun and len(trace.encoder) == 17
    ids_T = torch.tensor([trace.token_ids[: len(trace)]])
    with torch.no_grad():
        said = published(
            input_ids=torch.tensor([source["prompt_token_ids"]]),
            decoder_input_ids=ids_T,
            output_attentions=True,
            output_hidden_states=True,
        )
    maps_equal(trace.attention, said.decoder_attentions, trace.num_layers)
    maps_equal(trace.cross_attention, said.cross_attentions, trace.num_layers)
    maps_equal(trace.encoder.attention, said.encoder_attentions, trace.encoder.num_layers)
    for stack, hidden in ((trace, said.decoder_hidden_states), (trace.encoder, said.encoder_hidden_states)):
        for layer in range(stack.num_layers):
            close(stack[f"blocks.{layer}.resid_pre"], hidden[layer][0])
            assert stack.attention_error(layer) < 1e-5
    assert all(trace.cross_attention_error(layer) < 1e-5 for layer in range(trace.num_layers))
    close(trace.logits(), said.logits[0])
    close(trace.cross_attention(0, 1, rows=[5]), trace.cross_attention(0, 1)[[5]])
    assert trace["blocks.0.cross_attn.pattern"].shape == (trace.num_heads, len(trace), 17)
    assert trace.logit_lens(rows=[2]).ids_LTN[-1, 0, 0] == said.logits[0, 2].argmax()


def test_the_original_transformer(tmp_path) -> None:
    """It has no other implementation to be held to; the run's own kernel is."""
    fields = BASE | {
        "vocab_size": 40,
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24,
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    drawn = torch.Generator().manual_seed(0)
    shapes = published_shapes(fields)
    weights = {name: torch.randn(shape, generator=drawn) / 3 for name, shape in shapes.items()}
    save_file(weights, tmp_path / "model.safetensors")
    llm = LLM(tmp_path, device="cpu", skip_tokenizer_init=True, num_gpu_blocks_override=64)
    trace = llm.trace({"prompt_token_ids": [5, 9, 7, 3]}, max_tokens=6)
    assert trace.encoder.num_layers == 2 and trace.num_layers == 6
    for layer in range(6):
        assert max(trace.attention_error(layer), trace.cross_attention_error(layer)) < 1e-4
        close(trace.cross_attention(layer, 7).sum(-1), torch.ones(len(trace)))
    close(trace.logits(), llm.model.logits(trace.token_ids[: len(trace)], encoder_ids=[5, 9, 7, 3]))


@pytest.mark.parametrize("case", ["whisper", "whisper-uneven"])
def test_a_recording(case, tmp_path) -> None:
    published = whisper_cases.make(whisper_cases.CASES[case], whisper_cases.SPOKEN, tmp_path)
    llm = LLM(tmp_path, dtype="float32", device="cpu", skip_tokenizer_init=True, num_gpu_blocks_override=64)
    heard, begin = whisper_cases.sound(0.4), [61, 62, 66, 70]
    prompt = {"audio": (heard, whisper_cases.SECOND), "prompt_token_ids": begin}
    trace = llm.trace(prompt, max_tokens=5)
    (untraced,) = llm.generate(prompt, SamplingParams(temperature=0, max_tokens=5))
    assert trace.token_ids == begin + untraced.outputs[0].token_ids
    ids_T = torch.tensor([trace.token_ids[: len(trace)]])
    features = whisper_cases.features(heard, published.config.num_mel_bins)
    with torch.no_grad():
        said = published(input_features=features, decoder_input_ids=ids_T, output_attentions=True)
    maps_equal(trace.attention, said.decoder_attentions, trace.num_layers)
    maps_equal(trace.cross_attention, said.cross_attentions, trace.num_layers)
    maps_equal(trace.encoder.attention, said.encoder_attentions, trace.encoder.num_layers)
    assert len(trace.encoder) == len(trace.encoder.tokens) == whisper_cases.WINDOW // 2


def test_a_translation_is_traced_among_others_and_disturbs_none(translator) -> None:
    """The watched request's rows are its own, whatever shares its steps and its encoder's pass."""
    _, llm = translator
    params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
    prompts = [{"prompt_token_ids": random_models.ids(n, 49, n).tolist()} for n in (9, 17, 4)]
    alone = [output.outputs[0].token_ids for output in llm.generate(prompts, params)]
    expected = llm.trace(prompts[1], sampling_params=params)
    others = [llm.stream(prompts[i], params) for i in (0, 2)]
    trace = llm.trace(prompts[1], sampling_params=params)
    assert [list(pieces)[-1].output.outputs[0].token_ids for pieces in others] == [alone[0], alone[2]]
    assert trace.token_ids == expected.token_ids
    close(trace.cross_attention(0, 0), expected.cross_attention(0, 0))
    close(trace.encoder["blocks.0.attn.k"], expected.encoder["blocks.0.attn.k"])


def test_a_cache_of_8_bits_keeps_both_sides_and_shows_what_it_keeps(translator) -> None:
    _, exact = translator
    llm = LLM(exact.folder, device="cpu", kv_cache_dtype="int8", skip_tokenizer_init=True)
    params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
    prompts = [{"prompt_token_ids": random_models.ids(n, 49, n).tolist()} for n in (9, 17, 4)]
    together = [output.outputs[0].token_ids for output in llm.generate(prompts, params)]
    for prompt, expected in zip(prompts, together, strict=True):
        trace, other = (each.trace(prompt, sampling_params=params) for each in (llm, exact))
        assert trace.token_ids[trace.prompt_length :] == expected
        for layer in range(trace.num_layers):
            assert max(trace.attention_error(layer), trace.cross_attention_error(layer)) < 1e-4
        kept, before = trace["blocks.0.cross_attn.k"], other["blocks.0.cross_attn.k"]
        assert 0 < (kept - before).abs().max() <= 0.51 / 127 * before.abs().max()
        close(trace.encoder["blocks.0.attn.k"], other.encoder["blocks.0.attn.k"])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ViTForImageClassification", {**VIT, "num_labels": 5}),
        ("ViTForImageClassification", {**VIT, "num_labels": 3, "image_size": 48, "patch_size": 16}),
        ("ViTModel", VIT),
        ("DeiTForImageClassification", {**VIT, "num_labels": 4}),
        ("DeiTForImageClassificationWithTeacher", {**VIT, "num_labels": 4, "patch_size": 16}),
    ],
)
def test_pictures(name, fields, tmp_path) -> None:
    published, llm = opened(name, fields, tmp_path)
    side = fields["image_size"]
    transformers.ViTImageProcessorPil(size={"height": side, "width": side}).save_pretrained(tmp_path)
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(256, (40, 50, 3), generator=generator, dtype=torch.uint8)
    picture = Image.fromarray(values.numpy())
    trace = llm.trace(picture)
    with torch.no_grad():
        said = published(pixel_values=trace.pixels[None], output_attentions=True, output_hidden_states=True)
    maps_equal(trace.attention, said.attentions, trace.num_layers)
    for layer in range(trace.num_layers):
        close(trace[f"blocks.{layer}.resid_pre"], said.hidden_states[layer][0])
        assert trace.attention_error(layer) < 1e-5
    across = side // fields["patch_size"]
    first = 2 if name.startswith("DeiT") else 1
    assert trace.grid == (across, across) and len(trace) == len(trace.tokens) == first + across**2
    close(trace.patches(1, 2).flatten(), said.attentions[1][0, 2, 0, first:])
    close(trace.patches(0, 1, row=4).flatten(), said.attentions[0][0, 1, 4, first:])
    with pytest.raises(RequestError, match="a picture of type dict"):
        llm.trace({"prompt_token_ids": [5]})
    if trace.has_head:
        close(trace.output, said.logits)
        close(trace.logits(), said.logits)
        assert llm.classify(picture)[0].outputs.label == trace.logit_lens().texts_LTN[-1][0][0]


def test_what_cannot_be_traced_is_said(tmp_path) -> None:
    _, llm = opened("BertModel", SMALL, tmp_path)
    with pytest.raises(RequestError, match="writes no text"):
        llm.trace({"prompt_token_ids": [5]}, max_tokens=3)
    with pytest.raises(RequestError, match="of type Image"):
        llm.trace(Image.new("RGB", (8, 8)))
    with pytest.raises(RequestError, match="0 to 59"):
        llm.trace({"prompt_token_ids": [60]})
    with pytest.raises(RequestError, match="tokens"):
        llm.trace({"prompt_token_ids": [5] * 41})
    trace = llm.trace({"prompt_token_ids": [5, 6, 7]})
    with pytest.raises(RequestError, match="no layer 2; this trace has 0 to 1"):
        trace.attention(2, 0)
    with pytest.raises(RequestError, match="no row 3"):
        trace.attention(0, 0, rows=[3])
    with pytest.raises(KeyError, match=re.escape("blocks.0.attn.pattern")):
        trace["blocks.0.cross_attn.q"]
