"""The parts of a decoder's config that most families publish under the same names."""

from collections.abc import Sequence
from dataclasses import dataclass

from pellucid.errors import ConfigError
from pellucid.kernels import AttentionSpec
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.position import RotaryConfig
from pellucid.models.config import ModelConfig
from pellucid.models.published import PublishedConfig

MOST_EXPERTS = 2**16
LAYER_TYPES = {"full_attention": False, "sliding_attention": True}


@dataclass(frozen=True, kw_only=True)
class Heads:
    """Query heads, KV heads, and how large each is."""

    where: str
    """The config that says so, for errors."""
    count: int
    kv_count: int
    dim: int

    def spec(
        self, *, scale: float | None = None, window: int | None = None, soft_cap: float | None = None
    ) -> AttentionSpec:
        """Causal attention by these heads; scores are scaled by 1/√dim where nothing else is said.

        Raises ConfigError for a window in which a token does not even see itself.
        """
        if window is not None and window < 1:
            raise ConfigError(
                f"{self.where}: `sliding_window` is {window}; it must be 1 or more, or null for none"
            )
        return AttentionSpec(
            num_heads=self.count,
            num_kv_heads=self.kv_count,
            head_dim=self.dim,
            scale=self.dim**-0.5 if scale is None else scale,
            causal=True,
            window=window,
            soft_cap=soft_cap,
        )


def read_heads(
    published: PublishedConfig, *, kv_heads: int | None = None, head_dim: int | None = None
) -> Heads:
    """`kv_heads` and `head_dim` hold where the config is silent; None is as many KV heads as query heads, and
    hidden size / heads."""
    count, kv_count = published.heads("num_attention_heads", "num_key_value_heads", kv_heads)
    dim = published.head_dim(published.size("hidden_size"), count, head_dim)
    return Heads(where=published.where, count=count, kv_count=kv_count, dim=dim)


def read_rms_norm(published: PublishedConfig, eps: float) -> NormConfig:
    """The RMS norm of the whole body; `eps` holds where the config is silent."""
    return NormConfig(kind="rms_norm", eps=published.within("rms_norm_eps", 0, 1, eps))


def read_layer_norm(published: PublishedConfig, eps: float) -> NormConfig:
    """The layer norm of the whole body; `eps` holds where the config is silent."""
    return NormConfig(kind="layer_norm", eps=published.within("layer_norm_eps", 0, 1, eps))


def read_gated_feed_forward(published: PublishedConfig, *, bias: bool = False) -> FeedForwardConfig:
    """SwiGLU, or gated by what `hidden_act` names."""
    return FeedForwardConfig(
        size=published.size("intermediate_size"),
        activation=published.activation("hidden_act", "silu"),
        gated=True,
        bias=bias,
    )


def read_windows(
    published: PublishedConfig, sliding: Sequence[bool], window: int | None
) -> tuple[int | None, ...]:
    """The window of each layer: what `layer_types` says, or `sliding` where it is missing, decides which
    layers have one. Raises ConfigError for a layer type that Pellucid does not have."""
    types = published.get("layer_types", list, [])
    if types:
        unknown = sorted({str(t) for t in types} - LAYER_TYPES.keys())
        if unknown or len(types) != len(sliding):
            raise ConfigError(
                f"{published.where}: `layer_types` must be {len(sliding)} of {', '.join(LAYER_TYPES)}, one a "
                f"layer; it has {len(types)}" + (f", among them {', '.join(unknown)}" if unknown else "")
            )
        sliding = [LAYER_TYPES[t] for t in types]
    if any(sliding) and window is None:
        raise ConfigError(
            f"{published.where}: `layer_types` has sliding_attention, but no `sliding_window` is in use that "
            "says how far it reaches"
        )
    return tuple(window if slides else None for slides in sliding)


def read_decoder(
    published: PublishedConfig,
    blocks: Sequence[BlockConfig],
    *,
    norm: NormConfig,
    max_length: int,
    tied: bool = False,
    bos: int | None = None,
    eos: tuple[int, ...] = (),
    pad: int | None = None,
    lm_head_bias: bool = False,
    embedding_scale: float = 1.0,
    logit_soft_cap: float | None = None,
) -> ModelConfig:
    """The whole config; `tied`, `bos`, `eos` and `pad` hold where the published one is silent."""
    rotaries = [block.attention.rotary for block in blocks if block.attention.rotary is not None]
    experts = [block.feed_forward.experts for block in blocks if block.feed_forward.experts is not None]
    if sum(each.count for each in experts) > MOST_EXPERTS:
        raise ConfigError(f"{published.where}: more than {MOST_EXPERTS} experts in all; no model has as many")
    if any(each.chosen > each.count for each in experts):
        raise ConfigError(
            f"{published.where}: `num_experts_per_tok` is {experts[0].chosen}, and there are "
            f"{experts[0].count} experts"
        )
    return ModelConfig(
        model_type=published.model_type,
        vocab_size=published.size("vocab_size"),
        hidden_size=published.size("hidden_size"),
        max_position_embeddings=max([max_length, *map(_reach, rotaries)]),
        blocks=tuple(blocks),
        final_norm=norm,
        tie_word_embeddings=published.get("tie_word_embeddings", bool, tied),
        lm_head_bias=lm_head_bias,
        embedding_scale=embedding_scale,
        logit_soft_cap=logit_soft_cap,
        bos_token_id=published.optional("bos_token_id", int, bos),
        eos_token_ids=published.token_ids("eos_token_id", eos),
        pad_token_id=published.optional("pad_token_id", int, pad),
        dtype=published.dtype(),
    )


def _reach(rotary: RotaryConfig) -> int:
    """How far a scaling stretches the length it names, where `max_position_embeddings` need not say so."""
    stretches = rotary.scaling in ("dynamic", "yarn")
    return int(rotary.factor * rotary.original_max_position_embeddings) if stretches else 0
