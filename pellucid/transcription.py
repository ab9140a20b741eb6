"""From recordings to texts: window after window by the published algorithm, many recordings in one batch.

Radford et al. 2022, section 3.8, as `generate` of transformers carries it out.
"""

import math
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from pellucid.answer import Answer, Beams
from pellucid.audio.reading import Sound, as_sounds
from pellucid.driver import Driver
from pellucid.engine.memory import Source
from pellucid.errors import RequestError
from pellucid.prompts import ReadPrompt
from pellucid.sampling.params import BeamSearchParams, SamplingParams, count, flag, real, refuse
from pellucid.sampling.rules import Rule
from pellucid.tasks.listening import Recording, SoundReader
from pellucid.tasks.outputs import Segment, Transcription
from pellucid.tasks.segments import FRAMES, cut
from pellucid.tasks.speech import Begin, Speech
from pellucid.tasks.watching import Hearing, Likelihood
from pellucid.text import Tokenizer

COOL = 0.5
"""What was written at a temperature from here on is not told to the next window."""


@dataclass(frozen=True, kw_only=True)
class TranscriptionParams:
    """What a caller asks of a transcription; None is what the checkpoint says."""

    language: str | None = None
    task: str | None = None
    timestamps: bool = False
    beam_width: int | None = None
    max_tokens: int | None = None
    temperature: float | Sequence[float] = 0.0
    compression_ratio_threshold: float | None = None
    logprob_threshold: float | None = None
    no_speech_threshold: float | None = None
    condition_on_prev_tokens: bool | None = None

    def __post_init__(self) -> None:
        """Raises RequestError for a value that is not allowed."""
        flag("timestamps", self.timestamps)
        if self.condition_on_prev_tokens is not None:
            flag("condition_on_prev_tokens", self.condition_on_prev_tokens)
        for name in ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold"):
            if getattr(self, name) is not None:
                real(name, getattr(self, name), (lambda n: not math.isnan(n), "a number, or None"))
        for name in ("beam_width", "max_tokens"):
            if getattr(self, name) is not None:
                count(name, getattr(self, name), (lambda n: n >= 1, "a whole number from 1, or None"))
        if not self.temperatures:
            raise refuse("temperature", self.temperature, "a number, or several to try one after the other")

    @property
    def temperatures(self) -> list[float]:
        """The one to begin with, and those to try where what was written will not do."""
        given = self.temperature if isinstance(self.temperature, list | tuple) else [self.temperature]
        return [SamplingParams(temperature=one).temperature for one in given]  # type: ignore[arg-type]  # checked


@dataclass(frozen=True)
class Written:
    """What was written for one window."""

    token_ids: list[int]
    """With the token that ended it, where one did."""
    avg_logprob: float
    temperature: float

    def compression_ratio(self, vocab_size: int) -> float:
        """How many times smaller it is once compressed: much where it repeats itself."""
        width = int(math.log2(vocab_size) / 8) + 1
        data = b"".join(token.to_bytes(width, "little") for token in self.token_ids)
        return len(data) / len(zlib.compress(data))


@dataclass
class Progress:
    """One recording on its way."""

    recording: Recording
    speech: Speech
    begin: Begin
    times: bool
    segments: list[Segment] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    """What the next window is told of those before it."""

    @property
    def prompt(self) -> list[int]:
        """What the decoder begins a window with."""
        return [*self.told, *(token for token in self.begin if token is not None)]


class Transcriber:
    """A model that hears, the engine it runs on, and what is asked of it."""

    def __init__(
        self, reader: SoundReader, driver: Driver, tokenizer: Tokenizer | None, wanted: TranscriptionParams
    ) -> None:
        self._reader, self._driver, self._tokenizer, self._wanted = reader, driver, tokenizer, wanted
        self._temperatures = wanted.temperatures
        self._said = reader.published.said

    def transcribe(self, audio: Sound | Sequence[Sound]) -> list[Transcription]:
        """What is said in one recording or many. Raises RequestError for one that cannot be read, before any
        is heard."""
        started = [self._start(self._reader.recording(sound)) for sound in as_sounds(audio)]
        return self._driver.together([self._hear(progress) for progress in started])

    def _start(self, recording: Recording) -> Progress:
        wanted = self._wanted
        times = wanted.timestamps or len(recording.frames_FM) > self._reader.window
        speech = self._reader.speech(wanted.language, wanted.task, times)
        begin = speech.begin(wanted.language, wanted.task, times)
        speech.rules(len(begin), times)  # what cannot be is refused before anything is heard
        return Progress(recording, speech, begin, times)

    def _hear(self, progress: Progress) -> Generator[Answer | Beams, None, Transcription]:
        """One recording, window after window."""
        first, length = 0, len(progress.recording.frames_FM)
        while first < length:
            source = self._reader.source(progress.recording, first)
            hearing = yield from self._listen(progress, source)
            if hearing.language is not None:
                progress.begin = tuple(hearing.language if t is None else t for t in progress.begin)
            written = yield from self._write(progress, source, hearing)
            num_frames = min(self._reader.window, length - first)
            first += (
                num_frames if written is None else self._take(progress, written, hearing, first, num_frames)
            )
        return self._transcription(progress)

    def _listen(self, progress: Progress, source: Source) -> Generator[Answer | Beams, None, Hearing]:
        """The language and the silence of a window, by one step that holds the start alone."""
        speech = progress.speech
        hearing = Hearing(speech.languages.values() if None in progress.begin else (), speech.no_speech)
        if hearing.languages or hearing.no_speech is not None:
            read = read_prompt([*progress.told, speech.start], source, (hearing,))
            yield self._driver.answer(read, SamplingParams(temperature=0.0, max_tokens=1))
        return hearing

    def _write(
        self, progress: Progress, source: Source, hearing: Hearing
    ) -> Generator[Answer | Beams, None, Written | None]:
        """What is said in a window, at the first temperature at which it will do; None for silence."""
        for temperature in self._temperatures:
            if self._beam_width > 1 and temperature == 0:
                written = yield from self._search(progress, source)
            else:
                written = yield from self._sample(progress, source, temperature)
            ratio = self._threshold("compression_ratio_threshold", math.inf)
            unlikely = written.avg_logprob < self._threshold("logprob_threshold", -math.inf)
            if unlikely and (hearing.no_speech_prob or 0.0) > self._threshold(
                "no_speech_threshold", math.inf
            ):
                return None
            if not unlikely and written.compression_ratio(progress.speech.vocab_size) <= ratio:
                break
        return written

    def _sample(
        self, progress: Progress, source: Source, temperature: float
    ) -> Generator[Answer | Beams, None, Written]:
        likelihood = Likelihood()
        read = read_prompt(progress.prompt, source, (*self._rules(progress), likelihood))
        params = SamplingParams(temperature=temperature, max_tokens=self._max_tokens(progress))
        answer = self._driver.answer(read, params)
        yield answer
        (sample,) = answer.output.outputs
        if sample.error is not None:
            raise RequestError(sample.error)
        likelihood.settle(sample.token_ids)
        return Written(sample.token_ids, likelihood.total / max(1, len(sample.token_ids)), temperature)

    def _search(self, progress: Progress, source: Source) -> Generator[Answer | Beams, None, Written]:
        params = BeamSearchParams(
            beam_width=self._beam_width,
            max_tokens=self._max_tokens(progress),
            length_penalty=float(self._said.get("length_penalty", 1.0)),
            early_stopping=self._said.get("early_stopping") or False,
        )
        beams = self._driver.search(read_prompt(progress.prompt, source, self._rules(progress)), params)
        yield beams
        output = beams.output()
        if output.error is not None:
            raise RequestError(output.error)
        best = output.sequences[0]
        ids = best.tokens[len(progress.prompt) :]
        return Written(ids, best.cum_logprob / len(ids), 0.0)

    def _take(
        self, progress: Progress, written: Written, hearing: Hearing, first: int, num_frames: int
    ) -> int:
        """Add a window's segments to the recording's; how many frames to move on."""
        speech, sound = progress.speech, self._reader.sound
        ended = bool(written.token_ids) and written.token_ids[-1] == speech.end
        ids = written.token_ids[: len(written.token_ids) - ended]
        spans, moved = cut(ids, speech.first_time, num_frames)
        frame = sound.hop_length / sound.sampling_rate
        for span in spans:
            if not span.token_ids:
                continue
            start, end = ((first + steps * FRAMES) * frame for steps in (span.start, span.end))
            progress.segments.append(
                Segment(
                    start=round(start, 3),
                    # without times the last goes on to the end of the window, which may be silence put there
                    end=round(end if progress.times else min(end, progress.recording.seconds), 3),
                    text=self._text(span.token_ids, speech),
                    token_ids=list(span.token_ids),
                    avg_logprob=written.avg_logprob,
                    no_speech_prob=hearing.no_speech_prob,
                    temperature=written.temperature,
                )
            )
        if self._conditions and written.temperature < COOL:
            progress.told = told(progress, min(speech.longest, self._driver.engine.max_model_len))
        else:
            progress.told = []
        return moved

    def _transcription(self, progress: Progress) -> Transcription:
        ids = [token for segment in progress.segments for token in segment.token_ids]
        named = [progress.speech, self._reader.completed]
        language = next(filter(None, (speech.language_of([*progress.begin, *ids]) for speech in named)), None)
        text = self._text(ids, progress.speech)
        return Transcription(text, language, progress.segments, progress.recording.seconds)

    def _rules(self, progress: Progress) -> tuple[Rule, ...]:
        return progress.speech.rules(len(progress.prompt), progress.times)

    def _max_tokens(self, progress: Progress) -> int:
        """How many tokens a window's text may have."""
        begun, longest = len(progress.prompt), self._driver.engine.max_model_len
        asked = self._wanted.max_tokens or self._said.get("max_new_tokens")
        if asked is None and (length := self._said.get("max_length")):
            asked = length + min(longest // 2 - 1, begun) - begun
        return max(1, min(longest - begun, asked or longest))

    def _threshold(self, name: str, missing: float) -> float:
        """What the caller says, else the checkpoint."""
        own, said = getattr(self._wanted, name), self._said.get(name)
        return float(own if own is not None else missing if said is None else said)

    @property
    def _beam_width(self) -> int:
        return self._wanted.beam_width or self._said.get("num_beams") or 1

    @property
    def _conditions(self) -> bool:
        own = self._wanted.condition_on_prev_tokens
        return bool(self._said.get("condition_on_prev_tokens") if own is None else own)

    def _text(self, token_ids: Sequence[int], speech: Speech) -> str:
        """The words alone; empty without a tokenizer."""
        words = [token for token in token_ids if token < speech.first_time]
        return "" if self._tokenizer is None else self._tokenizer.decode(words).strip()


def read_prompt(begin: list[int], source: Source, rules: tuple[Rule, ...]) -> ReadPrompt:
    """What the engine is asked for one window."""
    return ReadPrompt(None, begin, continues=False, source=source, rules=rules)


def told(progress: Progress, longest: int) -> list[int]:
    """What the next window is told: the newest tokens of those before it, behind the token that says so:
    at most half of the `longest` text."""
    speech = progress.speech
    ids: list[int] = []
    for segment in progress.segments:
        tokens = segment.token_ids
        # the time that begins the segment after this one stands there already
        followed = len(tokens) > 2 and tokens[-2] >= speech.first_time
        ids += tokens[:-1] if followed else tokens
    earlier = speech.said.get("prev_sot_token_id")
    suppressed = speech.said.get("suppress_tokens") or []
    if earlier is None and len(suppressed) >= 2:
        earlier = suppressed[-2]  # where the published list has it
    if not progress.segments:
        return []
    return [*([] if earlier is None else [earlier]), *ids[-(longest // 2 - 1) :]]
