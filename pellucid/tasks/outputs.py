"""What tasks other than writing on give back; where vLLM has the thing, under its name."""

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


@dataclass(slots=True)
class Segment:
    """A piece of a recording and what is said in it; seconds count from the recording's beginning."""

    start: float
    end: float
    text: str
    token_ids: list[int]
    """Times among them, where they were written."""
    avg_logprob: float
    """The mean log-probability of the tokens of its window, among those that the rules allowed."""
    no_speech_prob: float | None
    """How likely the model finds it that nobody speaks in its window; None where nothing says which token
    that is."""
    temperature: float = 0.0


@dataclass(slots=True)
class Transcription:
    """What is said in one recording."""

    text: str
    language: str | None
    """Its code, "fr"; None where neither the caller nor the checkpoint says, and the model cannot."""
    segments: list[Segment]
    duration: float
    """Seconds."""

    @property
    def token_ids(self) -> list[int]:
        """Everything that was written."""
        return [token for segment in self.segments for token in segment.token_ids]
