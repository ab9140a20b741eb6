"""Rules that change nothing and watch: what a model's rows say of a recording beside the words.

Letters: V vocabulary.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Hearing:
    """Watches the row of the start: which language is likeliest, and whether anybody speaks."""

    languages: Collection[int]
    """Their tokens; empty where the language is known."""
    no_speech: int | None
    """The token that says that nobody speaks, if there is one."""
    language: int | None = None
    no_speech_prob: float | None = None

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        """The logits as they are."""
        if self.languages:
            ids = sorted(self.languages)
            self.language = ids[int(logits_V[ids].argmax())]
        if self.no_speech is not None:
            self.no_speech_prob = float(logits_V.softmax(dim=-1)[self.no_speech])
        return logits_V


@dataclass
class Likelihood:
    """Watches what the rules before it left of each row; adds up the log-probabilities of what was taken."""

    total: float = 0.0
    _row_V: Tensor | None = None

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        """The logits as they are."""
        self.settle(output)
        self._row_V = logits_V.log_softmax(dim=-1)
        return logits_V

    def settle(self, output: Sequence[int]) -> None:
        """Count the newest token, if it is not counted yet."""
        if self._row_V is not None and output:
            self.total += float(self._row_V[output[-1]])
            self._row_V = None
