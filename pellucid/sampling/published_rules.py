"""The rules that a generation_config.json, or one task's settings in config.json, asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from pellucid.errors import ConfigError
from pellucid.sampling.rules import Never, NoRepeatedRun, NotBefore, NotFirst, Rule


def published_rules(
    said: Mapping[str, Any], eos_token_ids: Sequence[int], num_prompt: int
) -> tuple[Rule, ...]:
    """What these settings forbid. `num_prompt` tokens of the output are given: `min_length` counts them.

    Raises ConfigError naming the setting that is not understood.
    """
    rules: list[Rule] = []
    if size := said.get("no_repeat_ngram_size"):
        rules.append(NoRepeatedRun(_whole("no_repeat_ngram_size", size)))
    words = said.get("bad_words_ids") or []
    if not isinstance(words, list) or not all(isinstance(word, list) and len(word) == 1 for word in words):
        raise ConfigError(f"`bad_words_ids` is {words!r}; it must be a list of lists of one token id")
    never = [_whole("bad_words_ids", word[0]) for word in words]
    never += wholes("suppress_tokens", said.get("suppress_tokens"))
    if never:
        rules.append(Never(tuple(never)))
    if first := wholes("begin_suppress_tokens", said.get("begin_suppress_tokens")):
        rules.append(NotFirst(first))
    shortest = _whole("min_length", said.get("min_length") or 0) - num_prompt
    if shortest > 0 and eos_token_ids:
        rules.append(NotBefore(tuple(eos_token_ids), shortest))
    return tuple(rules)


def wholes(name: str, value: Any) -> tuple[int, ...]:
    """The token ids of a setting, none where it is not said. Raises ConfigError."""
    if not isinstance(value or [], list):
        raise ConfigError(f"`{name}` is {value!r}; it must be a list of token ids")
    return tuple(_whole(name, token) for token in value or [])


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConfigError(f"`{name}` holds {value!r}; it must be a whole number from 0")
    return value
