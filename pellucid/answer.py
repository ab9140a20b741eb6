"""One request's answer as it grows: tokens become text, stop strings end it."""

from collections.abc import Mapping, Sequence

from pellucid.engine.output import Output
from pellucid.outputs import (
    BeamSearchOutput,
    BeamSearchSequence,
    CompletionOutput,
    Piece,
    RequestOutput,
)
from pellucid.prompts import ReadPrompt
from pellucid.sampling.logprobs import Logprob
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import SampledToken
from pellucid.sampling.stop import StopChecker
from pellucid.text import Detokenizer, Tokenizer


class SampleText:
    """The text of one sample, token by token."""

    def __init__(self, tokenizer: Tokenizer, params: SamplingParams, after: Sequence[int]) -> None:
        """`after` are the ids of the text that this one goes on from, if it does."""
        self._detokenizer = Detokenizer(tokenizer, params.skip_special_tokens, after)
        self._stop = StopChecker(
            params.stop,
            include_stop_str_in_output=params.include_stop_str_in_output,
            min_tokens=params.min_tokens,
        )

    @property
    def stopped_by(self) -> str | None:
        """The stop string that ended it."""
        return self._stop.stopped_by

    def add(self, token_id: int) -> str:
        """The text that may be shown now that this token has come."""
        return self._stop.add(self._detokenizer.add(token_id))

    def finish(self) -> str:
        """What was held back, now that nothing more will come."""
        if self.stopped_by is not None:
            return ""
        rest = self._stop.add(self._detokenizer.finish())
        return rest if self.stopped_by is not None else rest + self._stop.finish()


class Answer:
    """A request's output while it is made, and the pieces of it that nobody has taken yet."""

    def __init__(
        self, request_id: str, read: ReadPrompt, params: SamplingParams, tokenizer: Tokenizer | None
    ) -> None:
        samples = [CompletionOutput(index) for index in range(params.n)]
        self.output = RequestOutput(request_id, read.text, read.token_ids, samples)
        self.request_id = request_id
        self._after = read.token_ids if read.continues else ()
        self._params = params
        self._tokenizer = tokenizer
        self._texts: dict[int, SampleText] = {}
        self._shown: dict[int, str] = {}
        self._pieces: list[Piece] = []

    @property
    def finished(self) -> bool:
        """Whether every sample has ended."""
        return self.output.finished

    def on_token(self, index: int, token_id: int) -> str | None:
        """Turn one token of sample `index` into text; a stop string that is now complete is given back."""
        if self._tokenizer is None:
            return None
        if index not in self._texts:
            self._texts[index] = SampleText(self._tokenizer, self._params, self._after)
        self._shown[index] = self._shown.get(index, "") + self._texts[index].add(token_id)
        return self._texts[index].stopped_by

    def take(self, news: Output) -> None:
        """What the engine tells of one sample after a step: its new tokens, and why it ended if it did."""
        sample = self.output.outputs[news.index]
        self.output.num_cached_tokens = max(self.output.num_cached_tokens, news.num_cached_tokens)
        if news.prompt_logprobs is not None:
            self.output.prompt_logprobs = [
                found and self._with_texts(found) for found in news.prompt_logprobs
            ]
        for token in news.tokens:
            sample.token_ids.append(token.token_id)
            if token.top:
                self._take_logprobs(sample, token)
        text = self._shown.pop(news.index, "")
        if news.finish_reason is not None:
            text += self._texts[news.index].finish() if news.index in self._texts else ""
            sample.finish_reason, sample.stop_reason = news.finish_reason, news.stop_reason
            sample.error = news.error
        sample.text += text
        new_ids = [token.token_id for token in news.tokens]
        self._pieces.append(Piece(text, new_ids, news.index, news.finish_reason, self.output))

    def _take_logprobs(self, sample: CompletionOutput, token: SampledToken) -> None:
        if sample.logprobs is None:
            sample.logprobs, sample.cumulative_logprob = [], 0.0
        sample.logprobs.append(self._with_texts(token.top))
        sample.cumulative_logprob = (sample.cumulative_logprob or 0.0) + token.top[token.token_id].logprob

    def _with_texts(self, found: Mapping[int, Logprob]) -> Mapping[int, Logprob]:
        if self._tokenizer is not None:
            for token_id, piece in zip(found, self._tokenizer.pieces(list(found)), strict=True):
                found[token_id].decoded_token = piece
        return found

    def take_pieces(self) -> Sequence[Piece]:
        """What has come since the last call."""
        pieces, self._pieces = self._pieces, []
        return pieces


class Beams:
    """What a beam search found, once it is over."""

    def __init__(self, request_id: str, read: ReadPrompt, tokenizer: Tokenizer | None) -> None:
        self.request_id = request_id
        self._read = read
        self._tokenizer = tokenizer
        self._news: list[Output] = []

    @property
    def finished(self) -> bool:
        """Whether the search is over; it tells of all its texts at once."""
        return bool(self._news)

    def take(self, news: Output) -> None:
        """One of the texts that the search ended with."""
        self._news.append(news)

    def output(self) -> BeamSearchOutput:
        """Every text it found, best first, or why there is none."""
        found = [self._sequence(news) for news in self._news if news.tokens]
        return BeamSearchOutput(found, error=self._news[0].error)

    def _sequence(self, news: Output) -> BeamSearchSequence:
        assert news.score is not None and news.finish_reason is not None
        ids = [token.token_id for token in news.tokens]
        text = ""
        if self._tokenizer is not None:
            detokenizer = Detokenizer(self._tokenizer, after=self._read.token_ids)
            text = "".join(map(detokenizer.add, ids)) + detokenizer.finish()
        return BeamSearchSequence(
            tokens=self._read.token_ids + ids,
            text=text,
            cum_logprob=sum(token.logprob or 0.0 for token in news.tokens),
            score=news.score,
            finish_reason=news.finish_reason,
        )
