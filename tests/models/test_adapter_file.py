"""A published adapter finds its products, or the file and tensor that are wrong are named."""

import pytest
import torch
from adapter_folder import adapter_tensors, name_of, write_adapter
from llama_folder import write_llama

from pellucid.errors import ConfigError, WeightsError
from pellucid.models.adapter_file import adaptable, load_adapter
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_checkpoint

A, B = name_of("self_attn.q_proj", "A"), name_of("self_attn.q_proj", "B")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model, and what of it can be adapted."""
    checkpoint = open_checkpoint(write_llama(tmp_path_factory.mktemp("base")))
    return load_checkpoint(checkpoint, device="cpu"), adaptable(checkpoint.empty_body(), checkpoint.family)


def load(base, folder, dtype=torch.float32):
    model, of = base
    return load_adapter(folder, "a", model, of, dtype, torch.device("cpu"))


def test_each_factor_finds_its_product_and_section(base, tmp_path) -> None:
    model, tensors = base[0], adapter_tensors()
    products = load(base, write_adapter(tmp_path)).products
    assert len(products) == 4
    (q,) = products[model.blocks[0].attn.qkv_proj]
    assert (q.start, q.stop) == (0, 16)
    assert q.a_RI.equal(tensors[A]) and q.b_OR.equal(2 * tensors[B])
    (down,) = products[model.blocks[1].mlp.down_proj]
    assert (down.start, down.stop) == (0, 16)


def test_factors_take_the_dtype_of_the_model(base, tmp_path) -> None:
    adapter = load(base, write_adapter(tmp_path), torch.bfloat16)
    assert {part.a_RI.dtype for parts in adapter.products.values() for part in parts} == {torch.bfloat16}


def test_what_is_missing_is_named(base, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"no adapter_config\.json"):
        load(base, tmp_path)
    folder = write_adapter(tmp_path)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(WeightsError, match=r"no adapter_model.safetensors, but adapter_model.bin"):
        load(base, folder)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({B: None}, r"layers\.0\.self_attn\.q_proj has no lora_B"),
        ({A: None, B: None}, r"nothing for model\.layers\.0\.self_attn\.q_proj, which `target_modules`"),
        (dict.fromkeys(adapter_tensors()), "holds no tensors"),
        ({A: torch.zeros(3, 16)}, rf"'{A}' has shape \[3, 16\].*\[2, 16\].*trained on 'someone/tiny-llama'"),
        ({B: torch.zeros(32, 2)}, rf"'{B}' has shape \[32, 2\]"),
        ({A: torch.full((2, 16), torch.nan)}, rf"'{A}' holds NaN or infinity"),
        ({A: torch.zeros(2, 16, dtype=torch.int8)}, rf"'{A}' holds I8"),
        ({name_of("self_attn.q_proj", "A", 7): torch.zeros(2, 16)}, "has no place in this llama.*trained on"),
        ({name_of("mlp.experts.3.w1", "A"): torch.zeros(2, 16)}, "mixture of experts"),
        ({"base_model.model.lm_head.lora_A.weight": torch.zeros(2, 16)}, "adapts lm_head"),
        ({A.replace("lora_A.weight", "lora_magnitude_vector"): torch.zeros(16)}, "neither lora_A nor lora_B"),
        ({"base_model.model.model.embed_tokens.weight": torch.zeros(48, 16)}, "neither lora_A nor lora_B"),
    ],
)
def test_what_is_wrong_is_named(base, tmp_path, tensors, message) -> None:
    with pytest.raises(WeightsError, match=r"adapter_model.safetensors: .*" + message):
        load(base, write_adapter(tmp_path, tensors))


def test_numbers_too_large_for_the_dtype_are_said(base, tmp_path) -> None:
    folder = write_adapter(tmp_path, {B: torch.full((16, 2), 60000.0)})
    with pytest.raises(WeightsError, match="too large for float16"):
        load(base, folder, torch.float16)
