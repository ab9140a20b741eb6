"""The decoder blocks of an encoder-decoder: attention to itself, to the encoder's output, feed-forward.

Letters: T tokens, D hidden.
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from pellucid.layers.attention import Attention, AttentionConfig
from pellucid.layers.block import BlockConfig, make_attentions
from pellucid.layers.context import ForwardContext
from pellucid.layers.cross_attention import CrossAttention
from pellucid.layers.feed_forward import make_feed_forward
from pellucid.layers.norm import make_norm


@dataclass(frozen=True, kw_only=True)
class CrossBlockConfig(BlockConfig):
    """One decoder layer; `wiring` names a class in `CROSS_WIRINGS`."""

    cross_attention: AttentionConfig


class PreNormCrossBlock(nn.Module):
    """`h = x + attn(norm(x)); h = h + cross(norm(h)); h + mlp(norm(h))` (T5, Whisper)."""

    name = "block"

    def __init__(
        self, hidden_size: int, config: CrossBlockConfig, attn: Attention, cross_attn: CrossAttention
    ) -> None:
        super().__init__()
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.attn = attn
        self.cross_attn_norm = make_norm(config.norm, hidden_size)
        self.cross_attn = cross_attn
        self.mlp_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        h_TD = x_TD + ctx.dropout(self.attn(self.attn_norm(x_TD, ctx), ctx))
        h_TD = ctx.tap(self, "resid_mid", h_TD)
        h_TD = h_TD + ctx.dropout(self.cross_attn(self.cross_attn_norm(h_TD, ctx), ctx))
        h_TD = ctx.tap(self, "resid_cross", h_TD)
        y_TD = h_TD + ctx.dropout(self.mlp(self.mlp_norm(h_TD, ctx), ctx))
        return ctx.tap(self, "resid_post", y_TD)


class PostNormCrossBlock(nn.Module):
    """`h = norm(x + attn(x)); h = norm(h + cross(h)); norm(h + mlp(h))` (Vaswani
    et al. 2017; BART, Marian)."""

    name = "block"

    def __init__(
        self, hidden_size: int, config: CrossBlockConfig, attn: Attention, cross_attn: CrossAttention
    ) -> None:
        super().__init__()
        self.attn = attn
        self.attn_norm = make_norm(config.norm, hidden_size)
        self.cross_attn = cross_attn
        self.cross_attn_norm = make_norm(config.norm, hidden_size)
        self.mlp = make_feed_forward(hidden_size, config.feed_forward)
        self.mlp_norm = make_norm(config.norm, hidden_size)

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        x_TD = ctx.tap(self, "resid_pre", x_TD)
        h_TD = self.attn_norm(x_TD + ctx.dropout(self.attn(x_TD, ctx)), ctx)
        h_TD = ctx.tap(self, "resid_mid", h_TD)
        h_TD = self.cross_attn_norm(h_TD + ctx.dropout(self.cross_attn(h_TD, ctx)), ctx)
        h_TD = ctx.tap(self, "resid_cross", h_TD)
        y_TD = self.mlp_norm(h_TD + ctx.dropout(self.mlp(h_TD, ctx)), ctx)
        return ctx.tap(self, "resid_post", y_TD)


CROSS_WIRINGS: dict[str, Callable[[int, CrossBlockConfig, Attention, CrossAttention], nn.Module]] = {
    "pre_norm": PreNormCrossBlock,
    "post_norm": PostNormCrossBlock,
}


def make_cross_blocks(hidden_size: int, configs: tuple[CrossBlockConfig, ...]) -> nn.ModuleList:
    """The blocks of a decoder with an encoder. A layer's cross-attention has the index of its self-attention:
    both keep keys and values in one cache, in blocks of their own."""
    attentions = make_attentions(hidden_size, tuple(config.attention for config in configs))
    return nn.ModuleList(
        CROSS_WIRINGS[config.wiring](
            hidden_size, config, attn, CrossAttention(hidden_size, config.cross_attention, attn.index)
        )
        for config, attn in zip(configs, attentions, strict=True)
    )
