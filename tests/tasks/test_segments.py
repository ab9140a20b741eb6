"""Windows are cut where transformers cuts them, and the next begins where it says."""

import random

import pytest
import torch
from transformers.models.whisper.generation_whisper import WhisperGenerationMixin

from pellucid.tasks.segments import cut

FIRST, FRAMES = 20, 3000


def published(ids):
    """transformers' segments of one window in steps, and how far it moves on."""
    segments, moved = WhisperGenerationMixin._retrieve_segment(
        torch.tensor(ids, dtype=torch.long), [{}], torch.zeros(1, dtype=torch.float64), FIRST, torch.tensor([FRAMES]), 0.02, 0.01, 2, 0, 0,
        False, torch.zeros(1, 3),
    )  # fmt: skip
    steps = [
        (round(float(s["start"]) / 0.02), round(float(s["end"]) / 0.02), tuple(s["tokens"].tolist()))
        for s in segments
    ]
    return steps, int(moved)


def test_the_same_segments_as_the_published_algorithm() -> None:
    rng = random.Random(0)
    for _ in range(1500):
        ids = [rng.choice([rng.randrange(10), rng.randrange(FIRST, 60)]) for _ in range(rng.randrange(9))]
        expected, moved = published(ids)
        spans, ours = cut(ids, FIRST, FRAMES)
        assert [(span.start, span.end, span.token_ids) for span in spans] == expected, ids
        assert ours == (moved or FRAMES), ids


@pytest.mark.parametrize("ids", [[FIRST, FIRST], [FIRST, 3, FIRST, FIRST]])
def test_a_window_that_ends_where_it_began_is_left(ids) -> None:
    assert cut(ids, FIRST, FRAMES)[1] == FRAMES
