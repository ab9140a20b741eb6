"""The rules of times forbid exactly what transformers' processor forbids, after any beginning."""

import random
from types import SimpleNamespace

import pytest
import torch
from transformers.generation import WhisperTimeStampLogitsProcessor

from pellucid.sampling.timestamps import Timestamps

WORDS, END, WITHOUT, FIRST, SIZE = 20, 20, 24, 25, 60


@pytest.mark.parametrize("latest", [None, 0, 3])
def test_the_same_tokens_are_left(latest) -> None:
    ours = Timestamps(FIRST, WITHOUT, END, latest)
    config = SimpleNamespace(
        no_timestamps_token_id=WITHOUT, eos_token_id=END, bos_token_id=END, max_initial_timestamp_index=latest
    )
    theirs = WhisperTimeStampLogitsProcessor(config, begin_index=3)
    rng = random.Random(0)
    for seed in range(400):
        output = [
            rng.choice([rng.randrange(WORDS), rng.randrange(FIRST, SIZE)]) for _ in range(rng.randrange(6))
        ]
        logits = torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)) * 3
        logits[FIRST:] += rng.choice([-9, 0, 2])
        expected = theirs(torch.tensor([[0, 1, 2, *output]]), logits[None])[0]
        before = logits.clone()
        assert torch.equal(ours([0, 1, 2], output, logits), expected), output
        assert torch.equal(logits, before), "what it was given stays as it was"


def test_times_are_written_when_together_they_are_likelier() -> None:
    rule = Timestamps(FIRST, WITHOUT, END, None)
    logits = torch.full((SIZE,), -20.0)
    logits[5] = 1.0
    logits[FIRST + 3 :] = -1.0  # 32 of them, each less likely than the word
    left = rule([], [FIRST, 7, 8], logits)
    assert torch.isinf(left[:FIRST]).all() and torch.isfinite(left[FIRST + 3 :]).all()
    logits[FIRST + 3 :] = -3.0
    assert rule([], [FIRST, 7, 8], logits)[5] == 1.0
