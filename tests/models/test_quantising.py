"""Weights rounded while they load: which, how far off, what they take, and the same tokens on every set of kernels."""

import errno

import pytest
import torch
from engine.engine_runs import ask, make_engine, run
from models.llama_folder import CONFIG, llama_tensors, write_llama

from pellucid.engine.backend import choose_backend
from pellucid.errors import ConfigError, WeightsError
from pellucid.kernels import QuantisedWeight, torch_ops
from pellucid.kernels.large_pages import zeros_on
from pellucid.kernels.packing import quantise, unpack
from pellucid.layers.quantised import QuantisedEmbedding
from pellucid.models import loading
from pellucid.models.gguf_blocks import ENCODINGS
from pellucid.models.loading import load_model
from pellucid.models.quantise_folder import quantise_folder
from pellucid.models.quantising import STORED, PackedRows, plan, stored_weights
from pellucid.sampling.params import SamplingParams

IDS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture
def folder(tmp_path):
    return write_llama(tmp_path)


def formats(model):
    return {
        name: m.weight.format
        for name, m in model.named_modules()
        if isinstance(getattr(m, "weight", None), QuantisedWeight)
    }


@pytest.mark.parametrize("kind, most", [("int8", 0.03), ("int4", 0.35)])
def test_logits_stay_close(folder, kind, most):
    whole, rounded = load_model(folder), load_model(folder, quantization=kind)
    right = whole.logits(IDS)
    assert (rounded.logits(IDS) - right).norm() < most * right.norm()


def test_each_weight_is_what_rounding_the_published_one_gives(folder):
    whole, rounded = load_model(folder), load_model(folder, quantization="int4")
    for name, kind in formats(rounded).items():
        published = whole.get_submodule(name).weight
        assert torch.equal(unpack(rounded.get_submodule(name).weight), unpack(quantise(published, kind)))


def test_4_bits_leave_the_table_and_the_head_8(folder):
    kinds = formats(load_model(folder, quantization="int4"))
    assert kinds.pop("embed_tokens") == kinds.pop("lm_head") == "int8"
    assert set(kinds.values()) == {"int4"} and len(kinds) == 4 * CONFIG["num_hidden_layers"]


def test_a_shared_table_is_held_once(tmp_path):
    model = load_model(write_llama(tmp_path, tie_word_embeddings=True), quantization="int8")
    assert (
        isinstance(model.embed_tokens, QuantisedEmbedding)
        and model.lm_head.weight is model.embed_tokens.weight
    )
    assert sum(weight is model.lm_head.weight for weight in stored_weights(model)) == 1


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_quantised_model_runs_on_the_engine_with_either_kernels(folder, kind):
    model = load_model(folder, quantization=kind)
    params = SamplingParams(temperature=0, max_tokens=10, logprobs=2, ignore_eos=True)
    fast = choose_backend(torch.device("cpu"), torch.float32)
    prompts = [IDS, IDS[:3]]
    requests = [ask(i, ids, params) for i, ids in enumerate(prompts)]
    engines = {"kernels": fast.kernels, "make_runner": fast.make_runner}
    by_fast, by_torch = (
        run(make_engine(model, **engines), requests),
        run(make_engine(model, kernels=torch_ops), requests),
    )
    for key in by_torch:  # activations are rounded to 8 bits in the one and not in the other
        assert by_fast[key][1][0] == pytest.approx(by_torch[key][1][0], abs=0.15)
    alone = run(make_engine(model, **engines), [ask(0, IDS, params)])["0", 0]
    assert alone[:2] == by_fast["0", 0][:2]


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_checkpoint_saved_rounded_loads_as_what_rounding_while_loading_gives(tmp_path, kind):
    shape = {"hidden_size": 32, "intermediate_size": 64}
    source = write_llama(tmp_path / "whole", llama_tensors(CONFIG | shape), **shape)
    done = quantise_folder(loading.open_checkpoint(source), tmp_path / "rounded", kind)
    assert done.num_rounded == 16 and done.nbytes < done.nbytes_before
    saved, rounded = load_model(tmp_path / "rounded", device="cpu"), load_model(source, quantization=kind)
    assert formats(saved) == formats(rounded)
    assert torch.equal(saved.logits(IDS), rounded.logits(IDS))
    with pytest.raises(WeightsError, match="not empty"):
        quantise_folder(loading.open_checkpoint(source), tmp_path / "rounded", kind)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    shape = {"hidden_size": 32, "intermediate_size": 64}
    source = write_llama(tmp_path / "source", llama_tensors(CONFIG | shape), **shape)
    monkeypatch.setattr("pellucid.models.quantise_folder.round_rows", no_space)
    with pytest.raises(WeightsError, match="rounded: the disk is full"):
        quantise_folder(loading.open_checkpoint(source), tmp_path / "rounded", "int8")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_auto_rounds_only_as_far_as_memory_asks(folder, monkeypatch):
    body = loading.open_checkpoint(folder).empty_body()
    takes = {
        kind: loading.weight_bytes(body, torch.float32, plan(body, kind)) for kind in (None, "int8", "int4")
    }
    assert takes[None] > takes["int8"] > takes["int4"]
    for kind, needed in takes.items():
        free = int(needed / loading.AUTO_SHARE) + 1
        monkeypatch.setattr(loading, "available_memory", lambda device, free=free: free)
        assert loading.choose_formats(body, torch.float32, torch.device("cpu"), "auto") == plan(body, kind)


def test_a_quantization_that_does_not_exist(folder):
    with pytest.raises(ConfigError, match=r"int3.*int8, int4"):
        load_model(folder, quantization="int3")


@pytest.mark.parametrize(
    "encoding", [e for e in ENCODINGS.values() if e.name in STORED], ids=lambda e: e.name
)
def test_a_files_blocks_keep_their_numbers(encoding):
    shape = torch.Size((20, 512))
    blocks = torch.randint(0, 256, (20 * 512 // encoding.values, encoding.nbytes), dtype=torch.uint8)
    halves = {"Q8_0": [0], "Q4_0": [0], "Q4_K": [0, 2], "Q6_K": [208]}[encoding.name]
    for at in halves:
        blocks[:, at : at + 2] = torch.rand(len(blocks), 1).to(torch.float16).view(torch.uint8)
    packed = PackedRows(STORED[encoding.name][0], shape, zeros_on(torch.device("cpu")))
    assert packed.takes(encoding)
    packed.write_stored(torch.arange(20), blocks, encoding)
    assert torch.equal(unpack(packed.weight), encoding.decode(blocks).view(shape))
