"""Loading: every number comes to its place, in the dtype asked for, and what is wrong is said by name."""

import json
import logging
import os

import pytest
import torch
from llama_folder import CONFIG, llama_tensors, write_config, write_llama

from pellucid.errors import ConfigError, OutOfMemoryError, SourceError, TokenizerError, WeightsError
from pellucid.models import loading
from pellucid.models.loading import load_model, open_checkpoint

IDS = [1, 5, 9, 40, 3]


@pytest.fixture
def folder(tmp_path):
    return write_llama(tmp_path)


def test_every_tensor_comes_to_its_place(folder) -> None:
    tensors, model = llama_tensors(), load_model(folder, device="cpu")
    parameters = dict(model.named_parameters())
    attn, mlp = "model.layers.1.self_attn", "model.layers.1.mlp"
    expected = {
        "embed_tokens.weight": tensors["model.embed_tokens.weight"],
        "blocks.1.attn.qkv_proj.weight": torch.cat([tensors[f"{attn}.{p}_proj.weight"] for p in "qkv"]),
        "blocks.1.attn.o_proj.weight": tensors[f"{attn}.o_proj.weight"],
        "blocks.1.mlp.gate_up_proj.weight": torch.cat(
            [tensors[f"{mlp}.{p}_proj.weight"] for p in ("gate", "up")]
        ),
        "norm.weight": tensors["model.norm.weight"],
        "lm_head.weight": tensors["lm_head.weight"],
    }
    for name, value in expected.items():
        torch.testing.assert_close(parameters[name].data, value, rtol=0, atol=0)
    assert not any(p.is_meta or p.requires_grad for p in parameters.values())


def test_shards_and_pieces_change_nothing(folder, tmp_path, monkeypatch) -> None:
    whole = load_model(folder, device="cpu").logits(IDS)
    sharded = write_llama(tmp_path / "sharded", shards=3)
    monkeypatch.setattr("pellucid.models.weights.PIECE_VALUES", 40)  # a few rows at a time
    assert torch.equal(load_model(sharded, device="cpu").logits(IDS), whole)


def test_dtype_auto_is_the_published_one_and_norms_stay_float32(tmp_path) -> None:
    tensors = {name: tensor.bfloat16() for name, tensor in llama_tensors().items()}
    folder = write_llama(tmp_path, tensors, torch_dtype="bfloat16")
    parameters = dict(load_model(folder, device="cpu").named_parameters())
    assert parameters["lm_head.weight"].dtype == torch.bfloat16
    assert parameters["norm.weight"].dtype == torch.float32
    float32 = dict(load_model(folder, dtype="float32", device="cpu").named_parameters())
    assert float32["lm_head.weight"].dtype == torch.float32
    assert torch.equal(float32["lm_head.weight"].data, tensors["lm_head.weight"].float())


def test_tied_embeddings_are_one_tensor_with_or_without_a_published_head(tmp_path) -> None:
    tensors = llama_tensors()
    with_head = write_llama(tmp_path / "a", tensors, tie_word_embeddings=True)
    tensors.pop("lm_head.weight")
    without_head = write_llama(tmp_path / "b", tensors, tie_word_embeddings=True)
    for folder in (with_head, without_head):
        model = load_model(folder, device="cpu")
        assert model.lm_head.weight is model.embed_tokens.weight
    assert torch.equal(load_model(with_head).logits(IDS), load_model(without_head).logits(IDS))


def test_generation_config_is_read(folder) -> None:
    (folder / "generation_config.json").write_text('{"temperature": 0.6, "eos_token_id": [2, 7]}')
    assert open_checkpoint(folder).generation == {"temperature": 0.6, "eos_token_id": [2, 7]}


def test_code_in_a_folder_is_ignored_and_that_is_said(tmp_path, caplog) -> None:
    folder = write_llama(tmp_path, auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})
    (folder / "modeling_evil.py").write_text("raise SystemExit('run')")
    with caplog.at_level(logging.WARNING, "pellucid"):
        load_model(folder, device="cpu")
    (line,) = caplog.messages
    assert "modeling_evil.py" in line and "auto_map" in line and "ignored" in line and "\n" not in line


def refused(folder, kind=WeightsError, **options) -> str:
    """The message of the error that loading ends in; one line, naming the folder."""
    with pytest.raises(kind) as caught:
        load_model(folder, **options)
    message = str(caught.value)
    assert "\n" not in message and str(folder) in message, message
    return message


def test_a_missing_shard_is_named(tmp_path) -> None:
    folder = write_llama(tmp_path, shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()
    message = refused(folder)
    assert (
        "1 of 3 shards" in message and "model-00002-of-00003.safetensors" in message and "download" in message
    )


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "", "a\0b"])
def test_an_index_may_not_lead_out_of_its_folder(folder, name) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"x": name}}))
    assert "weight_map" in refused(folder)


@pytest.mark.parametrize("name", ["x" * 5000, "./" + "y" * 300, None, 5])
def test_a_name_that_can_be_none_is_refused(name) -> None:
    with pytest.raises(SourceError, match=r"too long|give a bundled name"):
        load_model(name)


def test_a_shard_whose_name_no_disk_holds(folder) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"lm_head.weight": "z" * 300}}))
    with pytest.raises(SourceError, match=rf"{folder}: cannot be read: File name too long"):
        load_model(folder)


def test_what_git_leaves_where_lfs_is_missing_is_named(folder) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 23880\n"
    (folder / "model.safetensors").write_text(pointer)
    with pytest.raises(WeightsError, match=r"model\.safetensors: only a Git LFS pointer.*git lfs pull"):
        load_model(folder)


def test_a_byte_order_mark_is_no_mistake(folder) -> None:
    config = folder / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    assert load_model(folder, device="cpu").config.vocab_size == CONFIG["vocab_size"]


def test_a_truncated_file_names_the_first_tensor_that_is_cut(folder) -> None:
    file = folder / "model.safetensors"
    os.truncate(file, file.stat().st_size - 10)
    message = refused(folder)
    assert "truncated" in message and str(file) in message and "tensor" in message and "download" in message


@pytest.mark.parametrize("size", [0, 4, 8, 100])
def test_a_file_cut_within_its_header(folder, size) -> None:
    file = folder / "model.safetensors"
    os.truncate(file, size)
    assert str(file) in refused(folder)


def test_a_misshaped_tensor(tmp_path) -> None:
    folder = write_llama(tmp_path, llama_tensors() | {"model.norm.weight": torch.ones(17)})
    message = refused(folder)
    assert "model.norm.weight" in message and "[17]" in message and "[16]" in message


def test_missing_tensors(tmp_path) -> None:
    tensors = llama_tensors()
    del tensors["model.layers.1.mlp.up_proj.weight"]
    message = refused(write_llama(tmp_path, tensors))
    assert "model.layers.1.mlp.up_proj.weight" in message and "1 of the 21" in message


def test_an_extra_tensor(tmp_path) -> None:
    folder = write_llama(tmp_path, llama_tensors() | {"model.layers.0.adapter.weight": torch.ones(2)})
    message = refused(folder)
    assert "model.safetensors" in message and "model.layers.0.adapter.weight" in message


def test_a_tensor_in_two_shards(tmp_path) -> None:
    folder = write_llama(tmp_path, shards=2)
    other = folder / "model-00001-of-00002.safetensors"
    (folder / "model-00002-of-00002.safetensors").write_bytes(other.read_bytes())
    message = refused(folder)
    assert "is also in" in message and "model-00001-of-00002" in message and "model-00002-of-00002" in message


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(tmp_path, bad) -> None:
    tensors = llama_tensors()
    tensors["model.layers.0.mlp.down_proj.weight"][3, 5] = bad
    message = refused(write_llama(tmp_path, tensors))
    assert "model.layers.0.mlp.down_proj.weight" in message and "NaN or infinity" in message


def test_weights_too_large_for_the_dtype_asked_for(tmp_path) -> None:
    tensors = llama_tensors()
    tensors["lm_head.weight"][0, 0] = 1e6
    message = refused(write_llama(tmp_path, tensors), dtype="float16")
    assert "lm_head.weight" in message and "float16" in message and "bfloat16" in message


def test_whole_numbers_are_no_weights(tmp_path) -> None:
    folder = write_llama(tmp_path, llama_tensors() | {"model.norm.weight": torch.ones(16, dtype=torch.int8)})
    assert "I8" in refused(folder)


def test_unknown_model_type(folder) -> None:
    write_config(folder, model_type="lama")
    message = refused(folder, ConfigError)
    assert "'lama'" in message and "did you mean 'llama'" in message and "config.json" in message


def test_pickle_only(folder) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    message = refused(folder)
    assert "pytorch_model.bin" in message and f"pellucid convert {folder}" in message


def test_no_weights_at_all(folder) -> None:
    (folder / "model.safetensors").unlink()
    assert "no weights" in refused(folder)


def test_shards_without_an_index(tmp_path) -> None:
    folder = write_llama(tmp_path, shards=2)
    (folder / "model.safetensors.index.json").unlink()
    assert "model.safetensors.index.json" in refused(folder)


def test_a_wrong_dtype_name(folder) -> None:
    with pytest.raises(ConfigError, match=r"bflot16.*did you mean 'bfloat16'"):
        load_model(folder, dtype="bflot16")


def test_a_config_whose_dtype_weights_cannot_have(folder) -> None:
    write_config(folder, torch_dtype="int8")
    with pytest.raises(ConfigError, match=r"config says `dtype` 'int8'.*pass another"):
        load_model(folder)
    load_model(folder, dtype="float32", device="cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vocab_size", 10**30),
        ("hidden_size", 2**31),
        ("num_hidden_layers", 10**6),
        ("rms_norm_eps", -1e-6),
        ("rms_norm_eps", float("inf")),
        ("rope_theta", 0),
        ("rope_theta", float("nan")),
    ],
)
def test_numbers_no_model_has(folder, name, value) -> None:
    write_config(folder, **{name: value})
    assert f"`{name}` is {value}"[:40] in refused(folder, ConfigError)


@pytest.mark.parametrize("factor", [0, -2.0, float("inf")])
def test_a_rope_factor_no_model_has(folder, factor) -> None:
    write_config(folder, rope_scaling={"type": "linear", "factor": factor})
    assert "rope settings: `factor`" in refused(folder, ConfigError)


def test_not_enough_memory_says_what_would_fit(folder, monkeypatch) -> None:
    monkeypatch.setattr(loading, "available_memory", lambda device: 12_000)
    message = refused(folder, OutOfMemoryError, device="cpu")
    assert (
        "need 21.3 KiB" in message and "11.7 KiB are free on cpu" in message and 'dtype="bfloat16"' in message
    )
    monkeypatch.setattr(loading, "available_memory", lambda device: 6_000)
    assert "billion parameters would fit" in refused(folder, OutOfMemoryError, device="cpu")


def test_a_tokenizer_with_more_tokens_than_the_model(folder, test_data) -> None:
    tokenizer = test_data / "tokenizers" / "phi-3-mini" / "tokenizer.json"
    (folder / "tokenizer.json").write_bytes(tokenizer.read_bytes())
    with pytest.raises(TokenizerError, match=rf"{folder}.*48"):
        open_checkpoint(folder).tokenizer()


def test_config_fields_of_the_tiny_checkpoint(folder) -> None:
    config = open_checkpoint(folder).config
    assert (config.vocab_size, config.num_layers, config.num_kv_heads) == (CONFIG["vocab_size"], 2, 2)
