"""A run of several requests in the terminal: requests down, steps across, blocks in use below."""

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from pellucid.engine.record import StepRecord

Cell = tuple[str, str]
"""A character and its style: told apart without colours too."""
PREFILL: Cell = ("█", "blue")
DECODE: Cell = ("▪", "green")
GUESSED: Cell = ("◆", "bright_green")
WAITING: Cell = ("·", "dim")
PREEMPTED: Cell = ("×", "bold red")
NOTHING: Cell = (" ", "")
LEVELS = "▁▂▃▄▅▆▇█"
LEGEND = (
    (PREFILL, "prefill"),
    (DECODE, "decode"),
    (GUESSED, "decode, several tokens at once"),
    (WAITING, "waiting"),
    (PREEMPTED, "preempted"),
)
Row = tuple[str, int]
"""A request and which sample of it."""


def rows_of(steps: Sequence[StepRecord]) -> list[Row]:
    """Every sample that the steps speak of, in the order they first do."""
    seen: dict[Row, None] = {}
    for step in steps:
        seen |= dict.fromkeys((work.request_id, work.sample) for work in step.work)
        seen |= dict.fromkeys(step.waiting)
    return list(seen)


def cells_of(step: StepRecord) -> dict[Row, Cell]:
    """What a step did to each sample it speaks of."""
    cells = dict.fromkeys(step.waiting, WAITING) | dict.fromkeys(step.preempted, PREEMPTED)
    for work in step.work:
        decode = GUESSED if work.new_tokens > 1 else DECODE
        cells[work.request_id, work.sample] = PREFILL if work.phase == "prefill" else decode
    return cells


def timeline(
    steps: Sequence[StepRecord], *, num_blocks: int, width: int, labels: Mapping[str, str] | None = None
) -> RenderableType:
    """The steps, in as many panels as `width` columns need. `labels` names requests; else their ids do."""
    rows, names = rows_of(steps), labels or {}
    several = {request_id for request_id, sample in rows if sample}
    titles = [
        names.get(request_id, request_id) + (f" [{sample}]" if request_id in several else "")
        for request_id, sample in rows
    ]
    column = min(max([len(title) for title in titles] + [len("blocks in use")]), width // 3)
    room = max(1, width - column - 2)
    panels = [
        panel(steps[first : first + room], rows, titles, column, num_blocks)
        for first in range(0, len(steps), room)
    ]
    legend = Text("  ").join(Text(f"{mark} {what}", style=style) for (mark, style), what in LEGEND)
    return Group(*panels, legend, summary(steps, num_blocks))


def panel(
    steps: Sequence[StepRecord], rows: Sequence[Row], titles: Sequence[str], column: int, num_blocks: int
) -> Table:
    """Some steps, one column a step."""
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(width=column, no_wrap=True, overflow="ellipsis")
    table.add_column(no_wrap=True, overflow="crop")
    table.add_row(Text("step", style="dim"), Text(ruler(steps), style="dim"))
    told = [cells_of(step) for step in steps]
    for row, title in zip(rows, titles, strict=True):
        line = Text()
        for cells in told:
            line.append(*cells.get(row, NOTHING))
        if line.plain.strip():
            table.add_row(title, line)
    levels = [LEVELS[min(7, step.blocks_in_use * 8 // num_blocks)] for step in steps]
    table.add_row(Text("blocks in use", style="dim"), Text("".join(levels), style="yellow"))
    return table


def ruler(steps: Sequence[StepRecord]) -> str:
    """The numbers of every tenth step, each over its own column."""
    line = ""
    for place, step in enumerate(steps):
        if step.number % 10 == 0 and len(line) <= place:
            line = line.ljust(place) + str(step.number)
    return line


def summary(steps: Sequence[StepRecord], num_blocks: int) -> Text:
    """The run in one line."""
    new = sum(work.new_tokens for step in steps for work in step.work)
    computed = sum(work.tokens for step in steps for work in step.work)
    hits = sum(work.hits for step in steps for work in step.work)
    seconds = sum(step.total_ms for step in steps) / 1e3
    most = max((step.blocks_in_use for step in steps), default=0)
    preempted = sum(len(step.preempted) for step in steps)
    return Text(
        f"{len(steps)} steps, {new} tokens out in {seconds:.2f} s, {computed} computed, {hits} from the "
        f"prefix cache, at most {most} of {num_blocks} blocks, {preempted} "
        f"preemption{'' if preempted == 1 else 's'}",
        style="dim",
    )


def show(steps: Sequence[StepRecord], *, num_blocks: int, labels: Mapping[str, str] | None = None) -> None:
    """Print a timeline as wide as the terminal."""
    console = Console(highlight=False)
    console.print(timeline(steps, num_blocks=num_blocks, width=console.width, labels=labels))
