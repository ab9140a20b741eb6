"""What the recipes' command lines have in common: help that says everything, counts, and files of text."""

import argparse
from pathlib import Path

from pellucid.errors import SourceError


def recipe_parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help is the whole docstring: where the data comes from stands there."""
    return argparse.ArgumentParser(
        description=docstring, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def positive(given: str) -> int:
    """A whole number from 1 up."""
    try:
        number = int(given)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{given!r}: a whole number from 1 up is allowed")
    return number


def read_text(file: Path) -> str:
    """A file's text. Raises SourceError for one that is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file}: is no UTF-8 text (byte {error.start}); if it is text, convert it: iconv -f latin1 -t "
            "utf-8"
        ) from error
    if "\0" in text:
        raise SourceError(f"{file}: holds zero bytes, so it is no text; give a plain text file")
    return text
