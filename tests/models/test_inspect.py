"""Inspecting a checkpoint: what its headers say, whether it would load, and what it would take."""

import io

import pytest
import torch
import transformers
from gguf_writing import write_gguf
from llama_folder import llama_tensors, write_llama
from parity.checkpoints import make
from parity.decoder_cases import CASES
from rich.console import Console

from pellucid.models.catalog import catalog
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.inspect import TensorGroup, inspect
from pellucid.models.loading import load_model
from pellucid.views.inspection import show_inspection


def test_parameters_by_part_and_memory(tmp_path) -> None:
    folder = write_llama(tmp_path)
    shown, tensors = inspect(open_checkpoint(folder)), llama_tensors()
    assert shown.num_parameters == sum(t.numel() for t in tensors.values())
    assert shown.parameters == {
        "embeddings": 48 * 16, "attention": 2 * (2 * 16 * 16 + 2 * 8 * 16), "feed-forward": 2 * 3 * 16 * 24,
        "norms": 5 * 16, "head": 48 * 16,
    }  # fmt: skip
    model = load_model(folder, device="cpu")
    assert shown.memory["float32"] == shown.stored_bytes == sum(p.nbytes for p in model.parameters())
    assert shown.memory["int4"] < shown.memory["bfloat16"] < shown.memory["float32"]
    assert set(shown.memory) == {"float32", "bfloat16", "int8", "int4"}
    assert shown.kv_bytes_per_token == {
        "float32": 2 * 2 * 8 * 4,
        "bfloat16": 2 * 2 * 8 * 2,
        "int8": 2 * 2 * 8 + 2 * 2 * 2 * 4,
    }
    assert (shown.model_type, shown.body, shown.kind, shown.problem) == (
        "llama",
        "Decoder",
        "local folder",
        None,
    )


def test_tensors_of_all_layers_are_one_line(tmp_path) -> None:
    shown = inspect(open_checkpoint(write_llama(tmp_path)))
    down = TensorGroup(name="model.layers.{}.mlp.down_proj.weight", count=2, shape=(16, 24), encoding="F32")
    assert down in shown.tensors and sum(group.count for group in shown.tensors) == 21


def test_what_would_not_load_is_said_and_the_rest_shown(tmp_path) -> None:
    tensors = llama_tensors()
    del tensors["model.norm.weight"]
    shown = inspect(open_checkpoint(write_llama(tmp_path, tensors)))
    assert "model.norm.weight" in shown.problem and shown.stored_bytes is None
    assert shown.num_parameters == sum(t.numel() for t in llama_tensors().values())
    assert sum(group.count for group in shown.tensors) == 21
    assert shown.tokenizer is None and "no tokenizer" in shown.tokenizer_problem


def test_nothing_is_read_but_headers(tmp_path, monkeypatch) -> None:
    folder = write_llama(tmp_path)

    def refuse(*args) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr("pellucid.models.stored.StoredTensor.read_into", refuse)
    assert inspect(open_checkpoint(folder)).problem is None


def test_a_tokenizer_and_its_template(tmp_path, test_data) -> None:
    folder = write_llama(tmp_path, {**llama_tensors()}, vocab_size=32064)
    for file in (test_data / "tokenizers" / "phi-3-mini").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tokenizer = inspect(open_checkpoint(folder)).tokenizer
    assert tokenizer.vocab_size == 32011 and tokenizer.special_tokens["bos_token"] == "<s>"
    assert "<|assistant|>" in tokenizer.chat_templates["default"]


def test_a_gguf_file(tmp_path) -> None:
    case = CASES["gpt2"]
    path = write_gguf(make(case.model_type, case.fields), tmp_path / "model.gguf")
    shown = inspect(open_checkpoint(path))
    assert shown.kind == "GGUF file" and shown.published["tokenizer.ggml.tokens"] == "97 values"
    assert shown.published["gpt2.block_count"] == 2 and shown.tokenizer.vocab_size == 97
    assert (
        TensorGroup(name="blk.{}.attn_qkv.weight", count=2, shape=(96, 32), encoding="F32") in shown.tensors
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache in huggingface_hub's layout, with something that opens, something packed and something unknown."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def repository(name: str):
        folder = tmp_path / f"models--{name.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text("a" * 40)
        return folder / "snapshots" / ("a" * 40)

    write_llama(repository("someone/small"))
    write_llama(repository("someone/odd"), model_type="rwkv")
    packed = repository("someone/packed")
    packed.mkdir(parents=True)
    write_gguf(make("llama", CASES["llama-1"].fields), packed / "m.gguf")
    return tmp_path


def test_the_catalog_lists_bundled_and_cached_models_with_their_needs(cache) -> None:
    entries = {entry.name: entry for entry in catalog()}
    small = entries["someone/small"]
    assert (small.kind, small.model_type, small.memory["float32"]) == ("cache", "llama", 21824)
    assert entries["someone/packed/m.gguf"].memory["as stored"] > 0
    assert "rwkv" in entries["someone/odd"].problem
    assert entries["pellucid/guide"].kind == "bundled"


def test_cached_models_are_opened_by_the_names_in_the_catalog(cache, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("someone/small", "someone/packed/m.gguf"):
        assert load_model(name, device="cpu").logits([1, 2]).dtype == torch.float32


BODIES = {
    "(bert, an encoder, ": ("Bert", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}),
    "(t5, an encoder-decoder, ": ("T5", {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}),
    "(vit, a vision model, ": ("ViT", {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 8, "patch_size": 4}),
}  # fmt: skip


@pytest.mark.parametrize("says", BODIES)
def test_every_kind_of_body_is_called_by_its_name(says, tmp_path) -> None:
    name, fields = BODIES[says]
    config = getattr(transformers, f"{name}Config")(**fields)
    getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path)
    console = Console(width=200, record=True, file=io.StringIO())
    show_inspection(inspect(open_checkpoint(tmp_path)), console)
    shown = console.export_text()
    assert says in shown and "would not load" not in shown
    assert ("it reads no text" in shown) == (name == "ViT")
