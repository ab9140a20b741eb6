"""How GGUF calls tensors, and what they are called here; the names are the same in all architectures.

`llama.cpp/gguf-py/gguf/constants.py`, `TENSOR_NAMES`.
"""

from collections.abc import Mapping

BLOCK, OURS = "blk.{}.", "blocks.{}."


def _named(modules: Mapping[str, str]) -> dict[str, str]:
    """Each module's weight and bias; which of them a body has is the body's to say."""
    names = {}
    for theirs, ours in modules.items():
        module, bracket, section = ours.partition("[")
        for kind in ("weight", "bias"):
            names[f"{theirs}.{kind}"] = f"{module}.{kind}{bracket}{section}"
    return names


def _in_blocks(modules: Mapping[str, str]) -> dict[str, str]:
    return _named({BLOCK + theirs: OURS + ours for theirs, ours in modules.items()})


SHARED = _named(
    {
        "token_embd": "embed_tokens",
        "position_embd": "embed_positions",
        "output_norm": "norm",
        "output": "lm_head",
    }
) | _in_blocks({"attn_output": "attn.o_proj", "ffn_down": "mlp.down_proj"})

NORMS_BEFORE = _in_blocks({"attn_norm": "attn_norm", "ffn_norm": "mlp_norm"})
NORMS_AFTER = _in_blocks({"post_attention_norm": "attn_norm", "post_ffw_norm": "mlp_norm"})
NORMS_AROUND = NORMS_BEFORE | _in_blocks(
    {"post_attention_norm": "attn_out_norm", "post_ffw_norm": "mlp_out_norm"}
)

SPLIT_QKV = _in_blocks({f"attn_{part}": f"attn.qkv_proj[{part}]" for part in "qkv"})
FUSED_QKV = _in_blocks({"attn_qkv": "attn.qkv_proj"})

HEAD_NORMS = _in_blocks({f"attn_{part}_norm": f"attn.{part}_norm" for part in "qk"})
OWN_HEAD_NORMS = _in_blocks({f"attn_{part}_norm.{{}}": f"attn.{part}_norm.norms.{{}}" for part in "qk"})
PROJECTION_NORMS = _in_blocks({f"attn_{part}_norm": f"attn.{part}_norm.norm" for part in "qk"})

PLAIN_MLP = _in_blocks({"ffn_up": "mlp.up_proj"})
GATED_MLP = _in_blocks({"ffn_gate": "mlp.gate_up_proj[gate]", "ffn_up": "mlp.gate_up_proj[up]"})
FUSED_MLP = _in_blocks({"ffn_up": "mlp.gate_up_proj"})
EXPERTS = _in_blocks(
    {
        "ffn_gate_inp": "mlp.router",
        "ffn_gate_exps.{}": "mlp.experts.{}.gate_up_proj[gate]",
        "ffn_up_exps.{}": "mlp.experts.{}.gate_up_proj[up]",
        "ffn_down_exps.{}": "mlp.experts.{}.down_proj",
    }
)

# What the config takes from tensors, not from metadata.
ROPE_FACTORS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
