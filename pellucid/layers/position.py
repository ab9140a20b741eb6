"""Rotary positions: queries and keys are turned by angles that grow with their position.

Letters: T tokens, H heads, K head size, R the rotated part of a head, F = R / 2 frequencies.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext

Scaling = Literal["default", "linear", "dynamic", "yarn", "llama3", "longrope"]


@dataclass(frozen=True, kw_only=True)
class RotaryConfig:
    """Su et al. 2021, "RoFormer", and the published ways to reach past the trained length."""

    theta: float
    dim: int
    """How many entries of each head turn; the rest of the head stays (partial rotary)."""
    scaling: Scaling = "default"
    factor: float = 1.0
    original_max_position_embeddings: int = 0
    """The length it was trained at: yarn, llama3, longrope; for dynamic, where growth begins."""
    attention_factor: float = 1.0
    """Multiplies cosine and sine, so scores grow by its square (yarn, longrope)."""
    low_freq_factor: float = 1.0
    high_freq_factor: float = 1.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    short_factor: tuple[float, ...] = ()
    long_factor: tuple[float, ...] = ()


def default_frequencies(theta: float, dim: int) -> Tensor:
    """`theta^(-2i / R)` for each pair i, `[F]` float32."""
    return 1.0 / theta ** (torch.arange(0, dim, 2, dtype=torch.float32, device="cpu") / dim)


def llama3_frequencies(config: RotaryConfig) -> Tensor:
    """Long wavelengths slow by `factor`, short ones stay, those between are blended (Llama 3.1)."""
    frequency_F = default_frequencies(config.theta, config.dim)
    turns_F = config.original_max_position_embeddings * frequency_F / (2 * math.pi)
    blend_F = (turns_F - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor)
    blend_F = blend_F.clamp(0, 1)
    return (1 - blend_F) * frequency_F / config.factor + blend_F * frequency_F


def yarn_frequencies(config: RotaryConfig) -> Tensor:
    """Pairs that turn often stay, pairs that turn seldom slow by `factor`, a ramp between (Peng et al. 2023,
    "YaRN", section 3.2)."""

    def pair_that_turns(times: float) -> float:
        period = config.original_max_position_embeddings / (times * 2 * math.pi)
        return config.dim * math.log(period) / (2 * math.log(config.theta))

    low, high = pair_that_turns(config.beta_fast), pair_that_turns(config.beta_slow)
    if config.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, config.dim - 1)
    pair_F = torch.arange(config.dim // 2, dtype=torch.float32, device="cpu")
    slow_F = ((pair_F - low) / (high - low if high != low else 0.001)).clamp(0, 1)
    frequency_F = default_frequencies(config.theta, config.dim)
    return frequency_F / config.factor * slow_F + frequency_F * (1 - slow_F)


def fixed_frequencies(config: RotaryConfig) -> Tensor:
    """The frequencies `[F]` of every scaling whose angles do not depend on a sequence's length; for those
    that do, the ones that hold up to the original length."""
    if config.scaling == "linear":
        return default_frequencies(config.theta, config.dim) / config.factor
    if config.scaling == "llama3":
        return llama3_frequencies(config)
    if config.scaling == "yarn":
        return yarn_frequencies(config)
    frequency_F = default_frequencies(config.theta, config.dim)
    if config.scaling == "longrope":
        return frequency_F / torch.tensor(config.short_factor, device="cpu")
    return frequency_F


class Rotary(nn.Module):
    """Turns queries and keys, `(q, k, ctx) -> (q, k)`, so that their product depends on distance alone."""

    def __init__(self, config: RotaryConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("frequency_F", fixed_frequencies(config), persistent=False)

    def forward(self, q_THK: Tensor, k_TGK: Tensor, ctx: ForwardContext) -> tuple[Tensor, Tensor]:
        cos_TR, sin_TR = ctx.once(self, lambda: self.angles(ctx))
        return ctx.kernels.rotary(q_THK, cos_TR, sin_TR), ctx.kernels.rotary(k_TGK, cos_TR, sin_TR)

    def angles(self, ctx: ForwardContext) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every token's angles, `[T, R]` each, float32; both halves of R are equal."""
        angle_TF = ctx.positions_T[:, None] * self.frequencies(ctx)
        angle_TR = torch.cat((angle_TF, angle_TF), dim=-1)
        cos_TR, sin_TR, factor = angle_TR.cos(), angle_TR.sin(), self.config.attention_factor
        return (cos_TR, sin_TR) if factor == 1.0 else (cos_TR * factor, sin_TR * factor)

    def frequencies(self, ctx: ForwardContext) -> Tensor:
        """`[F]`, or `[T, F]` where they depend on each token's own sequence."""
        return self.get_buffer("frequency_F")

    def regime(self, prompt_length: int, length: int) -> Hashable:
        """What of a sequence's length its keys depend on: when it changes, they must be computed anew."""
        return None


class LongRotary(Rotary):
    """Two sets of frequencies: a sequence longer than the original length uses the long one throughout
    (Ding et al. 2024, "LongRoPE", as Phi-3 uses it)."""

    def __init__(self, config: RotaryConfig) -> None:
        super().__init__(config)
        long_F = default_frequencies(config.theta, config.dim)
        long_F = long_F / torch.tensor(config.long_factor, device="cpu")
        self.register_buffer("long_F", long_F, persistent=False)

    def frequencies(self, ctx: ForwardContext) -> Tensor:
        long_T1 = (ctx.lengths_T > self.config.original_max_position_embeddings)[:, None]
        return torch.where(long_T1, self.get_buffer("long_F"), self.get_buffer("frequency_F"))

    def regime(self, prompt_length: int, length: int) -> Hashable:
        return length > self.config.original_max_position_embeddings


class DynamicRotary(Rotary):
    """Dynamic NTK: theta grows with the sequence once it passes the original length.

    Convention, as in generation by transformers: all tokens of a prompt use theta at the prompt's length,
    each generated token theta at its own position + 1, and keys once written stay as they are.
    """

    def frequencies(self, ctx: ForwardContext) -> Tensor:
        c = self.config
        length_T = torch.maximum(ctx.prompt_lengths_T, ctx.positions_T + 1).float()
        length_T = length_T.clamp_min(c.original_max_position_embeddings)
        growth_T = c.factor * length_T / c.original_max_position_embeddings - (c.factor - 1)
        theta_T = c.theta * growth_T ** (c.dim / (c.dim - 2))
        exponent_F = torch.arange(0, c.dim, 2, dtype=torch.float32, device=theta_T.device) / c.dim
        return 1.0 / theta_T[:, None] ** exponent_F

    def regime(self, prompt_length: int, length: int) -> Hashable:
        return prompt_length if prompt_length > self.config.original_max_position_embeddings else 0


class NoRotation(nn.Module):
    """Queries and keys stay as they are."""

    def forward(self, q_THK: Tensor, k_TGK: Tensor, ctx: ForwardContext) -> tuple[Tensor, Tensor]:
        return q_THK, k_TGK


def make_rotary(config: RotaryConfig) -> Rotary:
    """The module for a config's scaling."""
    if config.scaling == "longrope":
        return LongRotary(config)
    return DynamicRotary(config) if config.scaling == "dynamic" else Rotary(config)
