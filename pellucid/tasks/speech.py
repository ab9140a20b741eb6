"""How a model that hears is asked to write: in which language, for which task, with or without times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pellucid.errors import ConfigError, RequestError
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig
from pellucid.sampling.published_rules import published_rules, wholes
from pellucid.sampling.rules import Rule
from pellucid.sampling.timestamps import Timestamps
from pellucid.text import Tokenizer
from pellucid.text.languages import LANGUAGES, language_code

TASKS = ("transcribe", "translate")
OF_CONFIG = ("suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids", "max_length")
"""What config.json says of writing, where there is no generation_config.json."""
COUNTS = ("max_length", "max_new_tokens", "num_beams", "max_initial_timestamp_index", "prev_sot_token_id")
NUMBERS = ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold", "length_penalty")
MULTILINGUAL = 51865
"""The fewest tokens of a published model of several languages; those of English alone have one less."""

Begin = tuple[int | None, ...]
"""How the decoder begins; None stands for the language that is to be detected."""


@dataclass(frozen=True, kw_only=True)
class Speech:
    """What a checkpoint says of writing down speech."""

    said: Mapping[str, Any]
    """The fields of generation_config.json."""
    start: int
    languages: Mapping[str, int]
    """The token of each language, by code; empty where nothing says so."""
    tasks: Mapping[str, int]
    forced: Begin
    """What follows the start in older checkpoints."""
    without_times: int | None
    """The token that asks for a text without times; those after it are the times."""
    end: int
    vocab_size: int
    longest: int
    """How many tokens a text may have, its beginning included."""

    @property
    def first_time(self) -> int:
        """The token of 0.00 seconds; one beyond the vocabulary where there are no times."""
        return self.vocab_size if self.without_times is None else self.without_times + 1

    @property
    def no_speech(self) -> int | None:
        """The token whose probability at the start says that nobody speaks."""
        return None if self.without_times is None else self.without_times - 1

    def begin(self, language: str | None, task: str | None, times: bool) -> Begin:
        """How the decoder begins, as transformers' `generate` begins it. Raises RequestError."""
        language, task = language or self.said.get("language"), task or self.said.get("task")
        if language is not None and not isinstance(language, str):
            raise RequestError(f"language is {language!r}; give a code or a name, 'fr' or 'french'")
        if task not in (None, *TASKS):
            raise RequestError(f"task is {task!r}; allowed are {', '.join(TASKS)}")
        begin = [self.start, *self._prefix(language, task)]
        if times:
            begin = [token for token in begin if token != self.without_times]
        elif self.without_times is not None and begin[-1] != self.without_times:
            begin.append(self.without_times)
        return tuple(begin)

    def rules(self, num_begun: int, times: bool) -> tuple[Rule, ...]:
        """What is forbidden and forced once so many tokens stand. Raises RequestError where times are asked
        for and there are none."""
        rules = published_rules(self.said, (self.end,), num_begun)
        if not times:
            return rules
        if self.without_times is None or self.first_time >= self.vocab_size:
            raise RequestError(
                "nothing says which tokens are this model's times (`no_timestamps_token_id` in "
                "generation_config.json), which timestamps and recordings longer than it hears at once need"
            )
        latest = self.said.get("max_initial_timestamp_index")
        return (*rules, Timestamps(self.first_time, self.without_times, self.end, latest))

    def language_of(self, begin: Sequence[int | None]) -> str | None:
        """The language that a beginning names; English where only that is known."""
        codes = {token: code for code, token in self.languages.items()}
        named = next((codes[token] for token in begin if token in codes), None)
        return "en" if named is None and self.said.get("is_multilingual") is False else named

    def _prefix(self, language: str | None, task: str | None) -> list[int | None]:
        if self.said.get("is_multilingual") is False:
            if task == "translate" or (language is not None and language_code(language) != "en"):
                raise RequestError(
                    "this model knows English only: it hears no other language and translates nothing; leave "
                    "language and task out"
                )
            return list(self.forced)
        if not self.languages and language is None and task in (None, "transcribe"):
            return [token for token in self.forced if token is not None]
        if not self.languages or (task or "transcribe") not in self.tasks:
            raise RequestError(
                "nothing says which tokens are this model's languages and tasks (`lang_to_id` and "
                "`task_to_id` in generation_config.json), so none can be chosen; leave language and task out"
            )
        if language is None and task in (None, "transcribe") and self.forced:
            asked = [self._replaced(token, task) for token in self.forced]
        else:
            asked = [None if language is None else self._language(language)]
        names_language = asked[0] is None or asked[0] in self.languages.values()
        if names_language and not any(token in self.tasks.values() for token in asked):
            asked.insert(1, self.tasks[task or "transcribe"])
        return asked

    def _replaced(self, token: int | None, task: str | None) -> int | None:
        """A forced token, or the task's own in the place of another task's."""
        return self.tasks[task] if task is not None and token in self.tasks.values() else token

    def _language(self, given: str) -> int:
        if language_code(given) not in self.languages:
            known = ", ".join(sorted(self.languages))
            raise RequestError(f"language {given!r} is none that this model knows; it knows {known}")
        return self.languages[language_code(given)]


def read_speech(
    config: EncoderDecoderConfig,
    published: Mapping[str, Any],
    generation: Mapping[str, Any],
    eos_token_ids: Sequence[int],
) -> Speech:
    """What `published`, a checkpoint's config.json, and `generation`, its generation_config.json, say.

    Raises ConfigError naming the field that is wrong.
    """
    said = dict(generation) or {name: published[name] for name in OF_CONFIG if name in published}
    if not eos_token_ids:
        raise ConfigError("nothing says which token ends a text (`eos_token_id` in generation_config.json)")
    _check_numbers(said)
    start = said.get("decoder_start_token_id")
    without = said.get("no_timestamps_token_id")
    size = config.vocab_size
    for name in ("suppress_tokens", "begin_suppress_tokens"):
        for token in wholes(name, said.get(name)):
            _token(name, token, size)
    return Speech(
        said=said,
        start=_token(
            "decoder_start_token_id", config.decoder_start_token_id if start is None else start, size
        ),
        languages={language_code(code): id for code, id in _tokens("lang_to_id", said, size).items()},
        tasks=_tokens("task_to_id", said, size),
        forced=_forced(said.get("forced_decoder_ids") or published.get("forced_decoder_ids") or [], size),
        without_times=None if without is None else _token("no_timestamps_token_id", without, size),
        end=eos_token_ids[0],
        vocab_size=size,
        longest=config.max_position_embeddings,
    )


def completed(said: Mapping[str, Any], tokenizer: Tokenizer | None, vocab_size: int) -> Mapping[str, Any]:
    """The fields of generation_config.json, with what older ones lack as the tokenizer's tokens say it."""
    if tokenizer is None:
        return said
    known = {
        name: tokenizer.id(f"<|{name}|>") for name in ("notimestamps", "startofprev", *TASKS, *LANGUAGES)
    }
    ids = {name: id for name, id in known.items() if id is not None and id < vocab_size}
    found: dict[str, Any] = {
        "is_multilingual": vocab_size >= MULTILINGUAL,
        "lang_to_id": {code: ids[code] for code in LANGUAGES if code in ids},
        "task_to_id": {task: ids[task] for task in TASKS if task in ids},
        "no_timestamps_token_id": ids.get("notimestamps"),
        "prev_sot_token_id": ids.get("startofprev"),
    }
    return {**found, **{name: value for name, value in said.items() if value is not None}}


def _check_numbers(said: Mapping[str, Any]) -> None:
    for names, kind in ((COUNTS, int), (NUMBERS, (int, float))):
        for name in names:
            value = said.get(name)
            negative = kind is int and isinstance(value, int) and value < 0
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool) or negative):
                raise ConfigError(f"generation_config.json: `{name}` is {value!r}; it must be a number")


def _tokens(name: str, said: Mapping[str, Any], vocab_size: int) -> dict[str, int]:
    found = said.get(name) or {}
    if not isinstance(found, dict):
        raise ConfigError(f"generation_config.json: `{name}` is {found!r}; it must name tokens")
    return {str(key): _token(name, value, vocab_size) for key, value in found.items()}


def _token(name: str, value: Any, vocab_size: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < vocab_size:
        raise ConfigError(
            f"generation_config.json: `{name}` holds {value!r}; the model's tokens are 0 to {vocab_size - 1}"
        )
    return value


def _forced(pairs: Any, vocab_size: int) -> Begin:
    """`[[1, 50259], [2, 50359]]`: a token or None for each place after the start."""
    try:
        places = [place for place, _ in pairs]
        tokens = [token for _, token in pairs]
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"`forced_decoder_ids` is {pairs!r}; it must be pairs of place and token"
        ) from error
    if places and places[0] != 1:
        return ()  # not of the beginning; transformers takes no notice either
    if places != list(range(1, len(places) + 1)):
        raise ConfigError(f"`forced_decoder_ids` is {pairs!r}; its places must follow one another from 1")
    return tuple(
        None if token is None else _token("forced_decoder_ids", token, vocab_size) for token in tokens
    )
