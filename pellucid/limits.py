"""The numbers that shape an engine, as a caller gave them: checked before anything is loaded."""

from pellucid.errors import RequestError


def at_least_one(**given: int | None) -> None:
    """Raises RequestError naming the first that is not None and no whole number from 1."""
    for name, value in given.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise RequestError(f"{name}={value!r} is not allowed: give a whole number from 1")


def within_model(max_model_len: int | None, longest: int, name: str) -> None:
    """Raises RequestError for a `max_model_len` beyond the positions that a model has."""
    if max_model_len is not None and max_model_len > longest:
        raise RequestError(
            f"max_model_len={max_model_len} is more than {name} can hold: give at most {longest}, its "
            "`max_position_embeddings`"
        )
