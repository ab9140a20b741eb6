"""The heads of encoders: masked words, the class of a sequence, the class of each token.

Letters: T tokens, D hidden, R rows (T, or one a sequence), V outputs.
"""

from torch import Tensor, nn

from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import Linear
from pellucid.layers.norm import Unchanged, make_norm
from pellucid.layers.pooling import POOLINGS
from pellucid.models.head_config import HeadConfig, TransformConfig


class Transform(nn.Module):
    """`norm(act(W x))`."""

    def __init__(self, hidden_size: int, config: TransformConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.dense = Linear(hidden_size, hidden_size, bias=config.bias)
        self.norm = make_norm(config.norm, hidden_size) if config.norm else Unchanged()

    def forward(self, x_RD: Tensor, ctx: ForwardContext) -> Tensor:
        return self.norm(ctx.kernels.activation(self.dense(x_RD, ctx), self.activation), ctx)


class Head(nn.Module):
    """`W transform(pool(x)) + b`."""

    name = "head"

    def __init__(self, hidden_size: int, config: HeadConfig) -> None:
        super().__init__()
        self.pool = POOLINGS[config.pool]()
        self.transform = Transform(hidden_size, config.transform) if config.transform else Unchanged()
        self.out_proj = Linear(hidden_size, config.outputs, bias=config.out_bias)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        """The outputs `[R, V]`, before any softmax."""
        x_RD = self.transform(self.pool(x_TD, ctx), ctx)
        return self.out_proj(ctx.dropout(x_RD), ctx)
