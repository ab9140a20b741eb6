"""What embedding, classifying and filling in give back; where vLLM has the thing, under its name."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class EmbeddingOutput:
    """The vector of one text."""

    embedding: list[float]


@dataclass(slots=True)
class EmbeddingRequestOutput:
    """A text and its vector."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: EmbeddingOutput
    finished: bool = True


@dataclass(slots=True)
class ClassificationOutput:
    """The score of every label, and the best label by name."""

    probs: list[float]
    label: str
    labels: tuple[str, ...] = field(repr=False)
    """The name of each score."""


@dataclass(slots=True)
class ClassificationRequestOutput:
    """A text or a picture and its class."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    """Empty for a picture."""
    outputs: ClassificationOutput
    finished: bool = True


@dataclass(slots=True)
class TokenClass:
    """A token of the text and its class."""

    token_id: int
    text: str
    label: str
    score: float


@dataclass(slots=True)
class TokenClassificationRequestOutput:
    """A text and the class of each of its tokens, special ones included."""

    request_id: str
    prompt: str | None
    prompt_token_ids: list[int]
    outputs: list[TokenClass]
    finished: bool = True


@dataclass(slots=True)
class FilledWord:
    """One word that may stand behind the mask."""

    token_id: int
    token: str
    probability: float
    text: str
    """The whole text with this word in the mask's place."""


@dataclass(slots=True)
class FilledMask:
    """A mask of the text and the likeliest words for it, best first."""

    position: int
    """Which token of the text it is."""
    words: list[FilledWord]
