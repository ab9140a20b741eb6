"""Multi-head attention, with as many KV heads as a family has.

Letters: T tokens, D hidden, H query heads, G KV heads, K head size, E entries of a distance table.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.kernels import AttentionSpec
from pellucid.layers.context import ForwardContext
from pellucid.layers.distance_bias import DistanceBias, DistanceBiasConfig, NoDistanceBias
from pellucid.layers.linear import FusedLinear, Linear
from pellucid.layers.position import NoRotation, Rotary, RotaryConfig
from pellucid.layers.qk_norm import QKNormConfig, make_qk_norm


@dataclass(frozen=True, kw_only=True)
class AttentionConfig:
    """One layer's attention: its declaration to the kernels, and how q, k and v come about."""

    spec: AttentionSpec
    qkv_bias: bool = False
    o_bias: bool = False
    rotary: RotaryConfig | None = None
    distance_bias: DistanceBiasConfig | None = None
    qk_norm: QKNormConfig | None = None


class Attention(nn.Module):
    """`softmax(QKᵀ · scale) V`, H heads at once, `Wₒ` over them joined (Vaswani et al. 2017, section 3.2).

    H = G is multi-head; G < H shares each key and value among H / G query heads (Ainslie et al. 2023,
    "GQA"); G = 1 is multi-query (Shazeer 2019).
    """

    name = "attn"

    def __init__(
        self,
        hidden_size: int,
        config: AttentionConfig,
        index: int,
        rotary: Rotary | NoRotation,
        distance_bias: DistanceBias | NoDistanceBias,
    ) -> None:
        """`rotary` and `distance_bias` are modules that the layers of a body share."""
        super().__init__()
        self.index = index
        self.spec = spec = config.spec
        q, kv = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
        self.qkv_proj = FusedLinear(hidden_size, {"q": q, "k": kv, "v": kv}, bias=config.qkv_bias)
        self.o_proj = Linear(q, hidden_size, bias=config.o_bias)
        self.rotary = rotary
        self.distance_bias = distance_bias
        self.q_norm = make_qk_norm(config.qk_norm, spec.num_heads, spec.head_dim)
        self.k_norm = make_qk_norm(config.qk_norm, spec.num_kv_heads, spec.head_dim)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        q_THK, k_TGK, v_TGK = self.project(x_TD, ctx)
        q_THK, k_TGK = self.rotary(q_THK, k_TGK, ctx)
        q_THK = ctx.tap(self, "q", q_THK)
        k_TGK = ctx.tap(self, "k", k_TGK)
        v_TGK = ctx.tap(self, "v", v_TGK)
        o_THK = ctx.tap(self, "z", ctx.attend(self, q_THK, k_TGK, v_TGK))
        return self.o_proj(o_THK.flatten(1), ctx)

    def project(self, x_TD: Tensor, ctx: ForwardContext) -> tuple[Tensor, Tensor, Tensor]:
        """Queries `[T, H, K]`, keys and values `[T, G, K]` of the input."""
        K = self.spec.head_dim
        q, k, v = self.qkv_proj(x_TD, ctx).split(self.qkv_proj.sizes, dim=-1)
        q_THK = self.q_norm(q.unflatten(-1, (-1, K)), ctx)
        k_TGK = self.k_norm(k.unflatten(-1, (-1, K)), ctx)
        return q_THK, k_TGK, v.unflatten(-1, (-1, K))

    def bias_table(self) -> Tensor | None:
        """What each head adds to the scores at each distance `[H, E]`, or None."""
        return self.distance_bias.table()
