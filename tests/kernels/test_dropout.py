"""Dropout keeps its share, makes up for the rest, and draws what its seed says."""

import pytest
import torch

from pellucid.kernels.dropout import kept


def draw(share, shape=(1000, 41), seed=0, dtype=torch.float32):
    return kept(torch.empty(shape, dtype=dtype), share, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.001, 0.05, 0.1, 0.5, 0.9])
def test_a_share_is_dropped_and_the_mean_stays(share):
    mask = draw(share)
    assert (mask == 0).float().mean().item() == pytest.approx(share, abs=4 * (share / 41000) ** 0.5)
    assert mask.unique().tolist() == pytest.approx([0, 1 / (1 - share)], rel=1e-3)


def test_neighbours_are_dropped_independently():
    dropped = (draw(0.5, (100_000,)) == 0).double()
    for distance in (1, 2, 3, 4, 8):
        assert abs((dropped[distance:] * dropped[:-distance]).mean().item() - 0.25) < 0.01


def test_the_seed_decides():
    assert torch.equal(draw(0.3, seed=1), draw(0.3, seed=1))
    assert not torch.equal(draw(0.3, seed=1), draw(0.3, seed=2))


def test_any_shape_and_dtype():
    for shape in ((), (1,), (3, 5, 7), (0, 4)):
        mask = draw(0.1, shape, dtype=torch.bfloat16)
        assert mask.shape == shape and mask.dtype == torch.bfloat16
