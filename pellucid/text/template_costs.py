"""What each filter, test and method that chat templates may use costs, told before it runs.

What is not listed here does not exist for a template.
"""

import json
import re
from collections.abc import Callable, ItemsView, Iterator, KeysView, Sized, ValuesView
from functools import wraps
from typing import Any, cast

from jinja2.filters import FILTERS
from jinja2.tests import TESTS
from markupsafe import escape

from pellucid.text.template_meter import OverLimit, meter

WIDTH = 1000  # the widest padding, indentation or precision
PRINTF = re.compile(r"%(?:\([^)]*\))?[-#0 +]*(\*|\d*)(?:\.(\*|\d*))?")


def nothing(*args: Any, **named: Any) -> None:
    """Work that is the same for any value."""
    meter().charge(1)


def text(*args: Any, **named: Any) -> None:
    """Goes through all of its values once."""
    meter().charge(1)
    for value in (*args, *named.values()):
        meter().charge_value(value)


def items(value: Any, *args: Any, **named: Any) -> None:
    """Goes through the items of its value without looking into them."""
    meter().charge(1 + (len(value) if isinstance(value, Sized) else 0))
    text(*args, **named)


def items_and_text(value: Any, *args: Any, **named: Any) -> None:
    """Goes through the items of its value and all that they hold."""
    items(value, value, *args, **named)


def looking_up(value: Any, key: Any, default: Any = None) -> None:
    """Hashes the key."""
    text(key)


def replacing(s: Any, old: Any = "", new: Any = "", count: Any = None) -> None:
    text(s, old, new)
    if isinstance(s, str) and isinstance(old, str) and isinstance(new, str):
        meter().charge_text((s.count(old) if old else len(s) + 1) * len(new))


def joining(value: Any, d: Any = "", attribute: Any = None) -> None:
    items_and_text(value, d)
    if isinstance(value, Sized):
        meter().charge_text(len(value) * meter().weigh(d))


def indenting(s: Any, width: Any = 4, first: Any = False, blank: Any = False) -> None:
    text(s, width)
    if isinstance(s, str):
        meter().charge(len(s))  # as many lines as that
        lines = len(s.splitlines()) + 1
        meter().charge_text(lines * (len(width) if isinstance(width, str) else within(width)))


def stripping(value: Any, chars: Any = None) -> None:
    text(value, chars)
    if isinstance(value, str) and isinstance(chars, str):
        meter().charge_text(len(value) * len(chars))


def splitting(value: Any, sep: Any = None, maxsplit: Any = -1, **named: Any) -> None:
    text(value, sep)
    if isinstance(value, str):
        meter().charge(value.count(sep) if sep and isinstance(sep, str) else len(value) // 2)


def searching_back(value: Any, sep: Any = None, *args: Any, **named: Any) -> None:
    """Python searches backwards in time that is the product of the two lengths."""
    splitting(value, sep)
    if isinstance(value, str) and isinstance(sep, str):
        meter().charge_text(len(value) * len(sep) // 16)


def writing(
    value: Any, ensure_ascii: Any = False, indent: Any = None, separators: Any = None, sort_keys: Any = False
) -> None:
    """JSON: quotes, escapes and indentation."""
    weight = meter().weigh(value)
    meter().charge_text(6 * weight)
    if indent is not None:
        meter().charge_text(weight * (len(indent) if isinstance(indent, str) else within(indent)))
    if separators is not None:
        meter().charge_text(weight * meter().weigh(separators))


def rounding(value: Any, precision: Any = 0, method: Any = "common") -> None:
    nothing()
    within(precision)


def summing(iterable: Any, attribute: Any = None, start: Any = 0) -> None:
    items_and_text(iterable)
    if not isinstance(start, int | float):
        raise OverLimit("sum adds numbers only")


def formatting(value: Any, *args: Any, **named: Any) -> None:
    """printf-style: `%s` and its like, each of which may print every value."""
    text(value, *args, **named)
    if isinstance(value, str):
        for widths in PRINTF.findall(value):
            for width in filter(None, widths):
                within(int(width[:9]) if width != "*" else WIDTH + 1)
        weight = sum(map(meter().weigh, (*args, *named.values())))
        meter().charge_text(value.count("%") * (4 * weight + WIDTH))


def within(number: Any) -> int:
    """A width, if it is one that text can want."""
    if not isinstance(number, int) or abs(number) > WIDTH:
        raise OverLimit(f"a width or precision beyond {WIDTH}")
    return abs(number)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON as the published implementation writes it: no HTML escapes, unlike Jinja's own filter."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


Cost = Callable[..., None]
FILTER_COSTS: dict[str, Cost] = {
    **dict.fromkeys(("default", "d", "first", "last", "length", "count", "abs", "int", "float"), nothing),
    **dict.fromkeys(
        ("list", "reverse", "map", "select", "reject", "selectattr", "rejectattr", "items"), items
    ),
    **dict.fromkeys(
        ("sort", "unique", "groupby", "min", "max", "dictsort", "title", "truncate"), items_and_text
    ),
    **dict.fromkeys(("string", "upper", "lower", "capitalize", "escape", "e", "safe"), text),
    "trim": stripping, "replace": replacing, "join": joining, "indent": indenting, "round": rounding,
    "sum": summing, "format": formatting, "tojson": writing,
}  # fmt: skip
TEST_COSTS: dict[str, Cost] = {
    **dict.fromkeys(
        ("defined", "undefined", "none", "boolean", "false", "true", "integer", "float", "number", "string",
         "mapping", "sequence", "iterable", "callable", "odd", "even", "divisibleby", "sameas"), nothing,
    ),
    **dict.fromkeys(
        ("eq", "equalto", "==", "ne", "!=", "gt", "greaterthan", ">", "ge", ">=", "lt", "lessthan", "<",
         "le", "<=", "in", "lower", "upper"), text,
    ),
}  # fmt: skip
METHOD_COSTS: dict[type, dict[str, Cost]] = {
    str: {
        **dict.fromkeys(
            ("upper", "lower", "title", "capitalize", "startswith", "endswith", "find", "index", "count",
             "isdigit", "isalpha", "isalnum", "isspace", "isupper", "islower", "isnumeric", "removeprefix",
             "removesuffix", "partition"), text,
        ),
        **dict.fromkeys(("strip", "lstrip", "rstrip"), stripping),
        **dict.fromkeys(("rfind", "rindex", "rsplit", "rpartition"), searching_back),
        "replace": replacing, "split": splitting, "splitlines": splitting,
        "join": lambda separator, value: joining(value, separator),
    },
    dict: {"get": looking_up, "items": items, "keys": items, "values": items},
    list: {"index": text, "count": text},
    tuple: {"index": text, "count": text},
}  # fmt: skip


def priced(function: Callable[..., Any], price: Cost) -> Callable[..., Any]:
    """A filter or test that is paid for before it runs, and gives a list where Jinja gives a generator."""
    # Jinja marks functions that want the context or the environment before the value
    passed = 0 if getattr(function, "jinja_pass_arg", None) is None else 1

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        price(*args[passed:], **kwargs)
        return settled(function(*args, **kwargs))

    return run


def settled(result: Any) -> Any:
    """A result that is paid for by its length; generators and views become lists."""
    if isinstance(result, str):
        meter().charge_text(len(result))
    elif isinstance(result, Iterator):
        return meter().collect(result)
    elif isinstance(result, ItemsView | KeysView | ValuesView):
        return list(result)
    return result


def escaped(value: Any) -> str:
    """HTML-escaped text, as a plain string."""
    return str(escape(value))


OWN: dict[str, Callable[..., Any]] = {"tojson": tojson, "safe": str, "escape": escaped, "e": escaped}
IMPLEMENTED: dict[str, Callable[..., Any]] = {**FILTERS, **OWN}
PRICED_FILTERS = {name: priced(IMPLEMENTED[name], price) for name, price in FILTER_COSTS.items()}
JUDGES = cast(dict[str, Callable[..., Any]], TESTS)
PRICED_TESTS = {name: priced(JUDGES[name], price) for name, price in TEST_COSTS.items()}
