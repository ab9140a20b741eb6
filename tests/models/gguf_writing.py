"""Writes a transformers model as a GGUF file, with the gguf package and as llama.cpp's converter does it."""

import re
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor
from transformers import PreTrainedModel

ARCHITECTURES = {
    "gpt2": "gpt2",
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "phi": "phi2",
    "phi3": "phi3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "olmo2": "olmo2",
    "stablelm": "stablelm",
    "smollm3": "smollm3",
}
PERMUTED = ("llama", "mistral", "mixtral", "smollm3")
Packing = Callable[[str, np.ndarray], tuple[np.ndarray, Kind]]


def plain(name: str, values: np.ndarray) -> tuple[np.ndarray, Kind]:
    """All tensors in float32."""
    return values, Kind.F32


def packed(kind: Kind) -> Packing:
    """Matrices packed by the gguf package, vectors in float32."""

    def pack(name: str, values: np.ndarray) -> tuple[np.ndarray, Kind]:
        if values.ndim < 2 or not name.endswith("weight"):
            return values, Kind.F32
        return gguf.quants.quantize(values, kind), kind

    return pack


def write_gguf(model: PreTrainedModel, path: Path, packing: Packing = plain, **metadata: object) -> Path:
    """The whole file: metadata, a vocabulary of placeholder tokens, tensors."""
    config = model.config
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, architecture)
    _write_shape(writer, config, architecture)
    _write_rope(writer, config)
    _write_vocabulary(writer, config.vocab_size)
    for key, value in metadata.items():
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))
    for name, tensor in gguf_tensors(model).items():
        data, kind = packing(name, tensor.float().contiguous().numpy())
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_tensors(model: PreTrainedModel) -> dict[str, Tensor]:
    """The model's weights under GGUF's names, in GGUF's layout."""
    config = model.config
    arch = next(a for a, n in gguf.MODEL_ARCH_NAMES.items() if n == ARCHITECTURES[config.model_type])
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    found: dict[str, Tensor] = {}
    stacks: dict[str, list[Tensor]] = {}
    for name, tensor in _published(model).items():
        tensor = _laid_out(name, tensor, config)
        if match := re.fullmatch(r"(.*\.experts)\.\d+\.(\w+)\.weight", name):
            name = f"{match[1]}.{match[2]}.weight"
        elif match := re.fullmatch(r"(.*\.[qk]_layernorm)\.norms\.\d+\.weight", name):
            name = f"{match[1]}.weight"
        else:
            found[names.get_name(name, try_suffixes=(".weight", ".bias"))] = tensor
            continue
        stacks.setdefault(names.get_name(name, try_suffixes=(".weight",)), []).append(tensor)
    found |= {name: torch.stack(parts) for name, parts in stacks.items()}
    assert None not in found, "the gguf package knows every name"
    return found | _rope_factors(config)


def _published(model: PreTrainedModel) -> dict[str, Tensor]:
    """The tensors as a checkpoint has them: one for each expert."""
    tensors = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        if name.endswith("experts.gate_up_proj"):
            for i, both in enumerate(tensor):
                half = both.shape[0] // 2
                tensors[name.replace("gate_up_proj", f"{i}.gate_proj.weight")] = both[:half]
                tensors[name.replace("gate_up_proj", f"{i}.up_proj.weight")] = both[half:]
        elif name.endswith("experts.down_proj"):
            for i, down in enumerate(tensor):
                tensors[name.replace("down_proj", f"{i}.down_proj.weight")] = down
        else:
            tensors[name] = tensor
    return tensors


def _laid_out(name: str, tensor: Tensor, config: object) -> Tensor:
    if config.model_type in PERMUTED:
        if ".q_proj." in name:
            return _pairs_together(tensor, config.num_attention_heads)
        if ".k_proj." in name:
            return _pairs_together(tensor, config.num_key_value_heads)
    if config.model_type == "gpt2" and re.search(r"\.c_(attn|proj|fc)\.weight", name):
        return tensor.T
    if config.model_type.startswith("gemma") and name.endswith("norm.weight"):
        return tensor + 1
    return tensor


def _pairs_together(rows: Tensor, heads: int) -> Tensor:
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def _write_shape(writer: gguf.GGUFWriter, config: object, architecture: str) -> None:
    hidden, heads = config.hidden_size, config.num_attention_heads
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(hidden)
    inner = config.n_inner or 4 * hidden if architecture == "gpt2" else config.intermediate_size
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    if architecture != "gpt2":
        writer.add_head_count_kv(config.num_key_value_heads)
    if getattr(config, "head_dim", None) not in (None, hidden // heads):
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    if hasattr(config, "rms_norm_eps"):
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    else:
        eps = config.layer_norm_epsilon if architecture == "gpt2" else config.layer_norm_eps
        writer.add_layer_norm_eps(eps)
    if config.model_type in ("phi3", "gemma2", "gemma3_text") and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    if config.model_type == "mixtral":
        writer.add_expert_count(config.num_local_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if config.model_type == "qwen3_moe":
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)
    if config.model_type == "stablelm":
        writer.add_parallel_residual(config.use_parallel_residual)
    if config.model_type == "gemma2" and config.attn_logit_softcapping:
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
    if getattr(config, "final_logit_softcapping", None):
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def _write_rope(writer: gguf.GGUFWriter, config: object) -> None:
    if config.model_type == "gpt2":
        return
    rope = dict(config.rope_parameters)
    if config.model_type == "gemma3_text":
        writer.add_rope_freq_base_swa(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(int(head_dim * rope.get("partial_rotary_factor", 1.0)))
    writer.add_rope_freq_base(rope["rope_theta"])
    kind = rope.get("rope_type", "default")
    if kind in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(rope["factor"])
    if kind == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if "beta_fast" in rope:
            writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
            writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
    if kind == "longrope":
        original = config.original_max_position_embeddings
        scale = config.max_position_embeddings / original
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))


def _rope_factors(config: object) -> dict[str, Tensor]:
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        return {
            f"rope_factors_{kind}.weight": torch.tensor(rope[f"{kind}_factor"]) for kind in ("long", "short")
        }
    if rope.get("rope_type") == "llama3":
        head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
        return {"rope_freqs.weight": _llama3_factors(rope, head_dim)}
    return {}


def _llama3_factors(rope: dict, head_dim: int) -> Tensor:
    """What each frequency is divided by (`LlamaModel.generate_extra_tensors`)."""
    old, low, high = (
        rope[k] for k in ("original_max_position_embeddings", "low_freq_factor", "high_freq_factor")
    )
    factors = []
    for freq in 1.0 / rope["rope_theta"] ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim):
        wavelength = 2 * torch.pi / freq
        if wavelength < old / high:
            factors.append(1.0)
        elif wavelength > old / low:
            factors.append(rope["factor"])
        else:
            smooth = (old / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return torch.tensor(factors)


def _write_vocabulary(writer: gguf.GGUFWriter, size: int) -> None:
    tokens = ["<unk>", "<s>", "</s>", *(f"▁word{i}" for i in range(size - 3))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * size)
    writer.add_token_types(
        [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 2, *[gguf.TokenType.NORMAL] * (size - 3)]
    )
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
