"""The configurations of every decoder family that are compared with transformers."""

from dataclasses import dataclass, field
from typing import Any

SHAPE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
}
GROUPED = {**SHAPE, "num_key_value_heads": 2}
GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 80}


@dataclass(frozen=True)
class Case:
    """One checkpoint: its family, its config, and the prompt lengths at which logits are compared."""

    model_type: str
    fields: dict[str, Any] = field(hash=False)
    lengths: tuple[int, ...] = (1, 40)
    family: str = ""
    """Its row in the table of families, where that is not its model_type."""

    @property
    def row(self) -> str:
        return self.family or self.model_type


def rope(rope_type: str, theta: float = 10000.0, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": rope_type, "rope_theta": theta, **more}}


def factors(pairs: int, step: float) -> list[float]:
    return [1.0 + step * i for i in range(pairs)]


def longrope(pairs: int, **more: Any) -> dict[str, Any]:
    """Long-rope in a model that was trained at 24 tokens."""
    short, long = factors(pairs, 0.05), factors(pairs, 1.5)
    settings = rope("longrope", short_factor=short, long_factor=long, **more)
    return {**settings, "original_max_position_embeddings": 24, "max_position_embeddings": 96}


LLAMA3 = rope(
    "llama3",
    500000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=64,
)
YARN = rope("yarn", factor=4.0, original_max_position_embeddings=32)
GEMMA_ROPES = {
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    }
}
GEMMA = {**GROUPED, "head_dim": 16, "sliding_window": 7, "num_hidden_layers": 3}
EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
LAYERS4 = {"num_hidden_layers": 4}

CASES = {
    "gpt2": Case("gpt2", GPT2),
    "gpt2-untied-inner": Case("gpt2", {**GPT2, "n_inner": 40, "tie_word_embeddings": False}),
    "gpt2-scales": Case(
        "gpt2", {**GPT2, "scale_attn_weights": False, "scale_attn_by_inverse_layer_idx": True}
    ),
    "gpt2-relu": Case("gpt2", {**GPT2, "activation_function": "relu", "layer_norm_epsilon": 1e-3}),
    "llama-1": Case("llama", SHAPE),
    "llama-2-grouped": Case("llama", {**GROUPED, "rms_norm_eps": 1e-5}),
    "llama-multi-query": Case("llama", {**SHAPE, "num_key_value_heads": 1}),
    "llama-3.1": Case("llama", {**GROUPED, **LLAMA3, "eos_token_id": [2, 3]}, (1, 40, 100)),
    "llama-3.2-tied-head-dim": Case(
        "llama", {**GROUPED, **LLAMA3, "tie_word_embeddings": True, "head_dim": 12}
    ),
    "llama-biases": Case("llama", {**GROUPED, "attention_bias": True, "mlp_bias": True}),
    "llama-linear": Case("llama", {**GROUPED, **rope("linear", factor=2.5)}),
    "llama-dynamic": Case(
        "llama", {**GROUPED, **rope("dynamic", factor=3.0), "max_position_embeddings": 80}, (40, 81, 120)
    ),
    "llama-yarn": Case("llama", {**GROUPED, **YARN}, (1, 40, 100)),
    "llama-yarn-mscale": Case(
        "llama",
        {
            **GROUPED,
            **rope(
                "yarn",
                factor=4.0,
                original_max_position_embeddings=32,
                mscale=1.0,
                mscale_all_dim=0.7,
                beta_fast=16.0,
                truncate=False,
            ),
        },
        (1, 100),
    ),
    "smollm": Case(
        "llama",
        {
            **SHAPE,
            "hidden_size": 36,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
        },
        family="smollm",
    ),
    "mistral-window": Case("mistral", {**GROUPED, "sliding_window": 7}),
    "mistral-whole": Case("mistral", {**GROUPED, "sliding_window": None, "head_dim": 16}),
    "mixtral": Case("mixtral", {**GROUPED, "num_local_experts": 4}),
    "mixtral-window-3-of-8": Case(
        "mixtral", {**GROUPED, "num_local_experts": 8, "num_experts_per_tok": 3, "sliding_window": 7}
    ),
    "qwen2-window-off": Case(
        "qwen2", {**GROUPED, "use_sliding_window": False, "sliding_window": 7, "tie_word_embeddings": True}
    ),
    "qwen2-window-above": Case(
        "qwen2",
        {**GROUPED, **LAYERS4, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 2},
    ),
    "qwen2-layer-types": Case(
        "qwen2",
        {
            **GROUPED,
            "use_sliding_window": True,
            "sliding_window": 7,
            "layer_types": ["sliding_attention", "full_attention"],
        },
    ),
    "qwen2-yarn": Case("qwen2", {**GROUPED, **YARN}, (1, 100)),
    "qwen3": Case("qwen3", {**GROUPED, "head_dim": 16}),
    "qwen3-tied-biases": Case(
        "qwen3", {**GROUPED, "head_dim": 8, "tie_word_embeddings": True, "attention_bias": True}
    ),
    "qwen3-window": Case(
        "qwen3",
        {
            **GROUPED,
            "head_dim": 8,
            "use_sliding_window": True,
            "sliding_window": 7,
            "max_window_layers": 1,
        },
    ),
    "qwen3-moe": Case("qwen3_moe", {**GROUPED, **EXPERTS, "num_experts": 6}),
    "qwen3-moe-normalised-some-layers": Case(
        "qwen3_moe",
        {
            **GROUPED,
            **EXPERTS,
            **LAYERS4,
            "num_experts": 5,
            "norm_topk_prob": True,
            "decoder_sparse_step": 2,
            "mlp_only_layers": [3],
        },
    ),
    "qwen3-moe-window": Case(
        "qwen3_moe",
        {**GROUPED, **EXPERTS, "num_experts": 4, "use_sliding_window": True, "sliding_window": 7},
    ),
    "gemma2": Case("gemma2", GEMMA),
    "gemma2-tight-caps": Case(
        "gemma2",
        {
            **GEMMA,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
            "query_pre_attn_scalar": 24,
        },
    ),
    "gemma2-no-caps-biases": Case(
        "gemma2",
        {
            **GEMMA,
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
            "attention_bias": True,
        },
    ),
    "gemma3": Case("gemma3_text", {**GEMMA, "num_hidden_layers": 7}, family="gemma3"),
    "gemma3-linear-global": Case("gemma3_text", {**GEMMA, **GEMMA_ROPES}, family="gemma3"),
    "gemma3-pattern-cap": Case(
        "gemma3_text",
        {
            **GEMMA,
            **GEMMA_ROPES,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "final_logit_softcapping": 4.0,
            "query_pre_attn_scalar": 30,
        },
        family="gemma3",
    ),
    "olmo2": Case("olmo2", SHAPE),
    "olmo2-grouped": Case("olmo2", {**GROUPED, **rope("default", 500000.0), "attention_bias": True}),
    "smollm3": Case("smollm3", {**GROUPED, **LAYERS4}),
    "smollm3-window-untied": Case(
        "smollm3",
        {
            **GROUPED,
            "no_rope_layers": [0, 1],
            "use_sliding_window": True,
            "sliding_window": 7,
            "tie_word_embeddings": False,
        },
    ),
    "stablelm": Case("stablelm", {**SHAPE, "num_key_value_heads": 4}),
    "stablelm-biases-partial": Case(
        "stablelm", {**GROUPED, "use_qkv_bias": True, **rope("default", partial_rotary_factor=0.5)}
    ),
    "stablelm-parallel-head-norms": Case(
        "stablelm", {**GROUPED, "use_parallel_residual": True, "qk_layernorm": True}
    ),
    "phi-2": Case("phi", {**SHAPE, "hidden_size": 40, **rope("default", partial_rotary_factor=0.4)}),
    "phi-grouped-head-norms": Case("phi", {**GROUPED, "qk_layernorm": True, "hidden_act": "gelu"}),
    "phi3-window": Case("phi3", {**SHAPE, "sliding_window": 7}),
    "phi3-longrope": Case("phi3", {**GROUPED, **longrope(4)}, (24, 25, 60)),
    "phi3-partial-longrope-tied": Case(
        "phi3",
        {
            **GROUPED,
            "hidden_size": 64,
            "tie_word_embeddings": True,
            **longrope(6, partial_rotary_factor=0.75),
        },
        (24, 60),
    ),
}
