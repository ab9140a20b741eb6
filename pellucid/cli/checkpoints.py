"""Commands for checkpoints as they lie on disk: `pellucid models | inspect | convert | quantize`."""

import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pellucid.cli.options import Json, print_json
from pellucid.device import available_memory, human_bytes, resolve_device
from pellucid.errors import ConfigError
from pellucid.models.catalog import catalog
from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.convert import convert as convert_folder
from pellucid.models.inspect import inspect as inspect_checkpoint
from pellucid.models.quantise_folder import quantise_folder
from pellucid.models.quantising import QUANTIZATIONS
from pellucid.views.inspection import show_catalog, show_inspection


def models(as_json: Json = False) -> None:
    """List the models that are here, bundled or in the cache, and what each needs in memory."""
    entries = catalog()
    if as_json:
        print_json([dataclasses.asdict(entry) for entry in entries])
        return
    show_catalog(entries, available_memory(resolve_device("cpu")), Console(highlight=False))


def inspect(
    source: Annotated[str, typer.Argument(help="Bundled name, local folder, GGUF file or hub id.")],
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a hub id.")] = None,
    as_json: Json = False,
) -> None:
    """Show what a checkpoint is, its config, shapes, tokenizer and memory, without loading its weights."""
    found = inspect_checkpoint(open_checkpoint(source, revision=revision, weights=False))
    if as_json:
        print_json(dataclasses.asdict(found))
        return
    show_inspection(found, Console(highlight=False))


def convert(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder with pickle weights (.bin).")],
    target: Annotated[Path | None, typer.Argument(help="Where to write; the same folder by default.")] = None,
) -> None:
    """Write a folder's pickle weights as safetensors; only tensors are read, and no code is run."""
    done = convert_folder(folder, target, on_file=lambda file: print(f"reading {file}", file=sys.stderr))
    files = ", ".join(file.name for file in done.files)
    print(f"{done.folder}: wrote {done.num_tensors} tensors, {human_bytes(done.nbytes)}, to {files}")
    if done.left_out:
        print(f"left out, as no tensors: {', '.join(done.left_out)}")


def quantize(
    source: Annotated[str, typer.Argument(help="Bundled name, local folder or hub id.")],
    target: Annotated[Path, typer.Argument(help="A new folder.")],
    quantization: Annotated[str, typer.Option("--to", help="int8 or int4.")] = "int4",
) -> None:
    """Write a checkpoint with its weights rounded to 8 or 4 bits; it loads as they are."""
    if quantization not in QUANTIZATIONS:
        raise ConfigError(f"--to {quantization!r}: allowed are {', '.join(QUANTIZATIONS)}")
    done = quantise_folder(open_checkpoint(source), target, quantization)
    sizes = f"{human_bytes(done.nbytes)}, {human_bytes(done.nbytes_before)} before"
    print(f"{done.file}: {done.num_rounded} tensors rounded to {quantization}; {sizes}")
