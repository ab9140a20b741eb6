"""Options that several commands have, the prompts they read, and the JSON they print."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pellucid.errors import RequestError

Model = Annotated[str, typer.Option("--model", "-m", help="Bundled name, local folder or hub id.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", "-n", help="At most this many new tokens.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")]
KVCacheDtype = Annotated[
    str, typer.Option(help="Keep keys and values in: auto, float32, bfloat16, float16 or int8.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Quantization = Annotated[str | None, typer.Option(help="Round the weights: int8, int4, or auto (what fits).")]
Prompts = Annotated[list[str] | None, typer.Argument(help="One or more prompts; - reads standard input.")]
Inputs = Annotated[list[str] | None, typer.Argument(help="One or more; without, lines of standard input.")]


def read_prompts(arguments: list[str], file: Path | None) -> list[str]:
    """The prompts of a command: its arguments, a file's lines, or standard input for `-` or a pipe."""
    texts = list(arguments)
    if file is not None:
        try:
            texts += file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"{file}: cannot be read as text: {error}") from error
    elif not texts and not sys.stdin.isatty():
        texts = ["-"]
    texts = [sys.stdin.read().removesuffix("\n") if text == "-" else text for text in texts]
    if not [text for text in texts if text]:
        raise RequestError("there is no prompt; give it as an argument, with --file, or on standard input")
    return [text for text in texts if text]


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))
