"""A trace in the terminal: what each token looked at, what each layer would have said, what came next."""

import math
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text
from torch import Tensor

from pellucid.trace.reading import EncoderTrace
from pellucid.trace.stack import StackTrace
from pellucid.trace.text import Candidate, TextTrace, TranslationTrace
from pellucid.trace.trace import LogitLens

SHADES = " ░▒▓█"
WIDEST_MAP = 32
"""A map of more tokens than this is shown as its strongest links alone."""
MOST_ROWS = 64
"""Of a map with more rows only the last are shown."""


LENS_CELL = 17
"""Columns a cell of the logit lens takes, its gap included."""


def readable(text: str) -> str:
    """A token's text on one line, its spaces and line ends visible."""
    shown = text.replace("\n", "⏎").replace("\t", "⇥")
    return f"·{shown[1:]}" if shown.startswith(" ") and len(shown) > 1 else shown or "∅"


def shade(weight: float) -> str:
    """A weight from 0 to 1 as two cells; any weight of at least 2 % leaves a mark, and one that is no number
    a question."""
    if math.isnan(weight):
        return "??"
    if weight < 0.02:
        return "· " if weight > 0 else "  "
    return SHADES[1 + min(3, int(weight * 4))] * 2


def attention_map(
    title: str, weights_TS: Tensor, rows: Sequence[str], columns: Sequence[str]
) -> RenderableType:
    """A map: a row a query, a column a key, darker for more; beside it the strongest links."""
    first = max(0, len(weights_TS) - MOST_ROWS)
    title += f" (the last {MOST_ROWS} of {len(weights_TS)} rows)" if first else ""
    table = Table(title=title, box=None, pad_edge=False, min_width=len(title))
    table.add_column("", justify="right")
    if len(columns) <= WIDEST_MAP:
        table.add_column(Text("".join(f"{i:<2}" for i in range(len(columns))), style="dim"), no_wrap=True)
    table.add_column("looks most at", style="cyan")
    for i, weights_S in enumerate(weights_TS[first:], start=first):
        cells = [Text(f"{readable(rows[i])} {i:>3}")]
        if len(columns) <= WIDEST_MAP:
            cells.append(Text("".join(shade(weight) for weight in weights_S.tolist())))
        cells.append(Text(strongest(weights_S, columns)))
        table.add_row(*cells)
    return table


def strongest(row_T: Tensor, tokens: Sequence[str], count: int = 3) -> str:
    """The keys with the largest weights of one query, `cat 0.61, The 0.22`."""
    best = row_T.topk(min(count, len(row_T)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return ", ".join(f"{readable(tokens[i])} {weight:.2f}" for i, weight in pairs if weight >= 0.005)


def lens_table(title: str, lens: LogitLens, columns: Sequence[str]) -> RenderableType:
    """What the head would have said after every layer, a column a token."""
    table = Table(title=title, box=None, min_width=len(title))
    table.add_column("layer", justify="right", no_wrap=True, min_width=5)
    for column in columns:
        table.add_column(Text(column), no_wrap=True)
    for layer, row in enumerate(lens.texts_LTN):
        cells = [f"{clip(best[0])} {lens.probabilities_LTN[layer, i, 0]:.2f}" for i, best in enumerate(row)]
        table.add_row(Text(str(layer)), *(Text(cell) for cell in cells))
    return table


def classes_table(lens: LogitLens) -> RenderableType:
    """What a head over the whole input would have said after every layer, best first."""
    title = "the best classes if the model stopped after this layer"
    table = Table(title=title, box=None, min_width=len(title))
    table.add_column("layer", justify="right", no_wrap=True, min_width=5)
    table.add_column("classes, with scores")
    for layer, ((texts,), (scores,)) in enumerate(
        zip(lens.texts_LTN, lens.probabilities_LTN.tolist(), strict=True)
    ):
        said = "  ".join(f"{text} {score:.3f}" for text, score in zip(texts, scores, strict=True))
        table.add_row(Text(str(layer)), Text(said))
    return table


def fitting(width: int) -> int:
    """How many columns of the logit lens fit."""
    return max(1, (width - 8) // LENS_CELL)


def clip(text: str, length: int = LENS_CELL - 7) -> str:
    """A token's text, cut where it would not fit a cell."""
    shown = readable(text)
    return shown if len(shown) <= length else shown[: length - 1] + "…"


def candidates(row: Sequence[Candidate]) -> str:
    """The likeliest next tokens on one line."""
    return "  ".join(f"{readable(c.text)} {c.probability:.3f}" for c in row)


def next_tokens(trace: TextTrace, top: int = 5) -> RenderableType:
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


def lens_of_steps(trace: TextTrace, width: int) -> RenderableType:
    """The logit lens of as many of the last positions as fit."""
    positions = range(max(0, len(trace) - fitting(width)), len(trace))
    columns = [f"{clip(trace.tokens[at])} →" for at in positions]
    title = "logit lens: the likeliest next token if the model stopped after this layer"
    return lens_table(title, trace.logit_lens(rows=positions), columns)


def lens_of_reading(trace: EncoderTrace, width: int) -> RenderableType:
    """What an encoder's head would have said after every layer: of the masks, where the text has some."""
    if not trace.answers_each_token:
        return classes_table(trace.logit_lens(top=3))
    positions = (trace.masks or range(len(trace)))[: fitting(width)]
    columns = [f"{clip(trace.tokens[at])} {at}" for at in positions]
    title = "logit lens: the best answer for each token if the model stopped after this layer"
    return lens_table(title, trace.logit_lens(rows=positions), columns)


def show_text(trace: TextTrace, *, layer: int | None, head: int, console: Console | None = None) -> None:
    """Print a text being written: one head's map, the logit lens, the steps."""
    console, layer = console or Console(), last(trace, layer)
    title = f"attention of layer {layer}, head {head}: each row looks left"
    shown = attention_map(title, trace.attention(layer, head), trace.tokens, trace.tokens[: len(trace)])
    console.print(Group(shown, "", lens_of_steps(trace, console.width), "", next_tokens(trace)))


def show_encoder(
    trace: EncoderTrace, *, layer: int | None, head: int, console: Console | None = None
) -> None:
    """Print a text being read: one head's map, which has no triangle, and what the head says."""
    console, layer = console or Console(), last(trace, layer)
    console.print(both_ways("attention", trace, layer, head))
    if trace.has_head:
        console.print("", lens_of_reading(trace, console.width))


def show_translation(
    trace: TranslationTrace, *, layer: int | None, head: int, console: Console | None = None
) -> None:
    """Print both sides of a translation: where the decoder looks in the source, how each looks at itself, the
    logit lens, the steps."""
    console, layer = console or Console(), last(trace, layer)
    source = trace.encoder.tokens
    title = f"cross-attention of layer {layer}, head {head}: each written token looks into the source"
    console.print(attention_map(title, trace.cross_attention(layer, head), trace.tokens, source))
    if len(source) <= WIDEST_MAP:
        numbered = "  ".join(f"{i} {readable(token)}" for i, token in enumerate(source))
        console.print(Text(f"source: {numbered}", "dim"))
    console.print()
    if layer < trace.encoder.num_layers and head < trace.encoder.num_heads:
        console.print(both_ways("the encoder's attention", trace.encoder, layer, head), "")
    title = f"the decoder's attention of layer {layer}, head {head}: each row looks left"
    shown = attention_map(title, trace.attention(layer, head), trace.tokens, trace.tokens[: len(trace)])
    console.print(Group(shown, "", lens_of_steps(trace, console.width), "", next_tokens(trace)))


def both_ways(what: str, trace: StackTrace, layer: int, head: int) -> RenderableType:
    """The map of an encoder's head."""
    title = f"{what} of layer {layer}, head {head}: each row looks both ways"
    return attention_map(title, trace.attention(layer, head), trace.tokens, trace.tokens)


def last(trace: StackTrace, layer: int | None) -> int:
    """The layer that is asked for, the last by default."""
    return trace.num_layers - 1 if layer is None else layer
