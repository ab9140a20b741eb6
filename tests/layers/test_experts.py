"""Mixture of experts: the definition, term by term; company changes nothing; it learns."""

import pytest
import torch
from layers.filled import draw, filled, packed

from pellucid.layers.experts import ExpertsConfig, MixtureOfExperts
from pellucid.layers.feed_forward import FeedForwardConfig, make_feed_forward


def mixture(count=6, chosen=2, normalised=False):
    return filled(
        MixtureOfExperts(8, 12, "silu", ExpertsConfig(count=count, chosen=chosen, normalised=normalised))
    )


def by_definition(mlp, x_D):
    """The experts of the largest probabilities, each run by itself and weighed."""
    probability_E = torch.softmax(mlp.router.weight @ x_D, dim=0)
    best = probability_E.argsort(descending=True)[: mlp.config.chosen]
    total = probability_E[best].sum() if mlp.config.normalised else 1.0
    return sum(probability_E[e] / total * mlp.experts[e](x_D[None], packed(1))[0] for e in best)


@pytest.mark.parametrize("normalised", [False, True], ids=["as they are", "normalised"])
@pytest.mark.parametrize(("count", "chosen"), [(6, 2), (3, 3), (4, 1)])
@torch.no_grad()
def test_it_is_the_weighted_sum_of_the_chosen_experts(count, chosen, normalised) -> None:
    mlp, x_TD = mixture(count, chosen, normalised), draw(20, 8)
    expected = torch.stack([by_definition(mlp, x_D) for x_D in x_TD])
    torch.testing.assert_close(mlp(x_TD, packed(20)), expected)


@torch.no_grad()
def test_one_expert_is_a_gated_network() -> None:
    mlp, x_TD = mixture(count=1, chosen=1), draw(5, 8)
    dense = make_feed_forward(8, FeedForwardConfig(size=12, activation="silu", gated=True, bias=False))
    dense.load_state_dict(mlp.experts[0].state_dict())
    torch.testing.assert_close(mlp(x_TD, packed(5)), dense(x_TD, packed(5)))


@torch.no_grad()
def test_no_token_is_dropped_and_company_changes_nothing() -> None:
    mlp, x_TD = mixture(), draw(1, 8)
    crowd_TD = x_TD.expand(50, -1)  # all want the same experts
    torch.testing.assert_close(mlp(crowd_TD, packed(50)), mlp(x_TD, packed(1)).expand(50, -1))


def test_router_and_chosen_experts_learn() -> None:
    mlp, x_TD = mixture(normalised=True), draw(3, 8).requires_grad_()
    mlp(x_TD, packed(3)).square().sum().backward()
    chosen = set(mlp.route(x_TD, packed(3))[1].flatten().tolist())
    assert 0 < len(chosen) < 6
    assert mlp.router.weight.grad.abs().sum() > 0 and x_TD.grad.abs().sum() > 0
    for number, expert in enumerate(mlp.experts):
        assert (expert.down_proj.weight.grad is not None) == (number in chosen)
