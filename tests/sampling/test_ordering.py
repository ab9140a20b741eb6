"""The likeliest tokens, of equal ones the lowest ids, against plain sorting."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.sampling.ordering import best_token, first_part, top_tokens, top_tokens_by_torch

seeds = st.integers(0, 2**31)
dtypes = st.sampled_from([torch.float32, torch.bfloat16])


def coarse(V, seed, dtype):
    """Three rows with many equal entries, some of them -inf."""
    x = torch.randint(-4, 5, (3, V), generator=torch.Generator().manual_seed(seed)).to(dtype)
    return x.masked_fill(x == -4, -math.inf)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 1200), seeds, dtypes, st.integers(1, 1200))
def test_best_and_top_tokens(V, seed, dtype, count) -> None:
    x = coarse(V, seed, dtype)
    expected = [sorted(range(V), key=lambda i: (-row[i], i)) for row in x.tolist()]
    best, ids = best_token(x)
    assert ids.tolist() == [row[0] for row in expected]
    assert torch.equal(best, x.gather(1, ids[:, None])[:, 0])
    for some in {1, 2, min(count, V)}:
        for top in (top_tokens, top_tokens_by_torch):
            values, ids = top(x, some)
            assert ids.tolist() == [row[:some] for row in expected]
            assert torch.equal(values, x.gather(1, ids))


def test_nan_and_inf_win_so_that_they_are_seen() -> None:
    x = torch.randn(3, 700)
    x[0, 600], x[1, 5], x[2, 699] = math.nan, math.inf, math.nan
    assert [str(v) for v in best_token(x)[0].tolist()] == ["nan", "inf", "nan"]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), seeds, st.integers(0, 6), st.floats(0.001, 1))
def test_the_first_part_is_that_of_a_sorted_row(V, seed, digits, share) -> None:
    generator = torch.Generator().manual_seed(seed)
    by = torch.rand(3, V, generator=generator).mul(10**digits).round().div(10**digits)
    of = torch.randint(0, 2**34, (3, V), generator=generator).double()
    goal = of.sum(-1) * share
    kept = first_part(by, of, goal)
    for row in range(3):
        reached = 0.0
        for i in sorted(range(V), key=lambda i: (-by[row, i].item(), i)):
            assert bool(kept[row, i]) == (reached < goal[row])
            reached += of[row, i].item()
