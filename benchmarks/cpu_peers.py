"""Pellucid beside other engines on this machine's CPU: paired rounds, ratios with their spread.

    python benchmarks/random_gguf.py 1.1b Q4_0 /tmp/b-q4.gguf
    python benchmarks/cpu_peers.py /tmp/b-q4.gguf --rounds 9

Every engine runs in a process of its own and all take turns within a round, so that what else happens on the
machine happens to all; the ratio of each round is what counts. Ours runs through `LLM.generate`, sampler
included; llama.cpp through its C functions (llama-cpp-python, compiled for this machine), with no Python in
the loop but for the calls; transformers in bfloat16; OpenVINO GenAI through its pipeline. What is not
installed is left out, and said. Tasks: decode (64 tokens after a prompt of 128), batch (16 sequences at
once), prefill (512 tokens, others in each round), long (decode at a context of 4,096). A prompt that is not
what is timed is computed in the first round and kept by every engine. "read limit" is no engine: the tokens a
second that reading the weights once a token from memory would allow. `--busy-core` runs a process that never
rests beside them. A round in which other processes took more than 0.3 of a core is measured anew, within
reason. On a busy machine, `--threads 1 --cpu-time` compares what the engines cost instead of how long they
wait. `cpu_goals.py` holds the results to goals.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cpu_engines
from cpu_engines import ENGINES, TASKS, Task


class Worker:
    """An engine in a process of its own, idle between tasks."""

    def __init__(self, engine: str, file: str, threads: int, dtype: str, cpu_time: bool) -> None:
        command = [sys.executable, cpu_engines.__file__, engine, file, "--threads", str(threads)]
        command += ["--dtype", dtype] + ["--cpu-time"] * cpu_time
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.peak_bytes = 0
        self.missing = self._answer().get("missing")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        return {"missing": f"its process ended with status {self.process.wait()}"}

    def run(self, task: Task, round: int) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([task, round]) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if "missing" in answer:
            raise RuntimeError(f"{self.process.args}: {answer['missing']}")
        self.peak_bytes = int(answer["peak"])
        return float(answer["rate"])

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass(frozen=True)
class Setting:
    """What all engines of a comparison have in common."""

    file: str
    rounds: int = 9
    threads: int = 2
    dtype: str = "auto"
    """Ours alone, of float weights."""
    cpu_time: bool = False


@dataclass(frozen=True)
class Comparison:
    """Ours beside one other, in one task."""

    task: str
    engine: str
    ours_per_second: float
    per_second: float
    ratio: tuple[float, float, float]
    """Of ours to it, each round's: lower quartile, median, upper quartile."""
    ours_peak_bytes: int
    peak_bytes: int
    disturbed: int
    """How many of the rounds others disturbed, after all."""

    def __str__(self) -> str:
        low, middle, high = self.ratio
        return (
            f"{self.task:8} ours {self.ours_per_second:8.1f} tok/s, {self.engine} {self.per_second:8.1f}, "
            f"ratio {middle:.2f} ({low:.2f} to {high:.2f}); "
            f"peak memory {self.ours_peak_bytes / 2**20:.0f} and {self.peak_bytes / 2**20:.0f} MiB"
            + f"; {self.disturbed} rounds disturbed"
            * bool(self.disturbed)
        )


class Others:
    """How busy processes other than ours keep the machine."""

    MOST = 0.3
    """Of one core."""

    def __init__(self, ours: Sequence[int]) -> None:
        self._ours = (os.getpid(), *ours)
        self._tick = os.sysconf("SC_CLK_TCK")
        self._then = (time.perf_counter(), self._seconds())

    def share(self) -> float:
        """Of one core, since the last time."""
        now = (time.perf_counter(), self._seconds())
        (before, spent_before), self._then = self._then, now
        return (now[1] - spent_before) / (now[0] - before)

    def _seconds(self) -> float:
        """Of all processes but ours, and of their children that have ended."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            if int(stat.parent.name) not in self._ours:
                try:
                    ticks += sum(map(int, stat.read_text().rpartition(")")[2].split()[11:15]))
                except OSError:  # it has ended meanwhile
                    continue
        return ticks / self._tick


def measured(
    workers: dict[str, Worker], task: Task, rounds: int, pids: Sequence[int]
) -> tuple[dict[str, list[float]], int]:
    """Each engine's rate in each round, disturbed ones measured anew; and their number, if they were so
    many that disturbed ones had to count."""
    rates: dict[str, list[float]] = {name: [] for name in workers}
    others, disturbed, number = Others(pids), 0, 0
    while len(rates["pellucid"]) < rounds + 1:  # the first warms up
        found = {name: worker.run(task, number) for name, worker in workers.items()}
        noisy = others.share() > Others.MOST and number > 0
        if noisy and disturbed < rounds:
            disturbed += 1
        else:
            for name, rate in found.items():
                rates[name].append(rate)
        number += 1
    return {name: found[1:] for name, found in rates.items()}, disturbed if disturbed == rounds else 0


def compare(
    setting: Setting, peers: Sequence[str], tasks: Sequence[str], beside: Sequence[int] = ()
) -> Iterator[Comparison]:
    """Each peer beside ours, task by task; a peer that is not installed is left out, and said. `beside` are
    processes that are meant to disturb."""
    s = setting
    workers = {name: Worker(name, s.file, s.threads, s.dtype, s.cpu_time) for name in ("pellucid", *peers)}
    for name in [name for name, worker in workers.items() if worker.missing]:
        print(f"{name} is left out: {workers.pop(name).missing}", file=sys.stderr)
    pids = [*beside, *(worker.process.pid for worker in workers.values())]
    for task in tasks:
        rates, disturbed = measured(workers, TASKS[task], s.rounds, pids)
        ours = rates["pellucid"]
        for name in workers.keys() - {"pellucid"}:
            theirs = rates[name]
            low, middle, high = statistics.quantiles([a / b for a, b in zip(ours, theirs, strict=True)], n=4)
            yield Comparison(
                task,
                name,
                statistics.median(ours),
                statistics.median(theirs),
                (low, middle, high),
                workers["pellucid"].peak_bytes,
                workers[name].peak_bytes,
                disturbed,
            )
    for worker in workers.values():
        worker.end()


@contextmanager
def busy_core(core: int | None) -> Iterator[list[int]]:
    """Keeps one core busy meanwhile, as another program would, and says which process does; None: no core."""
    if core is None:
        yield []
        return
    spinning = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.sched_setaffinity(spinning.pid, {core})
    try:
        yield [spinning.pid]
    finally:
        spinning.kill()
        spinning.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="a GGUF file")
    parser.add_argument("--peers", default="llama.cpp", help=f"of {', '.join(ENGINES)}; with commas between")
    parser.add_argument("--tasks", default="decode,batch,prefill", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="auto", help="what ours holds float weights in")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time instead of time, for one thread"
    )
    parser.add_argument("--busy-core", type=int, help="the number of a core that another process keeps busy")
    parser.add_argument("--json", type=Path, help="a file for the results")
    given = parser.parse_args()
    setting = Setting(given.file, given.rounds, given.threads, given.dtype, given.cpu_time)
    found = []
    with busy_core(given.busy_core) as beside:
        for comparison in compare(setting, given.peers.split(","), given.tasks.split(","), beside):
            print(comparison, flush=True)
            found.append(asdict(comparison))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
