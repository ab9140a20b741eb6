"""What each filter leaves is what its definition says, and what transformers leaves."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shares import distribution
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from pellucid.sampling.distribution import MANY, few, few_weights, filtered_weights
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.state import SamplingState


def softmax(logits):
    weights = [math.exp(x - max(logits)) for x in logits]
    return [w / sum(weights) for w in weights]


def first_part(probs, order, mass):
    """The smallest first part of `order` whose probabilities reach `mass`, and by how much each cut is clear."""
    kept, reached = set(), 0.0
    for i in order:
        if reached >= mass:
            break
        kept.add(i)
        reached += probs[i]
    return kept


def renormalised(probs, kept):
    total = sum(probs[i] for i in kept)
    return [p / total if i in kept else 0.0 for i, p in enumerate(probs)]


def by_definition(logits, temperature, top_k, top_p, min_p, typical_p):
    """min-p, top-k, top-p, typical: each as its paper puts it, on what the one before left."""
    probs = softmax([x / temperature for x in logits])
    likeliest = sorted(range(len(probs)), key=lambda i: (-logits[i], i))
    probs = renormalised(probs, {i for i, p in enumerate(probs) if p >= min_p * max(probs) * (1 - 1e-9)})
    if top_k > 0:
        probs = renormalised(probs, set(likeliest[:top_k]))
    probs = renormalised(probs, first_part(probs, likeliest, top_p))
    entropy = -sum(p * math.log(p) for p in probs if p > 0)
    alive = [i for i in likeliest if probs[i] > 0]
    odd = sorted(alive, key=lambda i: abs(-math.log(probs[i]) - entropy))
    return renormalised(probs, first_part(probs, odd, typical_p))


def left(logits_V, **params):
    state = SamplingState(SamplingParams(**params), [], [])
    return distribution(torch.as_tensor(logits_V)[None], [state])[0]


# Logits a quarter apart and odd masses: no sum comes within rounding of a mass by chance.
rows = st.lists(st.integers(-20, 20).map(lambda n: n / 4), min_size=1, max_size=40)
masses = st.sampled_from([0.0731, 0.2113, 0.4999, 0.7307, 0.9001, 0.9897])
settings_ = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.5, 1.0, 1.7])},
    optional={
        "top_k": st.integers(1, 45), "top_p": masses, "min_p": st.sampled_from([0.011, 0.11, 0.51, 1.0]), "typical_p": masses,
    },
)  # fmt: skip
OFF = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}


@settings(max_examples=400, deadline=None)
@given(rows, settings_)
def test_the_distribution_left_is_the_definitions(logits, params) -> None:
    # equal oddness is a tie that rounding decides, in the definition and in the filter alike: leave those out
    if params.get("typical_p") and len(set(logits)) < len(logits):
        logits = [x + i / 1009 for i, x in enumerate(logits)]
    expected = by_definition(logits, **{**OFF, **params})
    assert left(logits, **params).tolist() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("V", [40, 500, 9000])
@pytest.mark.parametrize("params", [
    {"top_k": 20}, {"top_p": 0.8}, {"min_p": 0.05}, {"typical_p": 0.6}, {"top_k": 63, "typical_p": 0.6}, {"min_p": 0.01, "top_p": 0.9},
    {"top_k": 63, "top_p": 0.95, "min_p": 0.001}, {"top_k": 200, "top_p": 0.3}, {"top_k": 2000, "top_p": 0.3}, {"top_p": 0.5, "typical_p": 0.5},
])  # fmt: skip
def test_where_the_likeliest_tokens_settle_a_row_they_leave_what_everything_leaves(V, params) -> None:
    logits = (
        torch.randn(30, V, generator=torch.Generator().manual_seed(V)) * torch.linspace(0.1, 6, 30)[:, None]
    )
    states = [SamplingState(SamplingParams(**params), [], [])] * 30
    weights, ids, settled = few_weights(logits, states, few(states[0]))
    whole = torch.zeros_like(logits).scatter(1, ids, weights)
    expected = filtered_weights(logits, states)
    assert torch.equal(whole[settled], expected[settled])
    if 0 < params.get("top_k", 0) < MANY:
        assert all(settled)


@pytest.mark.parametrize(
    ("params", "warper"),
    [
        ({"top_k": 7}, lambda: TopKLogitsWarper(7)),
        ({"top_k": 500}, lambda: TopKLogitsWarper(500)),
        ({"top_p": 0.3}, lambda: TopPLogitsWarper(0.3)),
        ({"top_p": 0.95}, lambda: TopPLogitsWarper(0.95)),
        ({"top_p": 0.999}, lambda: TopPLogitsWarper(0.999)),
        ({"min_p": 0.1}, lambda: MinPLogitsWarper(0.1)),
        ({"typical_p": 0.2}, lambda: TypicalLogitsWarper(0.2)),
        ({"typical_p": 0.9}, lambda: TypicalLogitsWarper(0.9)),
    ],
)
@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.5])
def test_transformers_leaves_the_same(params, warper, temperature) -> None:
    logits = torch.randn(8, 3000, generator=torch.Generator().manual_seed(3)) * 2
    scores = warper()(None, TemperatureLogitsWarper(temperature)(None, logits))
    states = [SamplingState(SamplingParams(temperature=temperature, **params), [], [])] * 8
    assert torch.allclose(distribution(logits, states), scores.softmax(-1), atol=1e-6)


def test_equal_tokens_are_cut_by_id() -> None:
    assert left([0.0] * 8, top_k=3).nonzero().flatten().tolist() == [0, 1, 2]
    assert left([0.0] * 8, top_p=0.51).nonzero().flatten().tolist() == [0, 1, 2, 3, 4]
