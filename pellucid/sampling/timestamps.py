"""When speech begins and ends, as tokens among the words: Whisper's rules for writing them.

Radford et al. 2022, section 2.3, and the decoding published with it. Letters: V vocabulary, S the tokens that
stand for times, from `first` on, each a fiftieth of a second later than the one before.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Timestamps:
    """Times come in pairs, an end and the next beginning; they never fall; the text begins with one; and one
    is written whenever all times together are likelier than any single word."""

    first: int
    """The token of 0.00 seconds; all from it on are times."""
    without: int
    """The token that asks for a text without times: it is never written."""
    end: int
    """The token that ends a text; all before it are words."""
    latest_start: int | None
    """How many steps into the recording the text may begin; None leaves it free."""

    def __call__(self, prompt: Sequence[int], output: Sequence[int], logits_V: Tensor) -> Tensor:
        """The logits with what these rules forbid at -inf."""
        logits_V = logits_V.clone()
        logits_V[self.without] = -math.inf
        times = [token for token in output if token >= self.first]
        ends_in_time = bool(output) and output[-1] >= self.first
        ends_in_pair = ends_in_time and (len(output) < 2 or output[-2] >= self.first)
        if ends_in_pair:
            logits_V[self.first :] = -math.inf
        elif ends_in_time:
            logits_V[: self.end] = -math.inf
        if times:
            # what has ended may begin again at once; what has begun must last
            earliest = times[-1] if ends_in_time and not ends_in_pair else times[-1] + 1
            logits_V[self.first : earliest] = -math.inf
        if not output:
            logits_V[: self.first] = -math.inf
            if self.latest_start is not None:
                logits_V[self.first + self.latest_start + 1 :] = -math.inf
        if logits_V[self.first :].logsumexp(0) > logits_V[: self.first].max():
            logits_V[: self.first] = -math.inf
        return logits_V
