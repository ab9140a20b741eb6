"""Token and position tables.

Letters: T tokens, V vocabulary, P positions, D hidden.
"""

import math

import torch
from torch import Tensor, nn

from pellucid.layers.context import ForwardContext


class Embedding(nn.Module):
    """A row of the table for every id, times a constant where a family has one (√D in the original)."""

    def __init__(self, vocab_size: int, hidden_size: int, *, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(vocab_size, hidden_size))

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.kernels.embedding(ids_T, self.weight)
        if self.scale == 1.0:
            return x_TD
        # the constant is rounded to the table's dtype, as Gemma was trained: √3072 is 55.5 in bfloat16
        return x_TD * torch.tensor(self.scale, dtype=x_TD.dtype)


class LearnedPositions(nn.Module):
    """A trained row for every position, added to the token's (GPT-2, BERT; BART begins at row 2)."""

    def __init__(self, num_positions: int, hidden_size: int, *, offset: int = 0) -> None:
        super().__init__()
        self.offset = offset
        self.weight = nn.Parameter(torch.empty(num_positions + offset, hidden_size))

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        rows_T = ctx.once(self, lambda: ctx.positions_T + self.offset)
        return x_TD + ctx.kernels.embedding(rows_T, self.weight)


class SinusoidalPositions(nn.Module):
    """Sines and cosines of the position at geometric wavelengths (Vaswani et al. 2017, section 3.5).

    `interleaved` puts sine and cosine of one wavelength side by side, as the paper writes it; otherwise all
    sines come first, as Marian and Whisper publish it.
    """

    def __init__(self, hidden_size: int, *, interleaved: bool = True) -> None:
        super().__init__()
        self.interleaved = interleaved
        exponent = torch.arange(0, hidden_size, 2, dtype=torch.float64, device="cpu") / hidden_size
        self.register_buffer("frequency", (-exponent * math.log(10000.0)).exp(), persistent=False)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return x_TD + ctx.once(self, lambda: self.table(ctx.positions_T)).to(x_TD.dtype)

    def table(self, positions_P: Tensor) -> Tensor:
        """The rows `[P, D]` of the given positions, float32."""
        frequency: Tensor = self.get_buffer("frequency")
        angle_PF = positions_P[:, None].double() * frequency
        pair = (angle_PF.sin(), angle_PF.cos())
        rows_PD = torch.stack(pair, -1).flatten(1) if self.interleaved else torch.cat(pair, -1)
        return rows_PD.float()


class NoPositions(nn.Module):
    """Nothing is added: the order is lost, or is told elsewhere (rotary, a bias over distance)."""

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        return x_TD
