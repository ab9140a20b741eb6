"""Speculation loses nothing: the same tokens by the first rule, the same distribution by the second."""

import math

import pytest
import torch

from pellucid.sampling.distribution import distribution
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.sampler import sample
from pellucid.sampling.speculative import accept, propose
from pellucid.sampling.state import SamplingState

V = 12


def table(seed, spread=1.5):
    """A model whose logits depend on the newest token only."""
    return torch.randn(V, V, generator=torch.Generator().manual_seed(seed)) * spread


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
def test_without_draft_probabilities_the_tokens_are_those_of_no_speculation(params) -> None:
    target, draft = table(1), table(2)
    expected = one_by_one(target, 60, **params)
    output = []
    while len(output) < 60:
        guess = expected[len(output) :][: len(output) % 4]  # a good draft, spoilt at its end every other time
        guess = [*guess[:-1], int(draft[guess[-1]].argmax())] if len(output) % 2 and guess else guess
        newest = [output[-1] if output else 0, *guess]
        (tokens,) = accept([guess], [None], target[newest], [state(output, **params)])
        assert 1 <= len(tokens) <= len(guess) + 1
        output += [token.token_id for token in tokens]
    assert output[:60] == expected


def test_greedy_with_draft_probabilities_is_greedy() -> None:
    target, draft = table(1), table(3)
    expected = one_by_one(target, 40, temperature=0)
    output = []
    while len(output) < 40:
        s = state(output, temperature=0)
        newest, rows, guess = output[-1] if output else 0, [], []
        for _ in range(3):
            ids, probs = propose(draft[[guess[-1] if guess else newest]], [s.ahead(guess)])
            guess += ids
            rows.append(probs[0])
        (tokens,) = accept([guess], [torch.stack(rows)], target[[newest, *guess]], [s])
        output += [token.token_id for token in tokens]
    assert output[:40] == expected


@pytest.mark.parametrize("params", [{}, {"temperature": 0.7, "top_k": 6}, {"top_p": 0.9, "min_p": 0.02}])
def test_with_draft_probabilities_the_distribution_is_the_targets(params) -> None:
    """Two drafts at once for 2,000 seeds: the pair of first tokens is distributed as the target alone would."""
    target, count = table(5), 2000
    draft = target * 0.7 + table(6, 0.6)
    states = [state([], seed, **params) for seed in range(count)]
    first, q0 = propose(draft[[0] * count], states)
    second, q1 = propose(draft[first], [s.ahead([x]) for s, x in zip(states, first, strict=True)])
    drafts = [list(pair) for pair in zip(first, second, strict=True)]
    logits = target[torch.tensor([[0, a, b] for a, b in drafts]).flatten()]
    results = accept(drafts, list(torch.stack((q0, q1), 1)), logits, states)
    p = distribution(target, [state([], 0, **params)] * V)
    shares = torch.zeros(V, V)
    for seed, tokens in enumerate(results):
        ids = [token.token_id for token in tokens]
        if len(ids) < 2:  # the target goes on by itself
            ids += [sample(target[ids[-1]][None], [state(ids, seed, **params)])[0].token_id]
        shares[ids[0], ids[1]] += 1
    expected = p[0][:, None] * p * count
    assert (shares[expected == 0] == 0).all()
    used = expected >= 5
    chi2 = float(((shares - expected)[used] ** 2 / expected[used]).sum())
    degrees = int(used.sum())
    assert chi2 < degrees + 4 * math.sqrt(2 * degrees)
    accepted = sum(len(tokens) > 1 for tokens in results) / count
    best = float(torch.minimum(p[0], q0[0]).sum())  # no rule accepts more
    assert accepted == pytest.approx(best, abs=4 * math.sqrt(best * (1 - best) / count))


def test_a_draft_the_target_would_make_itself_is_always_accepted() -> None:
    target = table(4)
    states = [state([], seed) for seed in range(50)]
    first, q = propose(target[[0] * 50], states)
    drafts = [[x] for x in first]
    logits = target[torch.tensor([[0, x] for x in first]).flatten()]
    assert all(len(tokens) == 2 for tokens in accept(drafts, list(q[:, None]), logits, states))


def test_logprobs_come_for_the_tokens_that_count() -> None:
    target = table(1)
    expected = one_by_one(target, 2, temperature=0)
    guess = [expected[0], (expected[1] + 1) % V, 3]
    (tokens,) = accept([guess], [None], target[[0, *guess]], [state([], temperature=0, logprobs=1)])
    assert [token.token_id for token in tokens] == expected
    for token, newest in zip(tokens, [0, expected[0]], strict=True):
        assert token.logprob == pytest.approx(float(target[newest].log_softmax(-1).max()), abs=1e-6)


@pytest.mark.parametrize("weighed", [False, True])
def test_broken_target_logits_end_that_request_where_they_are_reached(weighed) -> None:
    target = table(1)
    expected = one_by_one(target, 3, temperature=0)
    logits = target[[0, *expected]].clone()
    logits[1] = math.nan
    probs = torch.nn.functional.one_hot(torch.tensor(expected), V).float() if weighed else None
    both = accept(
        [expected, []], [probs, None], torch.cat((logits, target[:1])), [state([], temperature=0)] * 2
    )
    assert both[0][0].token_id == expected[0] and len(both[0]) == 2
    assert "nan or infinite" in str(both[0][1].error)
    assert [token.error for token in both[1]] == [None]


def test_a_draft_model_gone_nan_costs_nothing_but_speed() -> None:
    target = table(1)
    states = [state([], seed) for seed in range(300)]
    drafts = [[0]] * 300
    logits = target[[0, 0] * 300]
    results = accept(drafts, list(torch.full((300, 1, V), math.nan)), logits, states)
    shares = torch.tensor([tokens[0].token_id for tokens in results]).bincount(minlength=V) / 300
    assert (shares - target[0].softmax(-1)).abs().max() < 0.1
