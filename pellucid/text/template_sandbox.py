"""The Jinja sandbox that chat templates run in: what published templates expect, nothing of Python."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pellucid.errors import RequestError, TokenizerError


class Refused(Exception):
    """What a template says through `raise_exception`."""


class GenerationTag(Extension):
    """`{% generation %}...{% endgeneration %}` marks what the model said, for training: here, its content."""

    tags = {"generation"}  # noqa: RUF012  (jinja2 reads this attribute of the class)

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def raise_exception(message: object) -> NoReturn:
    raise Refused(str(message))


def strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


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


def environment() -> jinja2.Environment:
    """The sandbox with the names published templates use."""
    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = strftime_now
    env.filters["tojson"] = tojson
    return env


def compile_template(source: str) -> jinja2.Template:
    """A template ready to render. Raises TokenizerError where it is no valid Jinja."""
    try:
        return environment().from_string(source)
    except Exception as error:
        raise TokenizerError(f"the chat template is no valid Jinja: {error}; give another one") from error


def render(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    try:
        return template.render(values)
    except Refused as error:
        raise RequestError(f"the chat template refuses this conversation: {error}") from None
    except Exception as error:
        raise TokenizerError(f"the chat template failed: {type(error).__name__}: {error}") from error
