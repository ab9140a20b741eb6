"""A GGUF file as a checkpoint: packed weights, split files, its tokenizer, and what is refused."""

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind
from gguf_writing import gguf_tensors, packed, write_gguf
from parity.checkpoints import make
from safetensors.torch import load_file, save_file

from pellucid import LLM, SamplingParams
from pellucid.errors import ConfigError, TokenizerError, WeightsError
from pellucid.kernels.packing import unpack
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_model

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
IDS = [1, 5, 9, 40, 3, 77]
K_BLOCKS = {Kind.Q4_K: (0, 2), Kind.Q5_K: (0, 2), Kind.Q6_K: (208,)}
"""Where a K block's float16 scales are."""


@pytest.fixture(scope="module")
def llama():
    return make("llama", SHAPE)


def random_blocks(kind: Kind):
    """A packing for the kinds that the gguf package can only unpack: random blocks with small scales."""

    def pack(name: str, values: np.ndarray) -> tuple[np.ndarray, Kind]:
        if values.ndim < 2:
            return values, Kind.F32
        per_block, size = gguf.GGML_QUANT_SIZES[kind]
        rng = np.random.default_rng(len(name))
        blocks = rng.integers(0, 256, (values.shape[0], values.shape[1] // per_block, size), dtype=np.uint8)
        for at in K_BLOCKS[kind]:
            blocks[..., at : at + 2] = np.frombuffer(np.float16(2e-4).tobytes(), np.uint8)
        return blocks.reshape(values.shape[0], -1), kind

    return pack


@pytest.mark.parametrize(
    "kind",
    [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1, *K_BLOCKS],
    ids=lambda k: k.name,
)
def test_logits_equal_the_same_weights_as_safetensors(kind, llama, tmp_path) -> None:
    """The numbers that the gguf package unpacks, under the published names in safetensors."""
    packing = random_blocks(kind) if kind in K_BLOCKS else packed(kind)
    file = write_gguf(llama, tmp_path / "model.gguf", packing)
    folder = tmp_path / "published"
    llama.save_pretrained(folder)
    unpacked = {
        name: torch.from_numpy(gguf.quants.dequantize(*packing(name, value.numpy())).astype(np.float32))
        for name, value in gguf_tensors(llama).items()
    }
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    published = {}
    for name in load_file(folder / "model.safetensors"):
        value = unpacked[names.get_name(name, try_suffixes=(".weight",))]
        heads = {"q_proj": 4, "k_proj": 2}.get(name.split(".")[-2])
        published[name] = halves_first(value, heads) if heads else value
    save_file(published, folder / "model.safetensors")
    expected = load_model(folder, dtype="float32", device="cpu")
    opened = load_model(file, dtype="float32", device="cpu")
    assert torch.equal(opened.logits(IDS), expected.logits(IDS))


def halves_first(rows: torch.Tensor, heads: int) -> torch.Tensor:
    return rows.reshape(heads, -1, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape).contiguous()


@pytest.mark.parametrize("kind, format", [(Kind.Q8_0, "int8"), (Kind.Q4_0, "int4"), (Kind.Q5_0, "int8")])
def test_packed_weights_stay_packed_and_stand_for_the_same_numbers(llama, tmp_path, kind, format) -> None:
    file = write_gguf(llama, tmp_path / "model.gguf", packed(kind))
    kept, unpacked = load_model(file, device="cpu"), load_model(file, device="cpu", dtype="float32")
    for name in ("embed_tokens", "blocks.1.attn.qkv_proj", "blocks.0.mlp.down_proj", "lm_head"):
        weight, right = kept.get_submodule(name).weight, unpacked.get_submodule(name).weight
        assert weight.format == format
        if kind is Kind.Q5_0:  # of a packing we do not have: rounded to 8 bits
            assert (unpack(weight) - right).norm() < 0.01 * right.norm()
        else:
            assert torch.equal(unpack(weight), right)


def test_rows_that_are_no_heads_are_said_by_their_shape(llama, tmp_path) -> None:
    def cut(name: str, values: np.ndarray) -> tuple[np.ndarray, Kind]:
        return (values[:30] if name == "blk.1.attn_q.weight" else values), Kind.F32

    path = write_gguf(llama, tmp_path / "m.gguf", cut)
    with pytest.raises(WeightsError, match=r"'blk\.1\.attn_q\.weight' has shape \[30, 256\]"):
        load_model(path, device="cpu")


def test_a_packed_vector_opens(llama, tmp_path) -> None:
    def pack(name: str, values: np.ndarray) -> tuple[np.ndarray, Kind]:
        kind = Kind.Q8_0 if values.ndim == 1 else Kind.F32
        return gguf.quants.quantize(values, kind), kind

    ours = load_model(write_gguf(llama, tmp_path / "m.gguf", pack), dtype="float32", device="cpu")
    norm_D = llama.model.norm.weight.detach().numpy()
    expected = gguf.quants.dequantize(gguf.quants.quantize(norm_D, Kind.Q8_0), Kind.Q8_0)
    assert np.array_equal(ours.norm.weight.detach().numpy(), expected)


def test_dtype_auto_is_what_the_file_is_mostly_stored_in(llama, tmp_path) -> None:
    for kind, dtype in ((Kind.F32, torch.float32), (Kind.F16, torch.float16)):
        model = load_model(write_gguf(llama, tmp_path / "model.gguf", packed(kind)), device="cpu")
        assert model.lm_head.weight.dtype == dtype


def test_a_split_file(llama, tmp_path) -> None:
    whole = load_model(write_gguf(llama, tmp_path / "whole.gguf"), device="cpu").logits(IDS)
    first, second = (tmp_path / f"part-0000{n}-of-00002.gguf" for n in (1, 2))
    tensors = gguf_tensors(llama)
    names = list(tensors)
    half = {name: tensors[name] for name in names[: len(names) // 2]}
    opened = open_checkpoint(tmp_path / "whole.gguf")
    assert len(opened.tensors()) == len(names)
    write_part(first, tmp_path / "whole.gguf", half, 0)
    write_part(second, None, {name: tensors[name] for name in names[len(names) // 2 :]}, 1)
    assert torch.equal(load_model(first, device="cpu").logits(IDS), whole)
    second.unlink()
    with pytest.raises(WeightsError, match=r"part-00002-of-00002\.gguf"):
        open_checkpoint(first)


def write_part(path, metadata_of, tensors, number) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    if metadata_of:
        for key, field in gguf.GGUFReader(metadata_of).fields.items():
            if not key.startswith("GGUF.") and key != "general.architecture":
                writer.add_key_value(key, field.contents(), field.types[0], field.types[-1])
    writer.add_uint16("split.no", number)
    writer.add_uint16("split.count", 2)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_config_is_the_published_one(llama, tmp_path) -> None:
    llama.save_pretrained(tmp_path / "published")
    published = open_checkpoint(tmp_path / "published").config
    assert open_checkpoint(write_gguf(llama, tmp_path / "model.gguf")).config == published


def test_generation_defaults(llama, tmp_path) -> None:
    more = {"tokenizer.ggml.eot_token_id": 7, "general.sampling.temp": 0.5, "general.sampling.top_k": 20}
    said = open_checkpoint(write_gguf(llama, tmp_path / "m.gguf", **more)).generation
    assert said == {"eos_token_id": [2, 7], "do_sample": True, "temperature": 0.5, "top_k": 20}


def test_tokenizer_and_template_come_from_the_file(llama, tmp_path) -> None:
    template = {"tokenizer.chat_template": "{{ messages[0]['content'] }}!"}
    tokenizer = open_checkpoint(write_gguf(llama, tmp_path / "m.gguf", **template)).tokenizer()
    assert tokenizer.token(5) == "▁word2"
    assert tokenizer.chat_template.render([{"role": "user", "content": "hi"}]) == "hi!"


def test_llm_opens_a_file(llama, tmp_path) -> None:
    llm = LLM(write_gguf(llama, tmp_path / "m.gguf"), device="cpu")
    params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
    (output,) = llm.generate(["word1 word2"], params)
    ids = output.prompt_token_ids
    for _ in range(4):
        ids = [*ids, int(llm.model.logits(ids)[-1].argmax())]
    assert output.outputs[0].token_ids == ids[len(output.prompt_token_ids) :]


def test_a_vocabulary_alone_is_no_model(test_data) -> None:
    file = test_data / "vectors" / "gguf-vocab" / "ggml-vocab-phi-3.gguf"
    with pytest.raises(ConfigError, match=r"token_embd\.weight.*vocabulary alone"):
        open_checkpoint(file)


def test_unknown_architecture(llama, tmp_path) -> None:
    path = write_gguf(llama, tmp_path / "m.gguf")
    data = path.read_bytes()
    at = data.index(b"llama")
    path.write_bytes(data[:at] + b"lamma" + data[at + 5 :])
    with pytest.raises(ConfigError, match=r"'lamma' \(did you mean 'llama'\?\)"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "key", ["attention.clamp_kqv", "logit_scale", "attn_logit_softcapping", "rope.scaling.attn_factor"]
)
def test_metadata_that_changes_the_arithmetic_is_refused_by_name(key, llama, tmp_path) -> None:
    path = write_gguf(llama, tmp_path / "m.gguf", **{f"llama.{key}": 3.5})
    with pytest.raises(ConfigError, match=rf"llama\.{key}.*3\.5"):
        open_checkpoint(path)


def test_a_tensor_that_is_there_twice_is_named(llama, tmp_path) -> None:
    path = write_gguf(llama, tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes().replace(b"blk.0.attn_k.weight", b"blk.0.attn_v.weight"))
    with pytest.raises(WeightsError, match=r"'blk\.0\.attn_v\.weight' is there more than once"):
        open_checkpoint(path)


def test_a_tokenizer_with_more_tokens_than_the_model(llama, tmp_path) -> None:
    config = llama.config
    try:
        config.vocab_size = 99
        path = write_gguf(llama, tmp_path / "m.gguf")
    finally:
        config.vocab_size = SHAPE["vocab_size"]
    with pytest.raises(TokenizerError, match=r"m\.gguf.*98.*96"):
        open_checkpoint(path).tokenizer()


def test_a_truncated_file(llama, tmp_path) -> None:
    path = write_gguf(llama, tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"m\.gguf: truncated.*tensor"):
        open_checkpoint(path)
