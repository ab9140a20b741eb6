"""Reads rotary positions from a published config, in whichever dialect it says them."""

import math
from collections.abc import Mapping
from typing import Any

from pellucid.errors import ConfigError
from pellucid.layers.position import RotaryConfig
from pellucid.models.published import PublishedConfig

NAMES = {"su": "longrope", "none": "default", "ntk": "dynamic"}
"""Rope types that are published under names which are not our own."""

MOST_FACTOR = 1e6
"""Far more than any published scaling, and little enough to count with."""


def read_rotary(
    published: PublishedConfig,
    head_dim: int,
    max_length: int,
    *,
    theta: float = 10000.0,
    partial: float | None = None,
    original: int | None = None,
    names: Mapping[str, str] = NAMES,
) -> RotaryConfig:
    """`rope_parameters` (transformers 5), or `rope_theta` and `rope_scaling` (transformers 4).

    `theta`, `partial` (the part of each head that turns) and `original` (the length it was trained at) hold
    where the config is silent; `partial=None` is for a family that always turns whole heads.
    """
    outside: dict[str, Any] = {"rope_theta": published.get("rope_theta", float, theta)}
    if partial is not None:
        outside["partial_rotary_factor"] = published.get("partial_rotary_factor", float, partial)
    older, newer = published.get("rope_scaling", dict, {}), published.get("rope_parameters", dict, {})
    inside = {key: value for key, value in (older or newer).items() if value is not None}
    # what stands beside the rope settings outweighs what they say of the original length
    length = published.optional("original_max_position_embeddings", int, original)
    if length is not None:
        inside["original_max_position_embeddings"] = length
    rope = PublishedConfig(outside | inside, f"{published.where}, rope settings", published.model_type)
    return rotary_from(rope, head_dim, max_length, whole=partial is None, names=names)


def rotary_from(
    rope: PublishedConfig,
    head_dim: int,
    max_length: int,
    *,
    whole: bool = True,
    names: Mapping[str, str] = NAMES,
) -> RotaryConfig:
    """The config that one set of rope settings stands for. `whole` is a family that turns whole heads."""
    kind = rope.get("rope_type", str, rope.get("type", str, "default"))
    kind = names.get(kind, kind)
    dim = head_dim if whole else int(head_dim * rope.get("partial_rotary_factor", float, 1.0))
    if dim % 2 or not 2 <= dim <= head_dim:
        raise ConfigError(
            f"{rope.where}: {dim} of the {head_dim} entries of each head would turn; it must be even"
        )
    if kind not in READERS:
        raise ConfigError(
            f"{rope.where}: the rope type is {kind!r}; supported are {', '.join(READERS)} and su"
        )
    base: dict[str, Any] = {"theta": rope.within("rope_theta", 1, 1e15), "dim": dim, "scaling": kind}
    config = RotaryConfig(**base, **READERS[kind](rope, dim, max_length))
    rope.refuse_unread()
    return config


def _default(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {}


def _linear(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {"factor": rope.within("factor", 0, MOST_FACTOR)}


def _dynamic(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {"factor": rope.within("factor", 0, MOST_FACTOR), "original_max_position_embeddings": max_length}


def _llama3(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    return {
        "factor": rope.within("factor", 0, MOST_FACTOR),
        "original_max_position_embeddings": rope.size("original_max_position_embeddings", max_length),
        "low_freq_factor": rope.within("low_freq_factor", 0, MOST_FACTOR),
        "high_freq_factor": rope.within("high_freq_factor", 0, MOST_FACTOR),
    }


def _yarn(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    original = rope.size("original_max_position_embeddings", max_length)
    factor = rope.within("factor", 0, MOST_FACTOR, max_length / original)
    mscale, mscale_all = rope.get("mscale", float, 0.0), rope.get("mscale_all_dim", float, 0.0)

    def growth(scale: float) -> float:
        return 0.1 * scale * math.log(factor) + 1.0 if factor > 1 else 1.0

    both = mscale > 0 and mscale_all > 0
    attention = growth(mscale) / growth(mscale_all) if both else growth(1.0)
    return {
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": rope.within("attention_factor", 0, MOST_FACTOR, attention),
        "beta_fast": _beta(rope, "beta_fast", 32.0),
        "beta_slow": _beta(rope, "beta_slow", 1.0),
        "truncate": rope.get("truncate", bool, True),
    }


def _beta(rope: PublishedConfig, name: str, default: float) -> float:
    """0 stands for the default."""
    return rope.within(name, 0, MOST_FACTOR) if rope.get(name, float, 0.0) else default


def _longrope(rope: PublishedConfig, dim: int, max_length: int) -> dict[str, Any]:
    original = rope.size("original_max_position_embeddings", max_length)
    factor = rope.within("factor", 0, MOST_FACTOR, max_length / original)
    if original < 2:
        raise ConfigError(f"{rope.where}: `original_max_position_embeddings` is 1; it must be at least 2")
    attention = math.sqrt(1 + math.log(factor) / math.log(original)) if factor > 1 else 1.0
    return {
        "factor": factor,
        "original_max_position_embeddings": original,
        "attention_factor": rope.within("attention_factor", 0, MOST_FACTOR, attention),
        "short_factor": _factors(rope, "short_factor", dim),
        "long_factor": _factors(rope, "long_factor", dim),
    }


def _factors(rope: PublishedConfig, name: str, dim: int) -> tuple[float, ...]:
    factors = rope.need(name, list)
    numbers = [f for f in factors if isinstance(f, int | float) and 0 < f <= MOST_FACTOR]
    if len(factors) != dim // 2 or len(numbers) != len(factors):
        raise ConfigError(
            f"{rope.where}: `{name}` must be a list of {dim // 2} positive numbers, one for each pair"
        )
    return tuple(float(f) for f in factors)


READERS = {
    "default": _default,
    "linear": _linear,
    "dynamic": _dynamic,
    "yarn": _yarn,
    "llama3": _llama3,
    "longrope": _longrope,
}
