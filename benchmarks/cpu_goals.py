"""Holds the CPU kernels to goals: each a ratio to a peer, in paired rounds, reached or missed by one rule.

    python benchmarks/cpu_goals.py FOLDER                  # all of them: an hour and 7 GB of files
    python benchmarks/cpu_goals.py FOLDER --only A-Q4_0    # those whose names begin so

A goal is reached if the median ratio reaches it and the lower quartile is above it less 0.1. FOLDER gets
the GGUF files (`random_gguf.py`), each written once. A is a Llama of 135M, B one of 1.1B, P has Phi-3-mini's
sizes; `busy` is with another process on one of the cores.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

import random_gguf
from cpu_peers import Comparison, Setting, busy_core, compare
from gguf import GGMLQuantizationType as Kind

SHAPES = {"A": "135m", "B": "1.1b", "P": "3.8b"}
TOLERANCE = 0.1


@dataclass(frozen=True)
class Goal:
    """How many times the peer's rate ours should be; 0 for what is only to be reported."""

    shape: str
    format: str
    task: str
    peer: str
    ratio: float
    busy: bool = False
    dtype: str = "auto"

    @property
    def name(self) -> str:
        return "busy-" * self.busy + f"{self.shape}-{self.format}-{self.task}"

    @property
    def setting(self) -> tuple[str, str, bool, str]:
        """What one set of processes can measure together."""
        return self.shape, self.format, self.busy, self.dtype

    def reached(self, found: Comparison) -> bool:
        low, middle, _ = found.ratio
        return middle >= self.ratio and low > self.ratio - TOLERANCE

    def verdict(self, found: Comparison) -> str:
        if not self.ratio:
            return "no goal"
        return f"goal {self.ratio:.2f} {'reached' if self.reached(found) else 'MISSED'}"


LLAMA, TORCH, OPENVINO, LIMIT = "llama.cpp", "transformers", "openvino", "read limit"
GOALS = [
    Goal("A", "Q4_0", "decode", LLAMA, 1.7),
    Goal("A", "Q4_0", "batch", LLAMA, 1.7),
    Goal("A", "Q4_0", "prefill", LLAMA, 1.5),
    Goal("A", "Q4_0", "long", LLAMA, 1.5),
    Goal("A", "Q8_0", "decode", LLAMA, 0),
    Goal("A", "Q8_0", "batch", LLAMA, 1.7),
    Goal("A", "Q8_0", "prefill", LLAMA, 1.5),
    Goal("A", "F16", "decode", LLAMA, 0.95),
    Goal("A", "F16", "batch", LLAMA, 0),
    Goal("A", "F16", "prefill", LLAMA, 0),
    Goal("B", "Q4_0", "decode", LLAMA, 1.3),
    Goal("B", "Q4_0", "decode", LIMIT, 0.9),
    Goal("B", "Q4_0", "batch", LLAMA, 1.7),
    Goal("B", "Q4_0", "prefill", LLAMA, 1.5),
    Goal("B", "Q4_0", "long", LLAMA, 1.5),
    Goal("B", "Q8_0", "decode", LLAMA, 1.3),
    Goal("B", "Q8_0", "decode", LIMIT, 0.9),
    Goal("B", "Q8_0", "batch", LLAMA, 1.7),
    Goal("B", "Q8_0", "prefill", LLAMA, 1.5),
    Goal("B", "F16", "decode", LLAMA, 0.95),
    Goal("P", "Q4_0", "decode", LLAMA, 0),
    Goal("A", "Q4_0", "decode", LLAMA, 1.0, busy=True),
    Goal("A", "Q4_0", "batch", LLAMA, 1.0, busy=True),
    Goal("A", "Q4_0", "prefill", LLAMA, 1.0, busy=True),
    Goal("B", "Q4_0", "decode", LLAMA, 1.0, busy=True),
    Goal("A", "Q4_0", "decode", TORCH, 5.0),
    Goal("B", "Q4_0", "decode", TORCH, 5.0),
    Goal("A", "Q4_0", "decode", OPENVINO, 0),
    Goal("A", "Q4_0", "batch", OPENVINO, 0),
    Goal("A", "Q4_0", "prefill", OPENVINO, 0),
    Goal("A", "Q8_0", "decode", OPENVINO, 0),
    Goal("B", "Q4_0", "decode", OPENVINO, 0),
    Goal("A", "F16", "decode", TORCH, 1.4, dtype="bfloat16"),
    Goal("B", "F16", "decode", TORCH, 1.4, dtype="bfloat16"),
]


def file_of(folder: Path, shape: str, format: str) -> Path:
    """A model of that shape in that format, written if it is not there yet."""
    file = folder / f"{SHAPES[shape]}-{format}.gguf"
    if not file.exists():
        kind = Kind[format]
        random_gguf.write(file, random_gguf.SHAPES[SHAPES[shape]], kind, random_gguf.random_tensors(kind))
    return file


def measure(goals: Sequence[Goal], folder: Path, rounds: int, core: int) -> Iterator[tuple[Goal, Comparison]]:
    """Each goal and what was found; the goals of one setting are measured by the same processes."""

    def together(goal: Goal) -> tuple[object, ...]:
        """Transformers and OpenVINO take memory and time enough to be alone with ours."""
        return *goal.setting, goal.peer if goal.peer in (TORCH, OPENVINO) else ""

    for _, some in groupby(sorted(goals, key=together), key=together):
        group = list(some)
        first = group[0]
        tasks = list(dict.fromkeys(goal.task for goal in group))
        peers = sorted({goal.peer for goal in group})
        setting = Setting(str(file_of(folder, first.shape, first.format)), rounds, dtype=first.dtype)
        with busy_core(core if first.busy else None) as beside:
            for found in compare(setting, peers, tasks, beside):
                for goal in group:
                    if (goal.task, goal.peer) == (found.task, found.engine):
                        yield goal, found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the GGUF files")
    parser.add_argument("--only", default="", help="beginnings of the goals' names, with commas between")
    parser.add_argument(
        "--peers", default=f"{LLAMA},{TORCH},{OPENVINO},{LIMIT}", help="the goals beside these alone"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, default=1, help="the core that is kept busy where a goal asks so")
    parser.add_argument("--json", type=Path, help="a file for the results")
    given = parser.parse_args()
    wanted = [
        goal
        for goal in GOALS
        if goal.name.startswith(tuple(given.only.split(","))) and goal.peer in given.peers.split(",")
    ]
    results = []
    for goal, found in measure(wanted, given.folder, given.rounds, given.core):
        print(f"{goal.name:20} {found}: {goal.verdict(found)}", flush=True)
        verdict = {"name": goal.name, "goal": goal.ratio, "reached": goal.reached(found)}
        results.append(verdict | asdict(found))
        if given.json:
            given.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
