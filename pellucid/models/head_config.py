"""HeadConfig: what stands on an encoder's or a vision model's output and gives the published answer."""

from dataclasses import dataclass
from typing import Literal

from pellucid.layers.norm import NormConfig

Task = Literal["words", "sequence", "tokens", "picture"]
"""What a head is for: the word behind a mask, the class of a text, of every token, of a picture."""


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """A product, a non-linearity and perhaps a norm before the last product."""

    activation: str
    bias: bool = True
    norm: NormConfig | None = None


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """`out(transform(pool(x)))`."""

    task: Task
    pool: str
    """A name in `layers.pooling.POOLINGS`."""
    transform: TransformConfig | None
    outputs: int
    out_bias: bool = True
    tied: bool = False
    """Whether the last product is the token table (masked words)."""
    labels: tuple[str, ...] = ()
    """What each output stands for; empty for words, whose names the tokenizer knows."""
    scores: Literal["softmax", "sigmoid", "none"] = "softmax"
    """How outputs become scores: one label of many, each label by itself, or a plain number."""


@dataclass(frozen=True, kw_only=True)
class VotingHeadConfig(HeadConfig):
    """A product for each of the first tokens; their mean is the answer."""

    voters: int
