"""What sampling costs a step: 64 rows of several mixes of parameters, greedy to everything at once.

`python benchmarks/sampling.py [--rows 64] [--vocabularies 49152 131072]` prints the median milliseconds of
processor time of `sample` on logits that are peaked as a trained model's are, and flat as an untrained one's.
"""

import argparse
import statistics
import time
from typing import Any

import torch

from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import sample
from pellucid.sampling.state import SamplingState

MIXES: dict[str, list[dict[str, Any]]] = {
    "greedy": [{"temperature": 0}],
    "greedy, 5 logprobs": [{"temperature": 0, "logprobs": 5}],
    "greedy, penalties": [{"temperature": 0, "repetition_penalty": 1.1, "frequency_penalty": 0.1}],
    "temperature": [{"temperature": 0.8}],
    "top-k 50": [{"top_k": 50}],
    "top-p 0.9": [{"top_p": 0.9}],
    "min-p 0.05": [{"min_p": 0.05}],
    "top-k 50, top-p 0.9": [{"top_k": 50, "top_p": 0.9}],
    "typical 0.9": [{"typical_p": 0.9}],
    "mixed": [
        {"temperature": 0}, {"temperature": 0.7}, {"top_k": 40}, {"top_p": 0.95}, {"top_k": 99, "top_p": 0.9},
        {"temperature": 0, "logprobs": 3}, {"presence_penalty": 0.5, "top_p": 0.8}, {"min_p": 0.1},
    ],
}  # fmt: skip


def logits_like(kind: str, rows: int, vocabulary: int) -> torch.Tensor:
    """Flat: normal logits. Peaked: on top of them a few tokens far above, as a trained model's are."""
    generator = torch.Generator().manual_seed(0)
    logits_RV = torch.randn(rows, vocabulary, generator=generator)
    if kind == "peaked":
        ids_RC = torch.randint(vocabulary, (rows, 200), generator=generator)
        logits_RV.scatter_(1, ids_RC, 22 - torch.arange(1, 201).log() * 1.5 + torch.zeros(rows, 1))
    return logits_RV


def median_ms(logits_RV: torch.Tensor, states: list[SamplingState], repeats: int) -> float:
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()
        sample(logits_RV, states)
        times.append(time.process_time() - start)
    return statistics.median(times[1:]) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[49152, 131072])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    print(f"{args.rows} rows, {torch.get_num_threads()} threads, {args.device}: milliseconds a step")
    for vocabulary in args.vocabularies:
        for kind in ("peaked", "flat"):
            logits_RV = logits_like(kind, args.rows, vocabulary).to(args.device)
            for name, mix in MIXES.items():
                states = [
                    SamplingState(SamplingParams(**mix[row % len(mix)]), range(200), range(300))
                    for row in range(args.rows)
                ]
                milliseconds = median_ms(logits_RV, states, args.repeats)
                print(f"{vocabulary:7d}  {kind:6s}  {name:22s} {milliseconds:8.2f}", flush=True)


if __name__ == "__main__":
    main()
