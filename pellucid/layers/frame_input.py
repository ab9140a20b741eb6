"""From sound to the residual stream: log-mel frames, each with its neighbours, every second one a token.

Letters: N recordings, F frames of a recording, M mel bands, S = F / 2 tokens of a recording, T = N * S,
D hidden, C inputs of a convolution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.context import ForwardContext
from pellucid.layers.embedding import LearnedPositions
from pellucid.layers.linear import Linear

WIDTH = 3
"""How many neighbouring frames a convolution joins."""
STRIDE = 2
"""How many frames become one token."""


@dataclass(frozen=True, kw_only=True)
class FrameInputConfig:
    """How many bands a frame has, and how many tokens a recording becomes."""

    num_mels: int
    num_tokens: int

    @property
    def num_frames(self) -> int:
        """How many frames a recording has; shorter ones are filled up."""
        return self.num_tokens * STRIDE


class FrameInput(nn.Module):
    """`gelu(conv₂(gelu(conv₁(frames)))) + P`, the second at every other frame (Radford et al. 2022).

    A convolution is a product with each frame and its neighbours side by side.
    """

    name = "input"

    def __init__(self, hidden_size: int, config: FrameInputConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = Linear(WIDTH * config.num_mels, hidden_size, bias=True)
        self.conv2 = Linear(WIDTH * hidden_size, hidden_size, bias=True)
        self.embed_positions = LearnedPositions(config.num_tokens, hidden_size)

    def pack(self, contents: Sequence[Tensor]) -> Tensor:
        """Several recordings `[F, M]` as `forward` reads them."""
        return torch.stack(list(contents))

    def forward(self, frames_NFM: Tensor, ctx: ForwardContext) -> Tensor:
        """The tokens `[T, D]` of all recordings, one recording after the other."""
        frames_NFM = frames_NFM.to(self.embed_positions.weight.dtype)
        x = ctx.kernels.activation(self.conv1(neighbours(frames_NFM, 1), ctx), "gelu")
        x_NFD = x.view(*frames_NFM.shape[:2], -1)
        x_TD = ctx.kernels.activation(self.conv2(neighbours(x_NFD, STRIDE), ctx), "gelu")
        return ctx.dropout(self.embed_positions(ctx.tap(self, "embed", x_TD), ctx))


def neighbours(x_NFC: Tensor, stride: int) -> Tensor:
    """Every `stride`-th frame with the one before and the one after, zeros beyond the ends: `[N * F / stride,
    3 * C]`, the three values of an input side by side as published convolutions have them."""
    padded = F.pad(x_NFC, (0, 0, WIDTH // 2, WIDTH // 2))
    return padded.unfold(1, WIDTH, stride).flatten(2).flatten(0, 1)
