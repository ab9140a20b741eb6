"""Says a transformers 5 config in the words of transformers 4."""

from typing import Any


def older(config: dict[str, Any], longrope: str = "su") -> dict[str, Any]:
    """The same config as an older checkpoint has it: `rope_theta` and `rope_scaling` with `type`, "su" for
    longrope, `torch_dtype`, no `head_dim` where it can be derived."""
    fields = dict(config)
    fields["torch_dtype"] = fields.pop("dtype")
    derived = fields.get("hidden_size", 0) // fields.get("num_attention_heads", 1)
    if fields.get("head_dim") == derived and fields["model_type"] in ("llama", "mistral", "mixtral"):
        del fields["head_dim"]
    rope = fields.pop("rope_parameters", None)
    if fields["model_type"] == "gemma3_text":
        fields |= _gemma3_ropes(rope)
    elif rope:
        fields |= _ropes(rope, longrope)
    if "num_local_experts" in fields and fields["model_type"] == "qwen3_moe":
        fields["num_experts"] = fields.pop("num_local_experts")
    return fields


def _ropes(rope: dict[str, Any], longrope: str) -> dict[str, Any]:
    rest = {name: value for name, value in rope.items() if name not in ("rope_theta", "rope_type")}
    outside = {"rope_theta": rope["rope_theta"]}
    if "partial_rotary_factor" in rest:
        outside["partial_rotary_factor"] = rest.pop("partial_rotary_factor")
    kind = rope["rope_type"]
    if kind == "default":
        return outside | {"rope_scaling": None}
    if kind == "longrope":
        # Phi-3 publishes the original length beside, not inside
        return outside | {
            "rope_scaling": {"type": longrope} | _without(rest, "original_max_position_embeddings")
        }
    return outside | {"rope_scaling": {"type": kind, **rest}}


def _gemma3_ropes(ropes: dict[str, Any]) -> dict[str, Any]:
    whole, local = dict(ropes["full_attention"]), ropes["sliding_attention"]
    theta, kind = whole.pop("rope_theta"), whole.pop("rope_type")
    scaling = None if kind == "default" else {"rope_type": kind, **whole}
    return {"rope_theta": theta, "rope_local_base_freq": local["rope_theta"], "rope_scaling": scaling}


def _without(settings: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key != name}
