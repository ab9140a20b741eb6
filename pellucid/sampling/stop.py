"""When an output ends: by a token or its length, or by a stop string wherever the token borders fall."""

from collections.abc import Collection, Sequence

from pellucid.sampling.params import SamplingParams


def finish_reason(
    params: SamplingParams, output_token_ids: Sequence[int], eos_token_ids: Collection[int]
) -> tuple[str, int | None] | None:
    """Whether the newest token ends the output: (reason, the stop token that did it), or None.

    As vLLM's: an end-of-sequence token gives ("stop", None), one of `stop_token_ids` ("stop", its id), the
    length ("length", None). Before `min_tokens` nothing stops.
    """
    if len(output_token_ids) >= params.min_tokens:
        newest = output_token_ids[-1]
        if newest in eos_token_ids and not params.ignore_eos:
            return "stop", None
        if newest in params.stop_token_ids:
            return "stop", newest
    if params.max_tokens is not None and len(output_token_ids) >= params.max_tokens:
        return "length", None
    return None


class StopChecker:
    """Fed an output's text as it grows, says what of it may be shown and when a stop string has appeared.

    The stop string that counts is the one complete first (of several complete at once, the longest), so
    the result does not depend on how the text is cut into tokens. Text is held back only while it may be the
    beginning of a stop string, and not at all when stop strings stay in the output.
    """

    def __init__(
        self, stop: Sequence[str], *, include_stop_str_in_output: bool = False, min_tokens: int = 0
    ) -> None:
        self.stopped_by: str | None = None
        """The stop string that ended the output, once one has."""
        self._stop = tuple(sorted(stop, key=len, reverse=True))
        self._include = include_stop_str_in_output
        self._min_tokens = min_tokens
        self._num_tokens = 0
        self._open = ""
        """The longest end of the text that begins, but does not complete, a stop string."""

    def add(self, delta: str) -> str:
        """Take the text one more token brought (often none), give the text that may be shown now."""
        assert self.stopped_by is None, "the output has ended"
        self._num_tokens += 1
        before = self._open
        text = before + delta
        if self._num_tokens > self._min_tokens and (found := self._first_complete(text, len(before))):
            start, end, self.stopped_by = found
            self._open = ""
            return text[len(before) : end] if self._include else text[:start]
        self._open = self._unfinished(text)
        return delta if self._include else text[: len(text) - len(self._open)]

    def finish(self) -> str:
        """The output ended otherwise: give what was held back."""
        held, self._open = self._open, ""
        return "" if self._include else held

    def _first_complete(self, text: str, after: int) -> tuple[int, int, str] | None:
        """Start, end and name of the stop string that ends first, beyond `after`."""
        found = []
        for stop in self._stop:
            start = text.find(stop, max(0, after - len(stop) + 1))
            if start >= 0:
                found.append((start + len(stop), start, stop))
        if not found:
            return None
        end, start, stop = min(found)
        return start, end, stop

    def _unfinished(self, text: str) -> str:
        for length in range(min(len(text), len(self._stop[0]) - 1 if self._stop else 0), 0, -1):
            tail = text[-length:]
            if any(len(stop) > length and stop.startswith(tail) for stop in self._stop):
                return tail
        return ""
