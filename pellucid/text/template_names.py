"""The names that published chat templates expect beside Jinja's own."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import safe_range
from jinja2.utils import Namespace

from pellucid.text.template_costs import WIDTH, within


class Refused(Exception):
    """What a template says through `raise_exception`."""


class GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}` marks what the model said, for training: here, its content."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 reads this attribute of the class)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class TemplateNamespace(Namespace):
    """Jinja's namespace, which prints as nothing: it alone can change, so nothing may look through it."""

    def __repr__(self) -> str:
        return "<namespace>"


def raise_exception(message: object) -> NoReturn:
    """Published templates call it to refuse a conversation."""
    raise Refused(str(message)[:WIDTH])


def strftime_now(format: str) -> str:
    """The date and time of now, as published templates ask for it."""
    within(len(format))
    return datetime.now().strftime(format)


def make_dict(*args: Any, **named: Any) -> dict[Any, Any]:
    """`dict(...)`, without the attributes of Python's own."""
    return dict(*args, **named)


GLOBALS: dict[str, Callable[..., Any]] = {
    "raise_exception": raise_exception,
    "strftime_now": strftime_now,
    "range": safe_range,
    "dict": make_dict,
    "namespace": TemplateNamespace,
}
