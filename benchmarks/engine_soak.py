"""Random operations on an engine, every invariant checked after each: `python benchmarks/engine_soak.py`.

Adds requests of every kind, steps, aborts, preempts by force, under pools so small that they press, with and
without prefix caching, windows and drafts; a fresh engine every thousand operations, which must end holding
nothing. Prints what happened. 100,000 operations take a few minutes.
"""

import argparse
import random
import time
from collections import Counter

import torch

from pellucid.engine.drafting import NgramSpeculation
from pellucid.engine.engine import Engine
from pellucid.engine.request import Request
from pellucid.errors import QueueFullError, RequestError
from pellucid.kernels import torch_ops
from pellucid.models.decoder import Decoder
from pellucid.models.registry import read_config
from pellucid.sampling.params import BeamSearchParams, SamplingParams

VOCABULARY = 40
SHAPE = {
    "model_type": "mistral",
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "intermediate_size": 16,
    "max_position_embeddings": 512,
}
EACH_ENGINE = 1000


def tiny(window: int | None) -> Decoder:
    """A random model, with or without a sliding window."""
    family, config = read_config({**SHAPE, "sliding_window": window})
    model = family.build(config)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.eval().requires_grad_(False)


class Soak:
    """One engine and what is known to be running in it."""

    def __init__(self, draw: random.Random, counts: Counter[str]) -> None:
        self.draw, self.counts = draw, counts
        seats = draw.randint(2, 8)
        self.engine = Engine(
            tiny(draw.choice([None, 6])), kernels=torch_ops, block_size=4, num_blocks=draw.randint(12, 40),
            max_num_seqs=seats, max_num_batched_tokens=seats + draw.randint(1, 20), max_waiting=12,
            enable_prefix_caching=draw.random() < 0.7, use_cache=draw.random() < 0.9, eos_token_ids=[1, 2],
            speculation=NgramSpeculation(num_speculative_tokens=3) if draw.random() < 0.4 else None,
        )  # fmt: skip
        self.unfinished: Counter[str] = Counter()

    def operate(self) -> None:
        """One random operation, then every check."""
        kind = self.draw.choices(["step", "add", "abort", "preempt"], [60, 30, 5, 5])[0]
        self.counts[kind] += 1
        getattr(self, kind)()
        self.check()

    def add(self) -> None:
        draw = self.draw
        begin = [3] * draw.choice([0, 4, 8, 9])
        prompt = begin + [draw.randrange(VOCABULARY) for _ in range(draw.randint(1, 24))]
        params: SamplingParams | BeamSearchParams
        if draw.random() < 0.15:
            params = BeamSearchParams(beam_width=draw.randint(1, 4), max_tokens=draw.randint(1, 10))
        else:
            params = SamplingParams(
                n=draw.choice([1, 1, 2, 4]), temperature=0.9, max_tokens=draw.randint(1, 20),
                seed=draw.randrange(9), prompt_logprobs=draw.choice([None, None, 1]),
            )  # fmt: skip
        deadline = time.monotonic() + draw.random() * 0.05 if draw.random() < 0.1 else None
        name = str(self.counts["add"])
        request = Request(
            id=name, prompt_token_ids=prompt, params=params, priority=draw.randint(-1, 1), deadline=deadline,
            cache_key=draw.choice([None, "other"]),
        )  # fmt: skip
        try:
            self.engine.add(request)
        except QueueFullError:
            self.counts["queue full"] += 1
        except RequestError:
            self.counts["refused"] += 1
        else:
            self.unfinished[name] = params.n if isinstance(params, SamplingParams) else params.beam_width

    def step(self) -> None:
        self.note(self.engine.step())

    def abort(self) -> None:
        if self.unfinished:
            self.note(self.engine.abort(self.draw.choice(list(self.unfinished))))

    def preempt(self) -> None:
        if self.engine.scheduler.running:
            self.engine.scheduler.preempt(self.draw.choice(self.engine.scheduler.running))

    def note(self, outputs) -> None:
        """Every sample ends once, with a reason."""
        for output in outputs:
            if output.finish_reason is not None:
                assert output.finish_reason != "error", output.error
                self.counts[output.finish_reason] += 1
                self.unfinished[output.request_id] -= 1
                if not self.unfinished[output.request_id]:
                    del self.unfinished[output.request_id]

    def check(self) -> None:
        scheduler = self.engine.scheduler
        scheduler.pool.check()
        scheduler.prefix.check()
        held = Counter(b for s in scheduler.running for b in s.table.blocks if b >= 0)
        for block in range(scheduler.config.num_blocks):
            assert scheduler.pool.references(block) == held[block], "a reference count is wrong"
        assert not any(s.table.blocks or s.num_computed for s in scheduler.waiting)
        assert len(scheduler.running) <= scheduler.config.max_num_seqs
        assert bool(self.unfinished) == self.engine.has_work

    def finish(self) -> None:
        """Serve what is left; then nothing may be held."""
        while self.engine.has_work:
            self.step()
        self.check()
        assert self.engine.scheduler.pool.num_in_use == 0
        self.counts["preempted"] += self.engine.totals.preemptions
        self.counts["hit tokens"] += self.engine.totals.hit_tokens
        self.counts["drafted"] += self.engine.totals.drafted_tokens
        self.counts["accepted"] += self.engine.totals.accepted_tokens


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    draw, counts = random.Random(given.seed), Counter[str]()
    for first in range(0, given.operations, EACH_ENGINE):
        soak = Soak(draw, counts)
        for _ in range(min(EACH_ENGINE, given.operations - first)):
            soak.operate()
        soak.finish()
    print(f"{given.operations} operations, every invariant held: {dict(counts)}")


if __name__ == "__main__":
    main()
