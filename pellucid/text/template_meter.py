"""What one rendering of a chat template may cost: a count of steps and characters that only goes down.

Everything a template can do passes through a charge made *before* the work, so no single operation is large
and all of them together are bounded, in time and in memory, without clocks, signals or a second process.
"""

from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jinja2.runtime import Undefined

CHARACTERS_A_STEP = 16
STEPS = (
    1_000_000  # about two seconds of the worst that can be asked for; a published template takes thousands
)
STEPS_A_CHARACTER = 2  # more for long conversations: 32 passes over all of their text
MAX_DEPTH = 64
MAX_BITS = 4096  # of a number


class OverLimit(Exception):
    """The template asked for more than a rendering may cost."""


class Meter:
    """The steps left to one rendering."""

    def __init__(self, values: Any) -> None:
        self._weights: dict[int, tuple[object, int]] = {}
        self._left = STEPS
        self._left += STEPS_A_CHARACTER * self.weigh(values)

    def charge(self, steps: int) -> None:
        """Pays for work about to be done."""
        if steps < 0 or steps > self._left:
            raise OverLimit("it loops or grows beyond what any published template needs")
        self._left -= steps

    def charge_text(self, characters: int) -> None:
        """Pays for reading or writing so many characters."""
        self.charge(1 + characters // CHARACTERS_A_STEP)

    def charge_value(self, value: Any) -> None:
        """Pays for going through all of a value, as printing, comparing and sorting do."""
        self.charge_text(self.weigh(value))

    def weigh(self, value: Any, depth: int = 0) -> int:
        """The characters it takes to write a value out, what it holds twice counted twice."""
        if isinstance(value, str):
            return len(value) + 2
        if not isinstance(value, list | tuple | dict):
            return value.bit_length() // 3 + 8 if isinstance(value, int) else 16
        known = self._weights.get(id(value))
        if known is not None:
            return known[1]
        if depth > MAX_DEPTH:
            raise OverLimit(f"it nests values more than {MAX_DEPTH} deep")
        parts: Iterable[Any] = (*value.keys(), *value.values()) if isinstance(value, dict) else value
        weight = 16 + sum(self.weigh(part, depth + 1) + 2 for part in parts)
        # values never change in the sandbox; the reference keeps the id from being used again
        self._weights[id(value)] = (value, weight)
        return weight

    def collect(self, items: Iterable[Any]) -> list[Any]:
        """A list of what an iterator gives, paid for item by item."""
        found = []
        for item in items:
            self.charge(1)
            found.append(item)
        return found


class Iteration:
    """What a loop goes over, an item a step."""

    def __init__(self, items: Any, meter: Meter) -> None:
        self._items = items
        self._meter = meter

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self._meter.charge(1)
            yield item


class SizedIteration(Iteration):
    """The same over what has a length, which `loop.length` asks for."""

    def __len__(self) -> int:
        return len(self._items)


def iteration(items: Any, meter: Meter) -> Iteration | Undefined:
    """A loop's items, metered."""
    if isinstance(items, Undefined):  # goes over nothing, or says what is undefined
        return items
    return SizedIteration(items, meter) if isinstance(items, Sized) else Iteration(items, meter)


_CURRENT: ContextVar[Meter] = ContextVar("meter")


def meter() -> Meter:
    """The meter of the rendering that is under way in this thread."""
    return _CURRENT.get()


@contextmanager
def metered(values: Any) -> Iterator[Meter]:
    """Gives the rendering inside its own meter, sized for what it is to render."""
    token = _CURRENT.set(Meter(values))
    try:
        yield _CURRENT.get()
    finally:
        _CURRENT.reset(token)
