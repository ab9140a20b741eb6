"""GGUF's architectures: metadata → the published config of the same family, tensor names → ours.

What a file says is put in the words of config.json and read by the family's own reader, so there is one
reading of each family. Sources: llama.cpp's convert_hf_to_gguf.py (what is written) and src/models (how it
is read).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.models import gguf_names as names
from pellucid.models.gguf_header import GGUFHeader

Fields = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How one architecture's files read."""

    fields: Callable[[GGUFHeader], Fields]
    """The header as a config.json, with the `model_type` it is read by."""
    weights: Mapping[str, str]
    """Tensor names in the file → ours, as in `Family.weights`."""
    pairs_together: bool = False
    """Whether q's and k's rows are stored with the two that turn together side by side."""


def _decoder(h: GGUFHeader, model_type: str) -> Fields:
    """What every architecture says in the same words."""
    heads = h.size("attention.head_count")
    return {
        "model_type": model_type,
        "vocab_size": h.rows("token_embd.weight"),
        "hidden_size": h.size("embedding_length"),
        "intermediate_size": h.size("feed_forward_length"),
        "num_hidden_layers": h.size("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": h.whole("attention.head_count_kv") or heads,
        "max_position_embeddings": h.size("context_length"),
        "rms_norm_eps": h.number("attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": not h.has("output.weight"),
        "bos_token_id": h.special("bos"),
        "eos_token_id": h.special("eos"),
        "rope_parameters": _rope(h),
    }


def _head_dim(h: GGUFHeader) -> int:
    said = h.whole("attention.key_length")
    return said or max(1, h.size("embedding_length") // h.size("attention.head_count"))


def _rope(h: GGUFHeader) -> Fields:
    settings: Fields = {"rope_theta": h.number("rope.freq_base", 10000.0)}
    turning = h.whole("rope.dimension_count")
    if turning is not None and turning != _head_dim(h):
        settings["partial_rotary_factor"] = turning / _head_dim(h)
    original = h.whole("rope.scaling.original_context_length")
    if h.has("rope_factors_long.weight"):
        return settings | {
            "rope_type": "longrope",
            "short_factor": h.values("rope_factors_short.weight"),
            "long_factor": h.values("rope_factors_long.weight"),
            "attention_factor": h.number("rope.scaling.attn_factor"),
            "original_max_position_embeddings": original,
        }
    if h.has("rope_freqs.weight"):
        # Llama 3's scaling comes as what to divide each frequency by: longrope with one set of factors
        factors = h.values("rope_freqs.weight")
        return settings | {
            "rope_type": "longrope",
            "short_factor": factors,
            "long_factor": factors,
            "attention_factor": 1.0,
            "original_max_position_embeddings": h.size("context_length"),
        }
    kind = h.text("rope.scaling.type") or "none"
    if kind == "none":
        return settings
    scaling: Fields = {"rope_type": kind, "factor": h.number("rope.scaling.factor")}
    if kind == "yarn":
        scaling |= {
            "original_max_position_embeddings": original,
            "beta_fast": h.number("rope.scaling.yarn_beta_fast"),
            "beta_slow": h.number("rope.scaling.yarn_beta_slow"),
        }
    return settings | scaling


def _llama(h: GGUFHeader) -> Fields:
    window, experts = h.whole("attention.sliding_window"), h.whole("expert_count")
    if experts:
        model_type = "mixtral"
    else:
        model_type = "mistral" if window else "llama"
    fields = _decoder(h, model_type) | {"head_dim": _head_dim(h)}
    if experts:
        return fields | {
            "num_local_experts": experts,
            "num_experts_per_tok": h.whole("expert_used_count"),
            "sliding_window": window,
        }
    if window:
        return fields | {"sliding_window": window}
    bias, mlp_bias = h.has("blk.0.attn_q.bias"), h.has("blk.0.ffn_up.bias")
    return fields | {"attention_bias": bias, "mlp_bias": mlp_bias}


def _gpt2(h: GGUFHeader) -> Fields:
    return {
        "model_type": "gpt2",
        "vocab_size": h.rows("token_embd.weight"),
        "n_positions": h.rows("position_embd.weight"),
        "n_embd": h.size("embedding_length"),
        "n_layer": h.size("block_count"),
        "n_head": h.size("attention.head_count"),
        "n_inner": h.size("feed_forward_length"),
        "layer_norm_epsilon": h.number("attention.layer_norm_epsilon"),
        "tie_word_embeddings": not h.has("output.weight"),
        "bos_token_id": h.special("bos"),
        "eos_token_id": h.special("eos"),
    }


def _phi2(h: GGUFHeader) -> Fields:
    return _decoder(h, "phi") | {"layer_norm_eps": h.number("attention.layer_norm_epsilon")}


def _phi3(h: GGUFHeader) -> Fields:
    # files without this key are read with a window of none, as llama.cpp does
    return _decoder(h, "phi3") | {
        "sliding_window": h.whole("attention.sliding_window") or None,
        "original_max_position_embeddings": h.whole("rope.scaling.original_context_length"),
    }


def _qwen2(h: GGUFHeader) -> Fields:
    return _decoder(h, "qwen2")


def _qwen3(h: GGUFHeader) -> Fields:
    return _decoder(h, "qwen3") | {"head_dim": _head_dim(h)}


def _qwen3_moe(h: GGUFHeader) -> Fields:
    return _decoder(h, "qwen3_moe") | {
        "head_dim": _head_dim(h),
        "num_experts": h.size("expert_count"),
        "num_experts_per_tok": h.whole("expert_used_count"),
        "moe_intermediate_size": h.size("expert_feed_forward_length"),
        "norm_topk_prob": True,
    }


def _gemma(h: GGUFHeader, model_type: str, layers_27b: int) -> Fields:
    fields = _decoder(h, model_type)
    # no key says it: llama.cpp knows the largest model by its layers
    per_head = fields["hidden_size"] // fields["num_attention_heads"]
    scalar = per_head if fields["num_hidden_layers"] == layers_27b else _head_dim(h)
    return fields | {
        "head_dim": _head_dim(h),
        "query_pre_attn_scalar": scalar,
        "final_logit_softcapping": h.number("final_logit_softcapping"),
    }


def _gemma2(h: GGUFHeader) -> Fields:
    return _gemma(h, "gemma2", 46) | {
        "attn_logit_softcapping": h.number("attn_logit_softcapping"),
        "sliding_window": h.whole("attention.sliding_window") or 4096,
    }


def _gemma3(h: GGUFHeader) -> Fields:
    fields = _gemma(h, "gemma3_text", 62)
    rope = fields.pop("rope_parameters")
    return fields | {
        "sliding_window": h.size("attention.sliding_window"),
        "sliding_window_pattern": h.whole("attention.sliding_window_pattern"),
        "rope_theta": rope.pop("rope_theta"),
        "rope_scaling": rope or None,
        "rope_local_base_freq": h.number("rope.freq_base_swa", 10000.0),
    }


def _olmo2(h: GGUFHeader) -> Fields:
    return _decoder(h, "olmo2")


def _stablelm(h: GGUFHeader) -> Fields:
    # not the key `use_parallel_residual` decides, but whether there is a second norm, as in llama.cpp
    return _decoder(h, "stablelm") | {
        "layer_norm_eps": h.number("attention.layer_norm_epsilon"),
        "use_qkv_bias": h.has("blk.0.attn_q.bias"),
        "use_parallel_residual": not h.has("blk.0.ffn_norm.weight"),
        "qk_layernorm": h.has("blk.0.attn_q_norm.0.weight"),
    }


def _smollm3(h: GGUFHeader) -> Fields:
    return _decoder(h, "smollm3")


_GATED = names.SHARED | names.NORMS_BEFORE | names.SPLIT_QKV | names.GATED_MLP
_PLAIN = names.SHARED | names.NORMS_BEFORE | names.PLAIN_MLP
_GEMMA = _GATED | names.NORMS_AROUND

ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(fields=_llama, weights=_GATED | names.EXPERTS, pairs_together=True),
    "gpt2": Architecture(fields=_gpt2, weights=_PLAIN | names.FUSED_QKV),
    "phi2": Architecture(fields=_phi2, weights=_PLAIN | names.SPLIT_QKV),
    "phi3": Architecture(
        fields=_phi3, weights=names.SHARED | names.NORMS_BEFORE | names.FUSED_QKV | names.FUSED_MLP
    ),
    "qwen2": Architecture(fields=_qwen2, weights=_GATED),
    "qwen3": Architecture(fields=_qwen3, weights=_GATED | names.HEAD_NORMS),
    "qwen3moe": Architecture(fields=_qwen3_moe, weights=_GATED | names.HEAD_NORMS | names.EXPERTS),
    "gemma2": Architecture(fields=_gemma2, weights=_GEMMA),
    "gemma3": Architecture(fields=_gemma3, weights=_GEMMA | names.HEAD_NORMS),
    "olmo2": Architecture(
        fields=_olmo2,
        weights=names.SHARED | names.NORMS_AFTER | names.SPLIT_QKV | names.GATED_MLP | names.PROJECTION_NORMS,
    ),
    "stablelm": Architecture(fields=_stablelm, weights=_GATED | names.OWN_HEAD_NORMS),
    "smollm3": Architecture(fields=_smollm3, weights=_GATED, pairs_together=True),
}
