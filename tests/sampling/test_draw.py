"""Random numbers: uniform, of the right shape, and each a function of its name alone."""

import math

import torch

from pellucid.sampling.draw import exponentials, key


def keys(names):
    return torch.tensor([[key(*name)] for name in names])


def test_each_number_is_a_function_of_key_and_place() -> None:
    names = [(seed, index, position) for seed in (0, -5, 2**70) for index in (0, 1) for position in range(40)]
    every = exponentials(keys(names), torch.arange(-100, 200))
    assert len(every.flatten().unique()) == every.numel()
    for row in (0, 77, 239):
        alone = exponentials(keys(names[row : row + 1]), torch.arange(199, -101, -3)[None])
        assert torch.equal(alone[0], every[row].flip(0)[::3])


def test_they_are_exponential_along_places_and_along_positions() -> None:
    places = exponentials(keys([(1, 0, 0)]), torch.arange(20000))
    positions = exponentials(keys([(1, 0, i) for i in range(20000)]), torch.zeros(1, 1, dtype=torch.int64))
    for numbers in (places.flatten(), positions.flatten()):
        assert numbers.min() > 0 and numbers.isfinite().all()
        shares = torch.histc(torch.exp(-numbers), bins=50, min=0, max=1)
        assert float(((shares - 400) ** 2 / 400).sum()) < 49 + 4 * math.sqrt(2 * 49)
        follows = torch.corrcoef(torch.stack((numbers[:-1], numbers[1:])))[0, 1]
        assert abs(follows) < 0.03
