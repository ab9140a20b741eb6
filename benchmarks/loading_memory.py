"""Measures what loading needs beside the weights it keeps: peak resident memory and time, at a 1.1B shape.

`python benchmarks/loading_memory.py [FOLDER]` writes a random bfloat16 checkpoint of TinyLlama's shape (2.2
GB) if FOLDER holds none, loads it in a fresh process, and prints the peak over the weights. Resident memory
is counted from after the imports.
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
from safetensors.torch import save_file

CONFIG = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def write_checkpoint(folder: Path, config: dict[str, object] = CONFIG, shards: int = 2) -> None:
    """Random weights; small ones, so that a run stays finite."""
    from pellucid.models.registry import read_config
    from pellucid.models.weights import targets

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    family, read = read_config(config)
    with torch.device("meta"):
        body = family.build(read)
    shapes = {name: p.shape for name, p in body.named_parameters()}
    wanted = list(targets(body, family).items())
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        tensors = {}
        for name, target in wanted[shard::shards]:
            shape = (target.stop - target.start, *shapes[target.parameter][1:])
            tensors[name] = torch.randn(shape, dtype=torch.bfloat16) * 0.02
            weight_map[name] = file
        save_file(tensors, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


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


def measure(folder: str, dtype: str) -> dict[str, float]:
    """Load in this process; bytes and seconds."""
    from pellucid.models.loading import load_model

    reset_peak()
    before = resident_bytes()
    began = time.perf_counter()
    model = load_model(folder, dtype=dtype, device="cpu")
    seconds = time.perf_counter() - began
    weights = sum(p.numel() * p.element_size() for _, p in model.named_parameters())
    peak = peak_bytes() - before
    return {"weights": weights, "peak": peak, "ratio": peak / weights, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.in_this_process:
        print(json.dumps(measure(str(options.folder), options.dtype)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not folder.is_file() and not (folder / "config.json").exists():
            print(f"writing {CONFIG['num_hidden_layers']} random layers to {folder}", file=sys.stderr)
            write_checkpoint(folder)
        command = [sys.executable, __file__, str(folder), "--dtype", options.dtype, "--in-this-process"]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"weights {result['weights'] / 1e9:.2f} GB, peak {result['peak'] / 1e9:.2f} GB, "
        f"peak/weights {result['ratio']:.3f}, {result['seconds']:.1f} s"
    )


if __name__ == "__main__":
    main()
