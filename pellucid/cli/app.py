"""The command line's beginning and end: which commands there are, and how a mistake ends one."""

import io
import logging
import os
import sys
from typing import Annotated

import typer

from pellucid.cli.checkpoints import convert, inspect, models, quantize
from pellucid.cli.looking import bench, see
from pellucid.cli.recipes import recipe_names, run_recipe
from pellucid.cli.tasks import classify, embed, fill, summarize, transcribe, translate
from pellucid.cli.writing import chat, demo, run
from pellucid.errors import PellucidError

INTERRUPTED = 130

app = typer.Typer(
    help="A transformer engine you can see through.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

WRITING = (demo, run, chat)
LOOKING = (see, bench)
CHECKPOINTS = (models, inspect, convert, quantize)
TASKS = (embed, classify, fill, translate, summarize, transcribe)
for command in (*WRITING, *LOOKING, *CHECKPOINTS, *TASKS):
    app.command()(command)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help=f"One of {', '.join(recipe_names())}.")],
) -> None:
    """Train a model by a recipe; what follows its name is the recipe's (`pellucid train text -h`)."""
    run_recipe(recipe, context.args)


def main() -> None:
    """Run a command; a user's mistake is one message on standard error and exit code 2."""
    open_streams()
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("pellucid").setLevel(logging.INFO)
    try:
        app()
    except PellucidError as error:
        print(f"pellucid: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has gone; say nothing more, not even while Python closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.filename is None:
            raise
        print(f"pellucid: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


def open_streams() -> None:
    """Make standard streams that are closed empty ones, and let no character end a run: what the terminal
    cannot show becomes `?`, and what cannot be decoded reaches the tokenizer, which says so."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)
