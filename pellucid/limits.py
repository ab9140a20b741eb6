"""The numbers that shape an engine, as a caller gave them: checked before anything is loaded."""

from pellucid.errors import RequestError

MOST = {"block_size": 2**14, "max_num_seqs": 2**14, "max_num_batched_tokens": 2**24}
"""More than any machine has use for; what is larger would only be damage done slowly."""


def at_least_one(**given: int | None) -> None:
    """Raises RequestError naming the first that is not None and no whole number from 1, up to its most."""
    for name, value in given.items():
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST.get(name, value):
            most = f" to {MOST[name]}" if name in MOST else ""
            raise RequestError(f"{name}={value!r} is not allowed: give a whole number from 1{most}")


def within_model(max_model_len: int | None, longest: int, name: str) -> None:
    """Raises RequestError for a `max_model_len` beyond the positions that a model has."""
    if max_model_len is not None and max_model_len > longest:
        raise RequestError(
            f"max_model_len={max_model_len} is more than {name} can hold: give at most {longest}, its "
            "`max_position_embeddings`"
        )
