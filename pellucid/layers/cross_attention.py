"""Attention from one sequence to another: queries from the decoder, keys and values from the encoder.

Letters: T decoder tokens, S encoder rows, D hidden, H query heads, G KV heads, K head size.
"""

from torch import Tensor, nn

from pellucid.layers.attention import AttentionConfig
from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import FusedLinear, Linear


class CrossAttention(nn.Module):
    """`softmax(QMᵀ · scale) N`: K and V of the encoder's output are made once, for every step of the decoder
    (Vaswani et al. 2017, section 3.2.3)."""

    name = "cross_attn"

    def __init__(self, hidden_size: int, config: AttentionConfig, index: int) -> None:
        super().__init__()
        self.index = index
        self.spec = spec = config.spec
        q, kv = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
        self.q_proj = Linear(hidden_size, q, bias=config.qkv_bias)
        self.kv_proj = FusedLinear(hidden_size, {"k": kv, "v": kv}, bias=config.qkv_bias)
        self.o_proj = Linear(q, hidden_size, bias=config.o_bias)

    def remember(self, memory_SD: Tensor, ctx: ForwardContext) -> None:
        """Make the keys and values of the encoder's output and leave them with the context."""
        k, v = self.kv_proj(memory_SD, ctx).split(self.kv_proj.sizes, dim=-1)
        K = self.spec.head_dim
        k_SGK = ctx.tap(self, "k", k.unflatten(-1, (-1, K)))
        v_SGK = ctx.tap(self, "v", v.unflatten(-1, (-1, K)))
        ctx.remember(self, k_SGK, v_SGK)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        q_THK = ctx.tap(self, "q", self.q_proj(x_TD, ctx).unflatten(-1, (-1, self.spec.head_dim)))
        o_THK = ctx.tap(self, "z", ctx.attend(self, q_THK))
        return self.o_proj(o_THK.flatten(1), ctx)

    def bias_table(self) -> None:
        """Two sequences have no distance between them."""
        return None
