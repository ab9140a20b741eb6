"""What `compare` found, for people: a table, a plot and a sentence for each experiment, on one page."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

NEEDS = {"parts": " --text FILE", "sizes": " --text FILE", "translation": " --text fra-eng.zip"}
"""What commands need beside the experiment's name."""
PAGE, FOLDER = "why_transformers.md", "why_transformers"


@dataclass(frozen=True)
class Finding:
    """What an experiment gives: a claim, a table of measurements, and whether they bear the claim out."""

    claim: str
    how: str
    columns: list[str]
    rows: list[list[Any]]
    holds: bool
    verdict: str
    axes: tuple[str, str, str]
    """The plot's x, y and scale ("log" or "linear"): the first column against the others."""


def curves(finding: Finding) -> Iterator[tuple[str, list[Any], list[float]]]:
    """Each measured column against the first, for the plot."""
    if finding.axes[2] == "bar":
        yield finding.columns[-1], [row[0] for row in finding.rows], [row[-1] for row in finding.rows]
        return
    for column in range(1, len(finding.columns)):
        yield finding.columns[column], [r[0] for r in finding.rows], [r[column] for r in finding.rows]


def plot(finding: Finding, file: Path) -> None:
    """The measurements as a picture."""
    figure = Figure(figsize=(6, 3.6))
    x, y, scale = finding.axes
    axes = figure.add_subplot(xlabel="" if scale == "bar" else x, ylabel=y)
    for name, places, values in curves(finding):
        if scale == "bar":
            axes.barh(places[::-1], values[::-1])
            axes.set(xlabel=y, ylabel="", xlim=(0.9 * min(values), None))
        else:
            axes.plot(places, values, marker="o", label=name)
            axes.set_xscale(scale)
            axes.set_xticks(places, [f"{place:,}" for place in places])
            axes.minorticks_off()
    if scale != "bar":
        axes.legend()
    figure.savefig(file, dpi=120, bbox_inches="tight")


def section(name: str, finding: Finding) -> str:
    """One experiment for people."""
    lines = [
        f"## {name}",
        "",
        f"**Claim.** {finding.claim}",
        "",
        f"**Measured** (`pellucid train compare {name}{NEEDS.get(name, '')}`). {finding.how}",
        "",
        "| " + " | ".join(finding.columns) + " |",
        "|" + "---|" * len(finding.columns),
        *("| " + " | ".join(_shown(value) for value in row) + " |" for row in finding.rows),
        "",
        f"![{name}]({FOLDER}/{name}.png)",
        "",
        f"**{'Borne out' if finding.holds else 'Not borne out'}.** {finding.verdict}",
        "",
    ]
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def keep(name: str, finding: Finding, docs: Path) -> None:
    """Write a finding's numbers and its plot below docs."""
    (docs / FOLDER).mkdir(parents=True, exist_ok=True)
    (docs / FOLDER / f"{name}.json").write_text(json.dumps(asdict(finding), indent=1) + "\n")
    plot(finding, docs / FOLDER / f"{name}.png")


def write_page(docs: Path, names: Sequence[str]) -> Path:
    """The page of all that has been measured so far, in the order of these names."""
    files = [docs / FOLDER / f"{name}.json" for name in names]
    sections = [
        section(file.stem, Finding(**json.loads(file.read_text()))) for file in files if file.exists()
    ]
    page = docs / PAGE
    head = "# Why transformers won, measured\n\nEvery number here was computed by the command beside it.\n\n"
    page.write_text(head + "\n".join(sections))
    return page
