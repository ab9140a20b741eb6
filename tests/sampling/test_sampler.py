"""The sampler: what a row gets is a pure function of that row; distributions come out as defined."""

import math

import pytest
import torch
from shares import distribution

from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import sample
from pellucid.sampling.state import SamplingState

MIXED = [
    {"temperature": 0},
    {"temperature": 0, "logprobs": 3},
    {"temperature": 0.7, "seed": 1},
    {"temperature": 1.3, "seed": 2, "top_k": 5, "logprobs": 0},
    {"seed": 3, "top_p": 0.8},
    {"seed": 4, "min_p": 0.05, "logprobs": -1},
    {"seed": 5, "typical_p": 0.5},
    {"seed": 6, "top_k": 300, "top_p": 0.999},
    {"seed": 7, "repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.2},
    {"seed": 8, "logit_bias": {3: 5.0}, "min_tokens": 9},
    {"seed": 9, "allowed_token_ids": [1, 2, 3, 90]},
    {"seed": 10, "top_p": 0.9, "typical_p": 0.8, "min_p": 0.001, "top_k": 100},
]


def state(output=(), prompt=(1, 2, 3), sample_index=0, **params):
    params = SamplingParams(**params)
    return SamplingState(params, prompt, output, sample_index=sample_index, eos_token_ids=(0,))


def many(logits_V, count, **params):
    """Sample one row at `count` output positions."""
    states = [state(output=range(i), **params) for i in range(count)]
    return [token.token_id for token in sample(logits_V.expand(count, -1), states)]


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("vocabulary", [96, 1000, 7001])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_gets_the_same_alone_and_in_any_company(vocabulary, dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(24, vocabulary, generator=generator) * 3).to(dtype)
    states = [state(output=range(i), **MIXED[i % len(MIXED)]) for i in range(24)]
    together = sample(logits, states)
    assert [sample(logits[i : i + 1], [states[i]])[0] for i in range(24)] == together
    order = torch.randperm(24, generator=generator).tolist()
    shuffled = sample(logits[order], [states[i] for i in order])
    assert shuffled == [together[i] for i in order]


def test_what_is_drawn_depends_on_seed_index_and_position_only() -> None:
    logits = torch.zeros(1, 1000)
    first = sample(logits, [state(seed=1)])
    assert sample(logits, [state(seed=1, prompt=(9,))]) == first
    others = [state(seed=2), state(seed=1, sample_index=1), state(seed=1, output=[5])]
    assert all(sample(logits, [other]) != first for other in others)
    assert sample(logits, [state()]) != sample(logits, [state()])  # no seed: a fresh one each


@pytest.mark.parametrize("params", [{"temperature": 0.8}, {"top_k": 40}, {"top_p": 0.7}, {"top_p": 0.97}])
def test_the_shares_drawn_are_the_distribution(params) -> None:
    logits = torch.randn(300, generator=torch.Generator().manual_seed(1)) * 2
    expected = distribution(logits[None], [state(**params)])[0] * 4000
    drawn = torch.tensor(many(logits, 4000, seed=0, **params)).bincount(minlength=300)
    assert (drawn[expected == 0] == 0).all()
    used = expected >= 5
    chi2 = ((drawn[used] - expected[used]) ** 2 / expected[used]).sum()
    degrees = int(used.sum()) - 1
    assert chi2 < degrees + 4 * math.sqrt(2 * degrees)


def test_a_huge_or_tiny_temperature_is_safe() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    assert sample(logits, [state(temperature=2e-5, seed=0)])[0].token_id == 1
    assert set(many(logits[0], 200, temperature=1e30, seed=0)) == {0, 1, 2}


def test_logprobs_are_of_the_raw_distribution_with_ranks() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 1.0]])
    raw = torch.log_softmax(logits[0], -1).tolist()
    token = sample(logits, [state(temperature=0, logprobs=2, logit_bias={3: 9.0})])[0]
    assert token.token_id == 3 and token.rank == 3
    assert token.logprob == pytest.approx(raw[3], abs=1e-6)
    assert {i: (lp.rank, round(lp.logprob, 5)) for i, lp in token.top.items()} == {
        3: (3, round(raw[3], 5)), 1: (1, round(raw[1], 5)), 2: (2, round(raw[2], 5)),
    }  # fmt: skip
    assert list(sample(logits, [state(temperature=0, logprobs=0)])[0].top) == [1]
    assert list(sample(logits, [state(temperature=0, logprobs=-1)])[0].top) == [1, 2, 3, 0]
    assert sample(logits, [state(temperature=0)])[0].logprob is None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_broken_logits_end_their_own_row_only(bad) -> None:
    logits = torch.randn(3, 200)
    good = sample(logits, [state(temperature=0), state(seed=1), state(temperature=0)])
    logits[1, 77] = bad
    mixed = sample(logits, [state(temperature=0), state(seed=1), state(temperature=0)])
    assert (mixed[0], mixed[2]) == (good[0], good[2])
    assert mixed[1].token_id == -1 and "nan or infinite" in str(mixed[1].error)


def test_forbidding_every_token_is_an_error_of_that_row() -> None:
    logits = torch.randn(2, 10)
    all_ends = state(allowed_token_ids=[0, 4], stop_token_ids=[4], min_tokens=3)
    fine, none = sample(logits, [state(temperature=0), all_ends])
    assert fine.error is None and "no token may be chosen" in str(none.error)


def test_a_masked_entry_of_the_model_is_no_error_and_never_drawn() -> None:
    logits = torch.full((300,), -math.inf)
    logits[[7, 150]] = 0.0
    assert set(many(logits, 50, seed=0)) == {7, 150}
    assert set(many(logits, 50, seed=0, top_p=0.9)) == {7, 150}
