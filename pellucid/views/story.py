"""Tells what a demonstration run did: six steps, each with the run's own numbers, then the figures."""

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pellucid.device import human_bytes
from pellucid.report import Report
from pellucid.views.terminal import readable

SHOWN = 12


def tell(report: Report, console: Console) -> None:
    """Print the whole story of a run."""
    console.print()
    console.print(f"[bold]What just happened[/bold] [dim]({report.model})[/dim]")
    for number, (title, lines) in enumerate(_steps(report), start=1):
        console.print(f"\n[bold cyan]{number}. {title}[/bold cyan]")
        for line in lines:
            console.print(Padding(line, (0, 0, 0, 3)))
    console.print()
    console.print(figures(report))


def _steps(r: Report) -> list[tuple[str, list[Text | Table]]]:
    n, out = len(r.tokens), len(r.output_token_ids)
    shown = "  ".join(f"{readable(text)} [{token}]" for token, text in r.tokens[:SHOWN])
    more = f"  … and {n - SHOWN} more" if n > SHOWN else ""
    if r.num_heads == r.num_kv_heads:
        sharing = f"each of the {r.num_heads} heads has keys and values of its own"
    else:
        sharing = f"{r.num_heads // r.num_kv_heads} query heads share each of the {r.num_kv_heads} KV heads"
    maps = f"{r.num_layers * r.num_heads} attention maps in all; {sharing}, {r.head_dim} numbers a head"
    with_cache, without = r.rows_with_cache, r.rows_without_cache
    work = f"with it {with_cache:,} tokens went through the layers, without it {without:,} would have"
    saved = f"{work} ({1 - with_cache / without:.0%} saved)"
    kept = f"kept: {human_bytes(r.kv_bytes)} in {r.kv_blocks} blocks of {r.block_size} tokens"
    place = f"a vector of {r.hidden_size} numbers each, at positions 0 to {n - 1} ({r.positions})"
    vocabulary = f"{n} subword tokens, each a number in a vocabulary of {r.vocab_size:,}:"
    taken = f"{out} of them, until {_ending(r.finish_reason)}"
    return [
        ("The text became tokens", [Text(vocabulary), Text(shown + more)]),
        ("Every token got its meaning and its place", [Text(place)]),
        (f"They went through {r.num_layers} layers of {r.num_heads} heads", [Text(maps)]),
        (
            "The last layer became probabilities",
            [Text("the likeliest next tokens of the first steps:"), _likeliest(r)],
        ),
        ("One token was taken at a time", [Text(f"{r.sampling}; {taken}")]),
        ("The KV cache saved most of the work", [Text(saved), Text(kept)]),
    ]


def _ending(reason: str) -> str:
    return {
        "stop": "the model said it was done",
        "length": "the limit that was set",
        "abort": "it was interrupted",
    }.get(reason, reason)


def _likeliest(r: Report) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for step in r.steps:
        row = "   ".join(f"{readable(text)} {p:.3f}" for text, p in step.candidates)
        table.add_row(Text("→ " + readable(step.chosen), style="green"), Text(row))
    return table


def figures(r: Report) -> Table:
    """The run's figures, one a row."""
    table = Table(box=None, pad_edge=False, show_header=False, title="Figures", title_justify="left")
    rows = [
        ("tokens in, out", f"{len(r.tokens)}, {len(r.output_token_ids)}"),
        ("parameters", f"{r.parameters:,} ({r.dtype}, {human_bytes(r.weight_bytes)})"),
        ("loading", f"{r.load_seconds:.2f} s"),
        ("time to first token", f"{r.time_to_first_token * 1000:.0f} ms"),
    ]
    if r.tokens_per_second is not None:
        rows.append(("decoding", f"{r.tokens_per_second:.1f} tokens/s"))
    rows.append(("KV cache", f"{human_bytes(r.kv_bytes)} ({human_bytes(r.kv_bytes_per_token)} a token)"))
    if r.bandwidth_share is not None:
        rate = human_bytes(r.read_bandwidth)
        rows.append(("memory bandwidth", f"{r.bandwidth_share:.0%} of the {rate}/s this machine reads"))
    for name, value in rows:
        table.add_row(Text(name, style="dim"), Text(value))
    return table
