"""Prints what a checkpoint is, and which models are here."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pellucid.device import human_bytes
from pellucid.models.catalog import Entry
from pellucid.models.inspect import Inspection

BODIES = {
    "Decoder": "a decoder",
    "Encoder": "an encoder",
    "EncoderDecoder": "an encoder-decoder",
    "Vision": "a vision model",
}
LONGEST = 60
"""A longer value is cut, a longer array is counted."""


def show_inspection(shown: Inspection, console: Console) -> None:
    """Print everything, a section at a time."""
    kind = "" if shown.kind in shown.name else f", {shown.kind}"
    body = BODIES.get(shown.body, shown.body)
    console.print(Text.assemble((shown.name, "bold"), (f" ({shown.model_type}, {body}{kind})", "dim")))
    console.print(Text(shown.path, style="dim"))
    if shown.problem:
        console.print(Text(f"would not load: {shown.problem}", style="red"))
    _section(console, "Config", {key: _brief(value) for key, value in shown.published.items()})
    if shown.generation:
        _section(console, "Generation", {key: _brief(value) for key, value in shown.generation.items()})
    _section(console, "Tokenizer", _tokenizer(shown))
    total = shown.num_parameters
    counts = {part: f"{count:,} ({count / total:.1%})" for part, count in shown.parameters.items()}
    _section(console, "Parameters", counts | {"all": f"{total:,}"})
    console.print("\n[bold cyan]Tensors[/bold cyan]")
    console.print(_tensors(shown))
    _section(console, "Memory", _memory(shown))


def show_catalog(entries: Sequence[Entry], available: int, console: Console) -> None:
    """Print the models one a line, and what would not open after them."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True, overflow="fold")  # a name cut short opens nothing
    table.add_column("family")
    table.add_column("numbers", justify="right")
    table.add_column("where")
    for column in ("bfloat16", "int8", "int4"):
        table.add_column(column, justify="right")
    for entry in entries:
        if entry.num_parameters is None:
            continue
        sizes = [
            Text(human_bytes(entry.memory[kind]), style="" if entry.memory[kind] < available else "red")
            for kind in ("bfloat16", "int8", "int4")
        ]
        count = f"{entry.num_parameters / 1e6:,.1f} M"
        table.add_row(entry.name, entry.model_type, count, entry.kind, *sizes)
    console.print(table)
    for entry in entries:
        if entry.problem:
            console.print(Text(f"{entry.name}: {entry.problem}", style="dim"))
    console.print(Text(f"{human_bytes(available)} of memory are free here.", style="dim"))


def _section(console: Console, title: str, rows: Mapping[str, str]) -> None:
    console.print(f"\n[bold cyan]{title}[/bold cyan]")
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(value))
    console.print(table)


def _brief(value: Any) -> str:
    if isinstance(value, str | Mapping) or not hasattr(value, "__len__"):
        text = str(value)
    else:
        text = str(list(value)) if len(value) <= 8 else f"{len(value):,} values"
    one_line = text.replace("\n", "⏎")
    return one_line if len(one_line) <= LONGEST else f"{one_line[:LONGEST]}… ({len(text):,} characters)"


def _tokenizer(shown: Inspection) -> dict[str, str]:
    tokenizer = shown.tokenizer
    if tokenizer is None:
        return {"none": shown.tokenizer_problem or "it reads no text"}
    special = ", ".join(f"{role} {token!r}" for role, token in tokenizer.special_tokens.items())
    templates = ", ".join(
        f"{name} ({len(source):,} characters)" for name, source in tokenizer.chat_templates.items()
    )
    return {
        "vocabulary": f"{tokenizer.vocab_size:,} tokens",
        "special tokens": special or "none",
        "chat template": templates or "none",
    }


def _tensors(shown: Inspection) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for group in shown.tensors:
        shape = " × ".join(str(size) for size in group.shape)
        times = f"{group.count} of" if group.count > 1 else ""
        table.add_row(Text(group.name), Text(times, style="dim"), shape, group.encoding or "")
    return table


def _memory(shown: Inspection) -> dict[str, str]:
    rows = {}
    if shown.stored_bytes is not None:
        rows["weights, as stored"] = human_bytes(shown.stored_bytes)
    for kind, size in shown.memory.items():
        fits = "" if size < shown.available_memory else ", more than is free here"
        rows[f"weights in {kind}"] = human_bytes(size) + fits
    for kind, size in shown.kv_bytes_per_token.items():
        rows[f"each token in the cache, {kind}"] = human_bytes(size)
    return rows | {"free here": human_bytes(shown.available_memory)}
