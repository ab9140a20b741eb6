"""A trace in the terminal: what each token looked at, what each layer would have said, what came next."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from pellucid.trace.trace import Candidate, Trace

SHADES = " ░▒▓█"
WIDEST_MAP = 32
"""A map of more tokens than this is shown as its strongest links alone."""


LENS_CELL = 17
"""Columns a cell of the logit lens takes, its gap included."""


def readable(text: str) -> str:
    """A token's text on one line, its spaces and line ends visible."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥")
    return f"·{shown[1:]}" if shown.startswith(" ") and len(shown) > 1 else shown or "∅"


def shade(weight: float) -> str:
    """A weight from 0 to 1 as two cells; any weight of at least 2 % leaves a mark."""
    if weight < 0.02:
        return "· " if weight > 0 else "  "
    return SHADES[1 + min(3, int(weight * 4))] * 2


def attention_map(trace: Trace, layer: int, head: int) -> RenderableType:
    """One head's map: a row a query, a column a key, darker for more; beside it the strongest links."""
    pattern_TT = trace.attention(layer, head)
    tokens = [readable(token) for token in trace.tokens[: len(trace)]]
    table = Table(
        title=f"attention of layer {layer}, head {head}: each row looks left", box=None, pad_edge=False
    )
    table.add_column("", justify="right")
    if len(tokens) <= WIDEST_MAP:
        table.add_column(Text("".join(f"{i:<2}" for i in range(len(tokens))), style="dim"), no_wrap=True)
    table.add_column("looks most at", style="cyan")
    for i, row in enumerate(pattern_TT):
        cells = [Text(f"{tokens[i]} {i:>3}")]
        if len(tokens) <= WIDEST_MAP:
            cells.append(Text("".join(shade(weight) for weight in row.tolist())))
        cells.append(Text(strongest(row, tokens)))
        table.add_row(*cells)
    return table


def strongest(row_T: Tensor, tokens: Sequence[str], count: int = 3) -> str:
    """The keys with the largest weights of one query, `cat 0.61, The 0.22`."""
    best = row_T.topk(min(count, len(row_T)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return ", ".join(f"{tokens[i]} {weight:.2f}" for i, weight in pairs if weight >= 0.005)


def logit_lens(trace: Trace, width: int = 80) -> RenderableType:
    """What the head would have said after every layer, for as many of the last positions as fit the width."""
    positions = range(max(0, len(trace) - max(1, (width - 8) // LENS_CELL)), len(trace))
    lens = trace.logit_lens(rows=positions)
    table = Table(
        title="logit lens: the likeliest next token if the model stopped after this layer", box=None
    )
    table.add_column("layer", justify="right", no_wrap=True, min_width=5)
    for at in positions:
        table.add_column(Text(f"{clip(trace.tokens[at])} →"), no_wrap=True)
    for layer in range(trace.num_layers):
        cells = [
            f"{clip(lens.texts_LTN[layer][i][0])} {lens.probabilities_LTN[layer, i, 0]:.2f}"
            for i in range(len(positions))
        ]
        table.add_row(Text(str(layer)), *(Text(cell) for cell in cells))
    return table


def clip(text: str, length: int = LENS_CELL - 7) -> str:
    """A token's text, cut where it would not fit a cell."""
    shown = readable(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def candidates(row: Sequence[Candidate]) -> str:
    """The likeliest next tokens on one line."""
    return "  ".join(f"{readable(c.text)} {c.probability:.3f}" for c in row)


def next_tokens(trace: Trace, top: int = 5) -> RenderableType:
    """The likeliest tokens of every step; of a prompt alone, what would come next."""
    table = Table(title="next token: the likeliest of each step", box=None)
    table.add_column("after", justify="right")
    table.add_column("likeliest, with probability")
    table.add_column("chosen", style="green")
    chosen = [readable(token) for token in trace.tokens[trace.prompt_length :]]
    for i, row in enumerate(trace.steps(top)):
        at = trace.prompt_length - 1 + i
        picked = chosen[i] if i < len(chosen) else ""
        table.add_row(Text(readable(trace.tokens[at])), Text(candidates(row)), Text(picked))
    return table


def show(trace: Trace, *, layer: int | None = None, head: int = 0, console: Console | None = None) -> None:
    """Print a trace: one head's map (of the last layer by default), the logit lens, the steps."""
    console = console or Console()
    layer = trace.num_layers - 1 if layer is None else layer
    lens = logit_lens(trace, console.width)
    console.print(Group(attention_map(trace, layer, head), "", lens, "", next_tokens(trace)))
