"""Reads JSON from a file somebody else wrote."""

import json
from pathlib import Path
from typing import Any

from pellucid.errors import ConfigError

LIMIT = 64 * 2**20
"""No config or index is nearly as long; a longer file is not one."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ConfigError naming the file."""
    value = read_value(path)
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: holds a JSON {type(value).__name__}; it must be an object")
    return value


def read_objects(path: Path) -> list[dict[str, Any]]:
    """A JSON list of objects from a file. Raises ConfigError naming the file."""
    value = read_value(path)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ConfigError(f"{path}: must hold a JSON list of objects")
    return value


def read_value(path: Path) -> Any:
    """Whatever a JSON file holds. Raises ConfigError naming the file."""
    try:
        if path.stat().st_size > LIMIT:
            raise ConfigError(f"{path}: {path.stat().st_size} bytes, far too long for what it is named")
        return json.loads(path.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except (OSError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}: is not JSON: {error}; download it again") from error
    except ValueError as error:  # a number of thousands of digits
        raise ConfigError(f"{path}: cannot be read: {error}") from error
