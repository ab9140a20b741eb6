"""What a run leaves behind for people: a JSON line a step, a bar on the terminal, a plot of the loss."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG, PLOT = "log.jsonl", "loss.png"


class Record:
    """Writes the log as training goes; a resumed run first drops the lines it will write again."""

    def __init__(self, folder: Path, first_step: int, steps: int) -> None:
        self.path = folder / LOG
        kept = [line for line in read(folder) if line["step"] < first_step]
        draft = self.path.with_suffix(".new")
        draft.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(draft, self.path)
        self._file = self.path.open("a", buffering=1)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
        )
        self._task = self._bar.add_task("training", total=steps, completed=first_step, figures="")
        self._tokens, self._since = 0, time.monotonic()

    def __enter__(self) -> "Record":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._file.close()

    def step(self, step: int, loss: float, tokens: int, **figures: float) -> None:
        """One step done: its loss, the tokens it read, and anything else worth a line."""
        self._tokens += tokens
        speed = self._tokens / (time.monotonic() - self._since)
        self.line(step=step, loss=loss, tokens=tokens, tokens_per_s=round(speed, 1), **figures)
        shown = f"loss {loss:.3f} · {speed:,.0f} tokens/s"
        self._bar.update(self._task, completed=step + 1, figures=shown)

    def line(self, **fields: Any) -> None:
        """Any line of the log."""
        self._file.write(json.dumps(fields) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that a kill cut short, or that is otherwise damaged, is not one."""
    found = []
    for line in (folder / LOG).read_text().split("\n") if (folder / LOG).exists() else []:
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def plot(folder: Path) -> Path | None:
    """The loss of every step, and of every evaluation, as a picture; without matplotlib a word and none."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        print(f"no {PLOT}: it needs matplotlib (pip install 'pellucid[train]')")
        return None

    lines = read(folder)
    figure = Figure(figsize=(7, 4))
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    for field, style in (("loss", {"linewidth": 0.5}), ("evaluation", {"marker": "o", "markersize": 3})):
        points = [(line["step"], line[field]) for line in lines if field in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=field, **style)
    axes.legend()
    figure.savefig(folder / PLOT, dpi=120, bbox_inches="tight")
    return folder / PLOT
