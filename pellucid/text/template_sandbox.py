"""The Jinja sandbox that chat templates run in: what published templates use, within limits.

A template comes with a checkpoint, from whoever published it, so it is taken to be hostile. What it may
want is to run Python, to read files, to hang or to eat memory; what it may do anyway is to write a
misleading prompt. The defence has two walls. Jinja's ImmutableSandboxedEnvironment keeps a template away
from Python's internals; here it is narrowed further to a list: values are plain data (copied on the way
in), and only listed filters, tests and methods exist. And every operation whose cost depends on its values
is charged before it runs (template_meter.py, template_costs.py); what Jinja would compile to plain Python
is rewritten to go through here first (template_guard.py). No clock is involved: the same template stops at
the same place on every machine. What is trusted is Jinja itself, its parser and compiler, on sources of at
most 64 KiB, and Python's own operations on values of the sizes that are paid for.
"""

import operator
import types
from collections.abc import Callable, Mapping
from string import Formatter
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.ext import loopcontrols
from jinja2.runtime import BlockReference, Context, LoopContext, Macro, TemplateReference, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedFormatter
from jinja2.utils import Namespace

from pellucid.text.template_costs import (
    METHOD_COSTS,
    PRICED_FILTERS,
    PRICED_TESTS,
    formatting,
    settled,
    text,
    within,
)
from pellucid.text.template_meter import MAX_BITS, OverLimit, iteration, meter
from pellucid.text.template_names import GLOBALS, GenerationTag


class LimitedFormatter(SandboxedFormatter):
    """`str.format` with every field paid for."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        meter().charge_text(4 * meter().weigh(value))
        for width in "".join(c if c.isdigit() else " " for c in format_spec).split():
            within(int(width[:9]))
        if format_spec and not isinstance(value, str | int | float):
            raise SecurityError("only texts and numbers have a format")
        return super().format_field(value, format_spec)

    def convert_field(self, value: Any, conversion: Any) -> Any:
        meter().charge_text(4 * meter().weigh(value))
        return super().convert_field(value, conversion)


LOOP = {
    "index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem", "depth",
    "depth0", "cycle", "changed",
}  # fmt: skip
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "ne": operator.ne, "gt": operator.gt, "gteq": operator.ge, "lt": operator.lt,
    "lteq": operator.le, "in": lambda item, values: item in values,
    "notin": lambda item, values: item not in values,
}  # fmt: skip


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, narrowed to a list of what may be used, each use paid for."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=[GenerationTag, loopcontrols],
            finalize=jinja2.pass_context(lambda context, value: self.written(value)),
            optimized=False,  # else constants are computed while compiling, outside the limits
        )
        self.globals = dict(GLOBALS)
        self.filters = dict(PRICED_FILTERS)
        self.tests = dict(PRICED_TESTS)

    # What Jinja asks.

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        match obj:
            case LoopContext():
                return attr in LOOP
            case Namespace() | TemplateReference():
                return not attr.startswith("_")
            case tuple() if attr in ("grouper", "list"):  # of the groupby filter
                return type(obj) is not tuple
        return attr in METHOD_COSTS.get(type(obj), ())

    def unsafe_undefined(self, obj: Any, attribute: str) -> Undefined:
        if attribute.startswith("_"):
            raise SecurityError(f"attribute {attribute!r} of a {type(obj).__name__}")
        return super().unsafe_undefined(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        if not isinstance(argument, str | int):
            meter().charge_value(argument)
        return super().getitem(obj, argument)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        match __obj:
            case types.MethodType(__self__=owner) if owner is __self:
                return __obj(*args)  # what Guard wrote
            case Macro() | LoopContext() | BlockReference():
                meter().charge(1 + len(args) + len(kwargs))
                loop = isinstance(__obj, LoopContext)
                return super().call(__context, __obj, *map(__self.iterate, args) if loop else args, **kwargs)
            case Formatting():
                return settled(__obj(*args, **_own(kwargs)))
            case types.BuiltinMethodType(__self__=owner, __name__=name) if name in METHOD_COSTS.get(
                type(owner), ()
            ):
                METHOD_COSTS[type(owner)][name](owner, *args, **_own(kwargs))
                return settled(__obj(*args, **_own(kwargs)))
            case types.MethodType(__self__=LoopContext()):
                text(*args)
                return __obj(*args)
        if __obj in GLOBALS.values():
            text(*args, *kwargs.values())
            return __obj(*args, **_own(kwargs))
        if isinstance(__obj, Undefined):
            return super().call(__context, __obj)  # which says what is undefined
        raise SecurityError(f"{type(__obj).__name__} cannot be called by a template")

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        self._price_binop(operator, left, right)
        result = super().call_binop(context, operator, left, right)
        if isinstance(result, int) and result.bit_length() > MAX_BITS:
            raise OverLimit(f"a number of more than {MAX_BITS} bits")
        return result

    def _price_binop(self, operator: str, left: Any, right: Any) -> None:
        meter().charge(1)
        sequences = [value for value in (left, right) if isinstance(value, str | list | tuple)]
        if operator == "%" and isinstance(left, str):
            formatting(left, right)
        elif operator == "*" and sequences:
            times = max((value for value in (left, right) if isinstance(value, int)), default=0)
            meter().charge(max(0, times) * sum(map(_size, sequences)))
        elif operator == "**":
            if not isinstance(right, int | float) or abs(right) * max(1, _size(left)) > MAX_BITS:
                raise OverLimit(f"a power of more than {MAX_BITS} bits")
        else:
            meter().charge(sum(map(_size, sequences)))

    def wrap_str_format(self, value: Any) -> Any:
        if super().wrap_str_format(value) is None:
            return None
        return Formatting(LimitedFormatter(self), value.__self__, value.__name__ == "format_map")

    # What Guard writes into a template.

    def tick(self, steps: int) -> bool:
        """Pays for one run through a body."""
        meter().charge(steps)
        return True

    def iterate(self, items: Any) -> Any:
        """The items of a loop, each of them paid for."""
        return iteration(items, meter())

    def key(self, value: Any) -> Any:
        """A key of a dict that is being made."""
        meter().charge_value(value)
        return value

    def written(self, value: Any) -> str:
        """A value as it is printed."""
        match value:
            case str():
                meter().charge_text(len(value))
                return value
            case list() | tuple() | dict():
                meter().charge_text(4 * meter().weigh(value))
                return str(value)
            case Undefined() | None | bool() | int() | float() | range():
                meter().charge(1)
                return str(value)
        return f"<{type(value).__name__}>"

    def concatenate(self, *values: Any) -> str:
        """`a ~ b ~ c`."""
        return "".join([self.written(value) for value in values])

    def part(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """`value[start:stop:step]`."""
        if isinstance(value, str | list | tuple):
            chosen = len(range(*slice(start, stop, step).indices(len(value))))
            meter().charge(_size(value) * chosen // max(1, len(value)) + 1)
        return value[start:stop:step]

    def compare(self, left: Any, *rest: Any) -> Any:
        """`a < b <= c`, `a in b`: pairs of an operator's name and its right side."""
        result: Any = True
        for name, right in zip(rest[::2], rest[1::2], strict=True):
            weights = meter().weigh(left), meter().weigh(right)
            meter().charge_text(sum(weights) if name in ("in", "notin") else min(weights))
            result = COMPARISONS[name](left, right)
            if not result:
                break
            left = right
        return result


class Formatting:
    """A text's `format` or `format_map`, ready to be called."""

    def __init__(self, formatter: Formatter, template: str, mapped: bool) -> None:
        self._formatter = formatter
        self._template = template
        self._mapped = mapped

    def __call__(self, *args: Any, **named: Any) -> str:
        meter().charge_text(len(self._template))
        if self._mapped:
            return self._formatter.vformat(self._template, (), args[0])
        return self._formatter.vformat(self._template, args, named)


def _own(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The named arguments of the template itself: Jinja passes its scopes beside them."""
    return {name: value for name, value in kwargs.items() if name not in ("_loop_vars", "_block_vars")}


def _size(value: Any) -> int:
    """Steps for a copy of a value: characters are small, items are not."""
    if isinstance(value, str):
        return 1 + len(value) // 16
    if isinstance(value, list | tuple):
        return 1 + len(value)
    return value.bit_length() if isinstance(value, int) else 1
