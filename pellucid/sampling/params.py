"""What a caller may ask of sampling and beam search: vLLM's names, meanings and defaults, checked."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from numbers import Integral, Real
from typing import Literal

from pellucid.errors import RequestError

Check = tuple[Callable[[float], bool], str]

MOST_SAMPLES = 2**14
AS_LOGPROBS = "None for none, 0 for the token's own, k for the k likeliest too, or -1 for all"
REALS: dict[str, Check] = {
    "temperature": (lambda t: 0 <= t < math.inf, "0 (greedy) or any positive number"),
    "top_p": (lambda p: 0 < p <= 1, "a number above 0 and at most 1 (1 keeps every token)"),
    "min_p": (lambda p: 0 <= p <= 1, "a number from 0 (keeps every token) to 1"),
    "typical_p": (lambda p: 0 < p <= 1, "a number above 0 and at most 1 (1 keeps every token)"),
    "repetition_penalty": (lambda p: 1e-6 <= p <= 1e6, "a number from 1e-6 to 1e6 (1 changes nothing)"),
    "presence_penalty": (lambda p: -2 <= p <= 2, "a number from -2 to 2 (0 changes nothing)"),
    "frequency_penalty": (lambda p: -2 <= p <= 2, "a number from -2 to 2 (0 changes nothing)"),
}  # fmt: skip
COUNTS: dict[str, Check] = {
    "n": (lambda n: 1 <= n <= MOST_SAMPLES, f"a whole number from 1 to {MOST_SAMPLES}"),
    "top_k": (lambda k: k >= -1, "a whole number from 1, or 0 or -1 for every token"),
    "min_tokens": (lambda n: n >= 0, "a whole number from 0"),
}
OPTIONAL_COUNTS: dict[str, Check] = {
    "max_tokens": (lambda n: n >= 1, "a whole number from 1, or None for as many as the model can hold"),
    "seed": (lambda seed: True, "a whole number, or None for a new seed each time"),
    "logprobs": (lambda n: n >= -1, AS_LOGPROBS),
    "prompt_logprobs": (lambda n: n >= -1, AS_LOGPROBS),
}  # fmt: skip
FLAGS = ("include_stop_str_in_output", "ignore_eos", "skip_special_tokens")


def refuse(name: str, value: object, allowed: str) -> RequestError:
    return RequestError(f"{name}={value!r} is not allowed: give {allowed}")


def known_names(cls: type, given: Iterable[str]) -> None:
    """Every keyword must be a parameter of `cls`; the error names the nearest one."""
    known = sorted(f.name for f in fields(cls))
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
            raise RequestError(f"{cls.__name__} has no parameter {name!r}; {hint}")


def real(name: str, value: object, check: Check) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not check[0](float(value)):
        raise refuse(name, value, check[1])
    return float(value)


def count(name: str, value: object, check: Check) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral) or not check[0](int(value)):
        raise refuse(name, value, check[1])
    return int(value)


def flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise refuse(name, value, "True or False")
    return value


def texts(name: str, value: object) -> tuple[str, ...]:
    """One text, several or None, as a tuple of texts with something in them."""
    given = () if value is None else (value,) if isinstance(value, str) else value
    if not isinstance(given, Iterable):
        raise refuse(name, value, "a text or a list of texts")
    found = tuple(given)
    if not all(isinstance(text, str) and text for text in found):
        raise refuse(name, value, "a text or a list of texts, none of them empty")
    return found


def token_ids(name: str, value: object) -> tuple[int, ...]:
    """Token ids, several or None, as a tuple."""
    given = () if value is None else value
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise refuse(name, value, "a list of token ids")
    check: Check = (lambda i: i >= 0, "token ids: whole numbers from 0")
    return tuple(count(name, i, check) for i in given)


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How to choose each next token and when to stop. Wrong names and values raise RequestError.

    The logits are changed in this order (vLLM's): allowed_token_ids, bad_words, min_tokens, logit_bias,
    repetition, frequency and presence penalties, temperature, min_p, top_k, top_p, typical_p.
    """

    n: int = 1
    """How many samples of each prompt; they differ by their index, with or without a seed."""
    temperature: float = 1.0
    """Logits are divided by it; 0 takes the likeliest token (ties: the lowest id)."""
    top_k: int = 0
    """Keep the k likeliest tokens; 0 or -1 keeps all."""
    top_p: float = 1.0
    """Keep the smallest set of likeliest tokens whose probabilities reach this sum."""
    min_p: float = 0.0
    """Keep tokens at least this fraction as probable as the likeliest."""
    typical_p: float = 1.0
    """Keep the tokens whose surprise is nearest the expected one until they reach this sum."""
    repetition_penalty: float = 1.0
    """Divides the positive and multiplies the negative logits of tokens in the prompt or the output."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token in the output."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit once for each time it is in the output."""
    seed: int | None = None
    """Same seed, same tokens, whatever else is running; None draws a new one for each request."""
    stop: Sequence[str] = ()
    """Texts that end the output when they appear, wherever token borders fall."""
    stop_token_ids: Sequence[int] = ()
    """Tokens that end the output, beside the model's own end-of-sequence tokens."""
    include_stop_str_in_output: bool = False
    """Whether the text keeps the stop string that ended it."""
    ignore_eos: bool = False
    """Go on after the model's end-of-sequence tokens."""
    max_tokens: int | None = 16
    """At most this many new tokens; None is as many as the model can hold."""
    min_tokens: int = 0
    """No end-of-sequence or stop token, and no stop string, before this many."""
    logprobs: int | None = None
    """None: none. k: the log-probability of each chosen token and of the k likeliest. -1: of all."""
    prompt_logprobs: int | None = None
    """The same of the prompt's tokens."""
    logit_bias: Mapping[int, float] = field(default_factory=dict, hash=False)
    """Added to the logits of these token ids."""
    bad_words: Sequence[str] = ()
    """Texts whose last token is forbidden where the output already holds the tokens before it."""
    allowed_token_ids: Sequence[int] | None = None
    """Only these tokens may be chosen."""
    skip_special_tokens: bool = True
    """Leave special tokens out of the text."""

    def __new__(cls, *args: object, **given: object) -> "SamplingParams":
        known_names(cls, given)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        settle(self, REALS, real)
        settle(self, COUNTS, count)
        for name, check in OPTIONAL_COUNTS.items():
            if getattr(self, name) is not None:
                settle(self, {name: check}, count)
        put(self, "stop", texts("stop", self.stop))
        put(self, "bad_words", texts("bad_words", self.bad_words))
        put(self, "stop_token_ids", token_ids("stop_token_ids", self.stop_token_ids))
        put(self, "logit_bias", biases(self.logit_bias))
        if self.allowed_token_ids is not None:
            put(self, "allowed_token_ids", token_ids("allowed_token_ids", self.allowed_token_ids))
            if not self.allowed_token_ids:
                raise refuse("allowed_token_ids", [], "at least one token id, or None to allow all")
        for name in FLAGS:
            flag(name, getattr(self, name))
        self._agree()

    def _agree(self) -> None:
        """What single values cannot say."""
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            raise RequestError(
                f"min_tokens={self.min_tokens} is more than max_tokens={self.max_tokens}: "
                "raise max_tokens or lower min_tokens"
            )
        if self.greedy and self.n > 1:
            raise RequestError(
                f"n={self.n} with temperature=0 would give {self.n} times the same text: "
                "give n=1 or a temperature above 0"
            )

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is taken: at temperatures below 1e-5, as in vLLM."""
        return self.temperature < 1e-5

    def check_vocabulary(self, vocab_size: int) -> None:
        """Raises RequestError for a token id the model does not have."""
        named = {
            "stop_token_ids": self.stop_token_ids,
            "logit_bias": self.logit_bias,
            "allowed_token_ids": self.allowed_token_ids or (),
        }
        for name, ids in named.items():
            if outside := [i for i in ids if i >= vocab_size]:
                raise RequestError(
                    f"{name} holds token id {outside[0]}, but the vocabulary ends at {vocab_size - 1}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamSearchParams:
    """How to search for the likeliest text. Wrong names and values raise RequestError."""

    beam_width: int
    """How many unfinished texts are kept at each step, and how many finished ones are returned."""
    max_tokens: int
    """At most this many new tokens."""
    length_penalty: float = 1.0
    """A text's score is its summed log-probability over `length ** length_penalty`."""
    early_stopping: bool | Literal["never"] = False
    """When to stop before `max_tokens`, once `beam_width` texts have ended. False: when the best unfinished
    one, scored at its length so far, is no better than the worst ended one. "never": only when it cannot
    become better at any length. True: at once. (The rules of transformers.)"""
    ignore_eos: bool = False
    """Go on after the model's end-of-sequence tokens."""
    temperature: float = 0.0
    """Only 0: the search draws nothing. Here because scripts written for vLLM pass it."""
    include_stop_str_in_output: bool = False
    """Whether the text keeps the end-of-sequence token that ended it."""

    def __new__(cls, *args: object, **given: object) -> "BeamSearchParams":
        known_names(cls, given)
        return object.__new__(cls)

    def __post_init__(self) -> None:
        at_least_one: Check = (lambda n: n >= 1, "a whole number from 1")
        settle(self, {"beam_width": at_least_one, "max_tokens": at_least_one}, count)
        of_length: Check = (lambda p: -10 <= p <= 10, "a number from -10 to 10; above 0 favours long texts")
        settle(self, {"length_penalty": of_length}, real)
        settle(
            self, {"temperature": (lambda t: t == 0, "0: beam search draws nothing, so it has none")}, real
        )
        flag("ignore_eos", self.ignore_eos)
        flag("include_stop_str_in_output", self.include_stop_str_in_output)
        if self.early_stopping not in (True, False, "never"):
            raise refuse("early_stopping", self.early_stopping, 'True, False or "never"')


def put(params: object, name: str, value: object) -> None:
    """Set a field of a frozen dataclass while it is being made."""
    object.__setattr__(params, name, value)


def settle(params: object, checks: Mapping[str, Check], read: Callable[[str, object, Check], object]) -> None:
    """Replace the named fields by what `read` makes of them."""
    for name, check in checks.items():
        put(params, name, read(name, getattr(params, name), check))


def biases(value: object) -> dict[int, float]:
    """Token id → what is added to its logit."""
    given = {} if value is None else value
    if not isinstance(given, Mapping):
        raise refuse("logit_bias", value, "a dict of token id to number")
    of_id: Check = (lambda i: i >= 0, "token ids (whole numbers from 0) as keys")
    of_bias: Check = (
        lambda bias: -1e6 <= bias <= 1e6,
        "numbers from -1e6 to 1e6 as values; to forbid a token use bad_words or allowed_token_ids",
    )
    return {count("logit_bias", i, of_id): real("logit_bias", bias, of_bias) for i, bias in given.items()}
