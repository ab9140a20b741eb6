"""Measures what loading needs beside the weights it keeps, peak memory and time, at published shapes.

`python benchmarks/loading_memory.py [FOLDER]` writes a random bfloat16 checkpoint of TinyLlama's shape (2.2
GB) if no FOLDER is given, loads it in a fresh process, and prints the peak over the weights. Resident memory
is counted from after the imports. `--shape phi-3-mini --quantization int4` does so with 7.6 GB, rounding them
to 4 bits as they are read.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from make_checkpoint import SHAPES, write_checkpoint

from pellucid.models.loading import load_model
from pellucid.models.quantising import stored_weights


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def reset_peak() -> None:
    """Begin counting the peak anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """The most this process has held since."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM in /proc/self/status")


def measure(source: str, dtype: str, quantization: str | None) -> dict[str, float]:
    """Load in this process; bytes and seconds."""
    reset_peak()
    before = resident_bytes()
    began = time.perf_counter()
    model = load_model(source, dtype=dtype, device="cpu", quantization=quantization)
    seconds = time.perf_counter() - began
    weights = sum(weight.nbytes for weight in stored_weights(model))
    peak = peak_bytes() - before
    return {"weights": weights, "peak": peak, "ratio": peak / weights, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?")
    parser.add_argument("--shape", choices=SHAPES, default="llama-1.1b")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--quantization", choices=["int8", "int4"])
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.in_this_process:
        print(json.dumps(measure(given.source, given.dtype, given.quantization)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        if given.source is None:
            write_checkpoint(given.shape, Path(scratch), torch.bfloat16, tokenizer=None)
        command = [
            sys.executable,
            __file__,
            given.source or scratch,
            "--dtype",
            given.dtype,
            "--in-this-process",
            *(["--quantization", given.quantization] if given.quantization else []),
        ]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"weights {result['weights'] / 1e9:.2f} GB, peak {result['peak'] / 1e9:.2f} GB, "
        f"peak/weights {result['ratio']:.3f}, {result['seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
