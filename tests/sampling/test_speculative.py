"""Speculation changes no token, whatever the drafts; a near draft model is right nearly as often as can be."""

import math

import pytest
import torch
from shares import distribution

from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import choose, sample
from pellucid.sampling.speculative import accept
from pellucid.sampling.state import SamplingState

V = 12


def table(seed, spread=1.5, vocabulary=V):
    """A model whose logits depend on the newest token only."""
    return torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed)) * spread


def state(output, seed=0, **params):
    return SamplingState(SamplingParams(seed=seed, **params), [0], output)


def one_by_one(target, count, **params):
    output = []
    while len(output) < count:
        newest = output[-1] if output else 0
        output.append(sample(target[newest][None], [state(output, **params)])[0].token_id)
    return output


@pytest.mark.parametrize(
    "params",
    [{"temperature": 0}, {"temperature": 1.2}, {"top_p": 0.8}, {"frequency_penalty": 0.5, "temperature": 0}],
)
def test_the_tokens_are_those_of_no_speculation(params) -> None:
    target, draft = table(1), table(2)
    expected = one_by_one(target, 60, **params)
    output = []
    while len(output) < 60:
        guess = expected[len(output) :][: len(output) % 4]  # a good draft, spoilt at its end every other time
        guess = [*guess[:-1], int(draft[guess[-1]].argmax())] if len(output) % 2 and guess else guess
        newest = [output[-1] if output else 0, *guess]
        (tokens,) = accept([guess], target[newest], [state(output, **params)])
        assert 1 <= len(tokens) <= len(guess) + 1
        output += [token.token_id for token in tokens]
    assert output[:60] == expected


@pytest.mark.parametrize("params", [{}, {"temperature": 0.7, "top_k": 6}, {"top_p": 0.9, "min_p": 0.02}])
def test_the_distribution_is_the_targets(params) -> None:
    """A draft for each of 4,000 seeds: the first tokens are distributed as the target alone would have them."""
    target, count = table(5), 4000
    states = [state([], seed, **params) for seed in range(count)]
    guesses = [
        token.token_id for token in choose((target * 0.7 + table(6, 0.6))[:1].expand(count, -1), states)
    ]
    logits = target[torch.tensor([[0, x] for x in guesses]).flatten()]
    results = accept([[x] for x in guesses], logits, states)
    expected = distribution(target[:1], states[:1])[0] * count
    shares = torch.tensor([tokens[0].token_id for tokens in results]).bincount(minlength=V)
    assert (shares[expected == 0] == 0).all()
    used = expected >= 5
    chi2 = float(((shares - expected)[used] ** 2 / expected[used]).sum())
    degrees = int(used.sum()) - 1
    assert chi2 < degrees + 4 * math.sqrt(2 * degrees)


@pytest.mark.parametrize("temperature", [0.6, 1.0])
def test_a_near_draft_model_is_right_nearly_as_often_as_the_distributions_overlap(temperature) -> None:
    generator = torch.Generator().manual_seed(1)
    target = torch.randn(400, generator=generator) * 2
    draft = target + 0.3 * torch.randn(400, generator=generator)
    states = [state([], seed, temperature=temperature) for seed in range(2000)]
    drawn = [[t.token_id for t in choose(x.expand(2000, -1), states)] for x in (target, draft)]
    right = sum(a == b for a, b in zip(*drawn, strict=True)) / 2000
    overlap = float(torch.minimum(*((x / temperature).softmax(-1) for x in (target, draft))).sum())
    assert overlap - 0.12 < right <= overlap + 0.03


def test_logprobs_come_for_the_tokens_that_count() -> None:
    target = table(1)
    expected = one_by_one(target, 2, temperature=0)
    guess = [expected[0], (expected[1] + 1) % V, 3]
    (tokens,) = accept([guess], target[[0, *guess]], [state([], temperature=0, logprobs=1)])
    assert [token.token_id for token in tokens] == expected
    for token, newest in zip(tokens, [0, expected[0]], strict=True):
        assert token.logprob == pytest.approx(float(target[newest].log_softmax(-1).max()), abs=1e-6)


def test_broken_logits_end_that_request_where_they_are_reached() -> None:
    target = table(1)
    expected = one_by_one(target, 3, temperature=0)
    logits = target[[0, *expected]].clone()
    logits[1] = math.nan
    both = accept([expected, []], torch.cat((logits, target[:1])), [state([], temperature=0)] * 2)
    assert both[0][0].token_id == expected[0] and len(both[0]) == 2
    assert "nan or infinite" in str(both[0][1].error)
    assert [token.error for token in both[1]] == [None]
