"""Reads rotary positions from a published config, in whichever dialect it says them."""

import math
from collections.abc import Mapping
from typing import Any

from pellucid.errors import ConfigError
from pellucid.layers.position import RotaryConfig
from pellucid.models.published import PublishedConfig

NAMES = {"su": "longrope", "none": "default", "ntk": "dynamic"}


def read_rotary(
    published: PublishedConfig,
    head_dim: int,
    max_length: int,
    *,
    theta: float = 10000.0,
    partial: float = 1.0,
    settings: Mapping[str, Any] | None = None,
    names: Mapping[str, str] = NAMES,
) -> RotaryConfig:
    """`rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4).

    `settings` stands in for those two where a family keeps one for each kind of layer; `names` are the
    published names of rope types that are not our own.
    """
    merged: dict[str, Any] = {
        "rope_theta": published.get("rope_theta", float, theta),
        "partial_rotary_factor": published.get("partial_rotary_factor", float, partial),
    }
    if settings is None:
        settings = published.get("rope_scaling", dict, {}) | published.get("rope_parameters", dict, {})
    merged |= {key: value for key, value in settings.items() if value is not None}
    outer = published.optional("original_max_position_embeddings", int)
    if outer is not None:
        merged["original_max_position_embeddings"] = outer
    rope = PublishedConfig(merged, f"{published.where}, rope settings")
    kind = rope.get("rope_type", str, rope.get("type", str, "default"))
    kind = names.get(kind, kind)
    dim = int(head_dim * rope.need("partial_rotary_factor", float))
    if dim % 2 or not 2 <= dim <= head_dim:
        raise ConfigError(
            f"{rope.where}: {dim} of the {head_dim} entries of each head would turn; it must be even"
        )
    if kind not in READERS:
        raise ConfigError(
            f"{rope.where}: the rope type is {kind!r}; supported are {', '.join(READERS)} and su"
        )
    base: dict[str, Any] = {"theta": rope.need("rope_theta", float), "dim": dim, "scaling": kind}
    return RotaryConfig(**base, **READERS[kind](rope, dim, max_length))


def _default(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {}


def _linear(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {"factor": rope.need("factor", float)}


def _dynamic(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {"factor": rope.need("factor", float), "original_max_position_embeddings": max_length}


def _llama3(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {
        "factor": rope.need("factor", float),
        "original_max_position_embeddings": rope.size("original_max_position_embeddings", max_length),
        "low_freq_factor": rope.need("low_freq_factor", float),
        "high_freq_factor": rope.need("high_freq_factor", float),
    }


def _yarn(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    original = rope.size("original_max_position_embeddings", max_length)
    factor = rope.get("factor", float, max_length / original)
    mscale, mscale_all = rope.optional("mscale", float), rope.optional("mscale_all_dim", float)

    def growth(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    attention = growth(mscale) / growth(mscale_all) if mscale and mscale_all else growth(1.0)
    return {
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": rope.get("attention_factor", float, attention),
        "beta_fast": rope.get("beta_fast", float, 32.0) or 32.0,
        "beta_slow": rope.get("beta_slow", float, 1.0) or 1.0,
        "truncate": rope.get("truncate", bool, True),
    }


def _longrope(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    original = rope.size("original_max_position_embeddings", max_length)
    factor = rope.get("factor", float, max_length / original)
    attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return {
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": rope.get("attention_factor", float, attention),
        "short_factor": _factors(rope, "short_factor", dim),
        "long_factor": _factors(rope, "long_factor", dim),
    }


def _factors(rope: PublishedConfig, name: str, dim: int) -> tuple[float, ...]:
    factors = rope.need(name, list)
    if len(factors) != dim // 2 or not all(isinstance(f, int | float) for f in factors):
        raise ConfigError(f"{rope.where}: `{name}` must be a list of {dim // 2} numbers, one for each pair")
    return tuple(float(f) for f in factors)


READERS = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
}
