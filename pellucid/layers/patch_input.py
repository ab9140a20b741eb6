"""From pixels to the residual stream: a picture cut into patches, each patch a token.

Letters: N pictures, C channels, Y rows, X columns, P tokens of a picture, T = N * P, D hidden.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pellucid.layers.context import ForwardContext
from pellucid.layers.embedding import LearnedPositions
from pellucid.layers.linear import Linear


@dataclass(frozen=True, kw_only=True)
class PatchInputConfig:
    """The picture's shape, the patch's, and how many learned tokens stand before the patches."""

    channels: int
    image_size: tuple[int, int]
    """(height, width)."""
    patch_size: tuple[int, int]
    special_tokens: int

    @property
    def num_tokens(self) -> int:
        """How many tokens a picture becomes."""
        (height, width), (patch_height, patch_width) = self.image_size, self.patch_size
        return self.special_tokens + (height // patch_height) * (width // patch_width)


class PatchInput(nn.Module):
    """`[class; W·patch₁; W·patch₂; …] + P` (Dosovitskiy et al. 2021, "ViT", eq. 1)."""

    name = "input"

    def __init__(self, hidden_size: int, config: PatchInputConfig) -> None:
        super().__init__()
        self.config = config
        patch_height, patch_width = config.patch_size
        self.patch_proj = Linear(config.channels * patch_height * patch_width, hidden_size, bias=True)
        self.special_tokens = nn.ParameterList(
            nn.Parameter(torch.empty(hidden_size)) for _ in range(config.special_tokens)
        )
        self.embed_positions = LearnedPositions(config.num_tokens, hidden_size)

    def forward(self, pixels_NCYX: Tensor, ctx: ForwardContext) -> Tensor:
        """The tokens `[T, D]` of all pictures, one picture after the other."""
        size = self.config.patch_size
        patches = F.unfold(pixels_NCYX, size, stride=size).transpose(1, 2).flatten(0, 1)
        N = len(pixels_NCYX)
        patches_NPD = self.patch_proj(patches, ctx).unflatten(0, (N, -1))
        special = [token_D.to(patches_NPD.dtype).expand(N, 1, -1) for token_D in self.special_tokens]
        x_TD = torch.cat([*special, patches_NPD], dim=1).flatten(0, 1)
        return ctx.dropout(self.embed_positions(ctx.tap(self, "embed", x_TD), ctx))
