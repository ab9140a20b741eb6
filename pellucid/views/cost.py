"""Prints what running a model costs."""

from rich.console import Console
from rich.table import Table

from pellucid.cost import Cost
from pellucid.device import human_bytes


def show_cost(cost: Cost, console: Console) -> None:
    """Print the speeds, then where a decoding step's time goes."""
    console.print(
        f"[bold]{cost.model}[/bold] [dim]{cost.weights}, {cost.backend}, {cost.threads} threads[/dim]"
    )
    rows = Table(box=None, pad_edge=False, show_header=False)
    rows.add_row("prefill", f"{cost.prefill_rate:,.0f} tokens/s", f"a prompt of {cost.prompt_tokens}")
    rows.add_row("decode", f"{cost.decode_rate:,.1f} tokens/s", f"one sequence, {cost.new_tokens} tokens")
    rows.add_row(
        "memory",
        f"{cost.bandwidth_share:.0%}",
        f"of the {human_bytes(cost.read_bandwidth)}/s this machine reads, at "
        f"{human_bytes(cost.weight_bytes_per_token)} of weights a token",
    )
    rows.add_row("cache", human_bytes(cost.kv_bytes_per_token), f"a token, in {cost.kv_cache}")
    console.print(rows)
    console.print("\n[bold cyan]One decoding step[/bold cyan]")
    console.print(_step(cost))
    if cost.why_no_tape:
        console.print(f"[dim]run operation by operation, not as one tape: {cost.why_no_tape}[/dim]")
    if others := [name for name, runs in cost.instruction_sets.items() if not runs]:
        console.print(f"[dim]built and never run on this processor: {', '.join(others)}[/dim]")


def _step(cost: Cost) -> Table:
    parts = {"schedule": cost.schedule_ms}
    parts |= dict(sorted(cost.operations_ms.items(), key=lambda item: -item[1]))
    parts |= {"between operations" if cost.operations_ms else "model": cost.between_ms or cost.model_ms}
    parts |= {"sampling and after": cost.sample_ms}
    total = cost.schedule_ms + cost.model_ms + cost.sample_ms
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    for name, ms in parts.items():
        table.add_row(name, f"{ms:.3f} ms", f"{ms / total:.0%}")
    table.add_row("together", f"{total:.3f} ms", "")
    return table
