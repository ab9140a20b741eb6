"""Mistakes a user can act on: each message says what was given, what is allowed and what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class PellucidError(ValueError):
    """The root of every error that is the caller's to mend."""


class ConfigError(PellucidError):
    """A config.json or GGUF header that is damaged, unknown, or asks for unsupported arithmetic."""


class WeightsError(PellucidError):
    """A weight file that is missing, damaged, or disagrees with its config."""


class TrainingError(PellucidError):
    """Data that cannot be trained on, settings that cannot train, or a run that cannot go on."""


class SourceError(PellucidError):
    """A name that leads to no model: not bundled, no folder, no file, not on the hub."""


class TokenizerError(PellucidError):
    """A tokenizer or chat template that is missing, damaged or not allowed."""


class OutOfMemoryError(PellucidError):
    """What was asked for does not fit: says what is needed, what there is, and what would fit."""


class RequestError(PellucidError):
    """A prompt or a sampling parameter that cannot be served."""


class QueueFullError(RequestError):
    """A request that could be served, but not now: as many wait as may."""


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` (did you mean 'llama'?)`, to be put behind a name that is not known; empty where none is near."""
    near = get_close_matches(given, list(known), n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def one_line(what: object, width: int = 1000) -> str:
    """Words that came with a checkpoint, fit for a message: one line, and nothing that moves a cursor."""
    printable = (character if character.isprintable() else " " for character in str(what)[:width])
    return " ".join("".join(printable).split())
