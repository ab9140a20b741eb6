"""Compiles and renders chat templates in their sandbox; what goes wrong ends in one clear error."""

from collections.abc import Mapping
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError

from pellucid.errors import RequestError, TokenizerError, one_line
from pellucid.text.template_guard import Guard
from pellucid.text.template_meter import MAX_DEPTH, OverLimit, metered
from pellucid.text.template_names import Refused
from pellucid.text.template_sandbox import TemplateEnvironment

MAX_SOURCE = 64 * 1024  # the longest published templates have about 25,000


def plain(value: Any, where: str, depth: int = 0) -> Any:
    """A copy of JSON-like data in Python's own types. Raises RequestError, naming the place, for the rest."""
    if depth > MAX_DEPTH:
        raise RequestError(
            f"{where} is nested more than {MAX_DEPTH} deep: a chat template takes flatter data"
        )
    match value:
        case str():
            return str.__str__(value)
        case None | bool() | int() | float():
            return value
        case Mapping():
            return {str(key): plain(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [plain(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
    raise RequestError(
        f"{where} is a {type(value).__name__}; a chat template takes texts, numbers, lists and dicts: "
        "turn it into those"
    )


def compile_template(source: str) -> jinja2.Template:
    """A template ready to render. Raises TokenizerError where it is no valid Jinja."""
    if len(source) > MAX_SOURCE:
        raise TokenizerError(
            f"the chat template has {len(source)} characters; up to {MAX_SOURCE} are read: give a shorter one"
        )
    environment = TemplateEnvironment()
    try:
        return environment.from_string(Guard().visit(environment.parse(source)))
    except Exception as error:
        raise TokenizerError(
            f"the chat template is no valid Jinja: {_why(error)}; give another one"
        ) from error


def render(template: jinja2.Template, values: Mapping[str, Any]) -> str:
    """A template's text. Raises RequestError where it refuses, TokenizerError where it fails or grows."""
    copies = {name: plain(value, name) for name, value in values.items()}
    try:
        with metered(copies):
            return template.render(copies)
    except Refused as error:
        raise RequestError(f"the chat template refuses this conversation: {one_line(error)}") from None
    except OverLimit as error:
        raise TokenizerError(f"the chat template was stopped: {one_line(error)}; give another one") from None
    except SecurityError as error:
        raise TokenizerError(
            f"the chat template reaches for what it may not use: {one_line(error)}"
        ) from None
    except Exception as error:
        raise TokenizerError(f"the chat template failed on this conversation: {_why(error)}") from error


def _why(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    return f"{type(error).__name__}: {one_line(error)}" + (f" (line {line})" if line else "")
