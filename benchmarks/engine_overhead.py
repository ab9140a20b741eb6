"""What the engine itself costs a step: scheduling, batches, sampling and bookkeeping, without a model.

`python benchmarks/engine_overhead.py [--vocabulary 49152]` prints the processor time of a decoding step at 1,
16 and 64 requests, and where it goes. In the model's place is one that always gives the same logits.
"""

import argparse
import statistics
import time

import torch
from torch import nn

from pellucid.engine.batch import Batch
from pellucid.engine.engine import Engine
from pellucid.engine.request import Request
from pellucid.engine.runner import Wrap
from pellucid.kernels import torch_ops
from pellucid.models.decoder import Decoder
from pellucid.models.registry import read_config
from pellucid.sampling.params import SamplingParams

MIXES = {"greedy": {"temperature": 0}, "sampled": {"temperature": 0.8, "top_p": 0.95, "top_k": 50}}


class NoModel:
    """A runner that computes nothing."""

    def __init__(self, most: int, vocabulary: int) -> None:
        self.logits_RV = torch.randn(most, vocabulary, generator=torch.Generator().manual_seed(0))

    def run(self, batch: Batch, wrap: Wrap | None = None) -> torch.Tensor:
        return self.logits_RV[: len(batch.output_rows_R)]


def tiny(vocabulary: int) -> Decoder:
    """The least model an engine can be given."""
    shape = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    family, config = read_config(
        {"model_type": "llama", "vocab_size": vocabulary, "max_position_embeddings": 4096, **shape}
    )
    model = family.build(config)
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model.eval()


def measure(
    model: Decoder, requests: int, vocabulary: int, steps: int, sampling: dict
) -> tuple[float, float, float]:
    """Median milliseconds of a step in all, of scheduling and batch building, of sampling and the rest."""
    runner = NoModel(requests, vocabulary)
    engine = Engine(
        model, kernels=torch_ops, make_runner=lambda *_: runner, num_blocks=64 * 40,
        max_num_batched_tokens=requests * 300 + 1, enable_prefix_caching=True,
    )  # fmt: skip
    for number in range(requests):
        params = SamplingParams(max_tokens=steps + 2, ignore_eos=True, seed=number, **sampling)
        engine.add(Request(id=str(number), prompt_token_ids=list(range(1, 257)), params=params))
    engine.step()
    times = []
    for _ in range(steps):
        began = time.thread_time()
        engine.step()
        times.append((time.thread_time() - began) * 1e3)
    records = list(engine.steps)[1:]
    return (
        statistics.median(times),
        statistics.median(step.schedule_ms for step in records),
        statistics.median(step.sample_ms for step in records),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vocabulary", type=int, default=49152)
    parser.add_argument("--steps", type=int, default=100)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = tiny(given.vocabulary)
    for name, sampling in MIXES.items():
        for requests in (1, 16, 64):
            whole, schedule, sample = measure(model, requests, given.vocabulary, given.steps, sampling)
            print(
                f"{name:<8} {requests:>3} requests: {whole:6.3f} ms a step "
                f"(scheduling and batch {schedule:.3f}, sampling and the rest {sample:.3f} by the clock)"
            )


if __name__ == "__main__":
    main()
