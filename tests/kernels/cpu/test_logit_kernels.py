"""What the sampler asks of logits comes out of the C++ kernels as out of torch, on every path, in any company."""

import math

import pytest
import torch

from pellucid.kernels.cpu import library
from pellucid.kernels.cpu.kernels import Now
from pellucid.kernels.cpu.logits import LogitKernels, kernels_for
from pellucid.sampling.ordering import top_tokens_by_torch
from pellucid.sampling.weights import run_sums, weigh_by_torch

LIBRARY = library.load()
if isinstance(LIBRARY, str):
    pytest.skip(LIBRARY, allow_module_level=True)
FUSED = [name for name, runs in LIBRARY.paths().items() if runs and name in ("avx2", "avx512")]
SIZES = [1, 7, 63, 64, 65, 127, 128, 129, 1000, 5003]


@pytest.fixture(scope="module")
def kernels(player):
    return LogitKernels(player)


def rows(size, seed=0):
    """Ordinary ones, coarse ones with many equal entries, zeros of both signs, a single value, and -inf."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, size, generator=generator) * 5
    x[1].round_()
    x[2] = torch.where(torch.rand(size, generator=generator) < 0.5, 0.0, -0.0)
    x[3] = 2.5
    x[4, torch.rand(size, generator=generator) < 0.7] = -math.inf
    x[5] = x[5].sort().values
    x[4, 0] = 1
    return x


@pytest.mark.parametrize("size", SIZES)
def test_the_likeliest_are_those_of_torch(kernels, size):
    x = rows(size)
    for count in sorted({1, *(min(n, size) for n in (2, 64, 700)), size}):
        expected, made = top_tokens_by_torch(x, count), kernels.top_tokens(x, count)
        assert torch.equal(made[1], expected[1]) and torch.equal(made[0], x.gather(1, made[1]))


def test_what_is_no_number_is_above_all_and_does_no_harm(kernels):
    x = rows(300)
    x[0, 200], x[1], x[2, 299] = math.nan, math.nan, math.inf
    values, ids = kernels.top_tokens(x, 5)
    assert values[0, 0].isnan() and ids[0, 0] == 200 and values[2, 0] == math.inf and ids[2, 0] == 299
    assert ((ids >= 0) & (ids < 300)).all() and ids[1].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("temperature", [0.05, 1.0, 3.0])
@pytest.mark.parametrize("size", SIZES)
def test_weights_and_their_sums_are_those_of_torch(kernels, size, temperature):
    x, t = rows(size), torch.full((6,), temperature)
    best = x.amax(-1)
    weights = kernels.weigh(x, best, t)
    torch.testing.assert_close(weights, weigh_by_torch(x, best, t), rtol=3e-6, atol=1e-37)
    assert (weights.gather(1, x.argmax(-1, keepdim=True)) == 1).all() and (weights[x == -math.inf] == 0).all()
    sums, expected = kernels.weight_sums(x, best, t), run_sums(weights)
    assert sums.shape == expected.shape and torch.equal(sums, sums.round())
    torch.testing.assert_close(sums, expected, rtol=1e-6, atol=1)


def test_a_row_has_the_same_bits_alone_and_among_others_on_one_thread_and_on_two(kernels):
    wide = torch.cat([rows(1500, seed) for seed in range(3)]).repeat(1, 2)
    x, t = wide[:, 1000:2500], torch.linspace(0.3, 2, 18)  # rows that lie apart
    threads = torch.get_num_threads()
    try:
        results = []
        for count, step in ((1, 1), (2, 18), (2, 5)):
            torch.set_num_threads(count)
            parts = []
            for at in range(0, 18, step):
                some, best = x[at : at + step], x[at : at + step].amax(-1)
                numbers = (some, best, t[at : at + step])
                parts.append(
                    (*kernels.top_tokens(some, 70), kernels.weigh(*numbers), kernels.weight_sums(*numbers))
                )
            results.append([torch.cat(each) for each in zip(*parts, strict=True)])
        assert all(torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True))
    finally:
        torch.set_num_threads(threads)


@pytest.mark.skipif(len(FUSED) < 2, reason="one width of vectors only")
def test_the_width_of_a_vector_changes_no_bit():
    x, t = rows(1000), torch.full((6,), 0.7)
    before, made = LIBRARY.chosen_path, []
    try:
        for path in FUSED:
            LIBRARY.choose_path(path)
            made.append(LogitKernels(Now(LIBRARY)).weight_sums(x, x.amax(-1), t))
    finally:
        LIBRARY.choose_path(before)
    assert torch.equal(*made)


def test_rows_of_other_kinds_are_left_to_torch():
    assert kernels_for(torch.zeros(2, 9)) is not None
    others = (
        torch.zeros(2, 9).bfloat16(),
        torch.zeros(9, 2).T,
        torch.zeros(2, 9).double(),
        torch.zeros(0, 9),
    )
    assert all(kernels_for(x) is None for x in others)
