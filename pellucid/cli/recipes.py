"""Finds and runs the repository's recipes: `pellucid train NAME ...`."""

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from pellucid.errors import SourceError, did_you_mean

ROOT = Path(__file__).resolve().parents[2]
EXTRA = {"sklearn": "scikit-learn", "scipy": "scipy", "sacrebleu": "sacrebleu", "matplotlib": "matplotlib"}
"""What only recipes import, and what it is called where one gets it."""


def recipe_names() -> list[str]:
    """The recipes there are. A file whose name holds an underscore belongs to another's."""
    files = (ROOT / "recipes").glob("*.py")
    return sorted(file.stem for file in files if "_" not in file.stem)


def run_recipe(name: str, arguments: Sequence[str]) -> None:
    """Run a recipe as `python -m recipes.NAME ARGUMENTS` would, from wherever one is.

    Raises SourceError for one that there is not.
    """
    known = recipe_names()
    if not known:
        raise SourceError(
            f"{ROOT}: there are no recipes here; they come with the repository, not with the installed "
            "package. Clone it and install it with `pip install -e .`"
        )
    if name not in known:
        hint = did_you_mean(name, known)
        raise SourceError(f"no recipe is called {name!r}{hint}; there are {', '.join(known)}")
    before = sys.argv, sys.path
    sys.argv, sys.path = [f"pellucid train {name}", *arguments], [str(ROOT), *sys.path]
    sys.modules.pop(f"recipes.{name}", None)  # another recipe may have imported from it
    try:
        runpy.run_module(f"recipes.{name}", run_name="__main__")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA:
            raise
        raise SourceError(
            f"the recipe {name!r} needs {EXTRA[package]}: pip install -e '{ROOT}[train]'"
        ) from error
    finally:
        sys.argv, sys.path = before
