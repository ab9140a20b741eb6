"""Schedules rise and fall as published, norms and biases do not decay, averages follow the weights."""

import math

import pytest
import torch
from tiny_run import tiny_model
from torch.nn import functional as F

from pellucid.errors import ConfigError
from pellucid.training.loss import cross_entropy
from pellucid.training.optim import Average, adamw, cosine, inverse_square_root, muon, plateau


def test_cosine():
    factor = cosine(steps=110, warmup=10, floor=0.1)
    assert factor(0) == 0.1 and factor(9) == factor(10) == 1.0
    assert factor(60) == pytest.approx(0.55)
    assert factor(110) == factor(200) == pytest.approx(0.1)


def test_inverse_square_root():
    factor = inverse_square_root(warmup=100)
    assert factor(49) == pytest.approx(0.5) and factor(99) == pytest.approx(1.0)
    assert factor(399) == pytest.approx(0.5)


def test_plateau():
    factor = plateau(steps=100, warmup=10, decay=20)
    assert factor(0) == 0.1 and factor(9) == factor(50) == factor(80) == 1.0
    assert factor(90) == pytest.approx(0.5) and factor(99) == pytest.approx(0.05)


def test_muon_turns_the_blocks_matrices_and_adamw_the_rest():
    model = tiny_model()
    model.blocks[0].mlp.down_proj.weight.grad = torch.randn(16, 24) * 1e-4
    before = model.blocks[0].mlp.down_proj.weight.detach().clone()
    turning, rest = muon(model, lr=1.0, weight_decay=0.0, betas=(0.9, 0.95)).members
    assert len(turning.param_groups[0]["params"]) == 8
    assert sum(len(group["params"]) for group in rest.param_groups) == 1 + 5
    turning.step()
    step = before - model.blocks[0].mlp.down_proj.weight.detach()
    # all singular values about as large, whatever the gradient's are, and entries of AdamW's size
    values = torch.linalg.svdvals(step)
    assert values.max() < 2.0 * values.min()
    assert step.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.3)


def test_muon_without_a_block_is_refused():
    with pytest.raises(ConfigError, match="use adamw"):
        muon(torch.nn.Linear(3, 3), lr=1.0, weight_decay=0.0, betas=(0.9, 0.95))


def test_matrices_decay_and_norms_do_not():
    decays, stays = adamw(tiny_model(), lr=1.0, weight_decay=0.1, betas=(0.9, 0.95)).members[0].param_groups
    assert decays["weight_decay"] == 0.1 and all(p.dim() == 2 for p in decays["params"])
    assert stays["weight_decay"] == 0.0 and len(stays["params"]) == 5


def test_layers_that_write_into_the_residual_stream_begin_smaller():
    model = tiny_model()
    block = model.blocks[0]
    assert block.attn.qkv_proj.weight.std().item() == pytest.approx(0.02, rel=0.15)
    assert block.attn.o_proj.weight.std().item() == pytest.approx(0.02 / math.sqrt(4), rel=0.15)
    assert torch.equal(block.attn_norm.weight, torch.ones(16))


def test_an_average_lags_behind_and_can_be_swapped_in():
    model = tiny_model()
    average = Average(model, decay=0.5)
    before = model.norm.weight.detach().clone()
    with torch.no_grad():
        model.norm.weight += 1.0
    average.update(model, step=100)
    average.swap(model)
    torch.testing.assert_close(model.norm.weight, before + 0.5)
    average.swap(model)
    torch.testing.assert_close(model.norm.weight, before + 1.0)


def test_cross_entropy_counts_by_weight_and_smooths():
    logits = torch.randn(5, 7)
    targets, weights = torch.tensor([1, 2, 3, 4, 5]), torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0])
    each = -torch.log_softmax(logits, -1)
    plain = each[torch.arange(5), targets]
    torch.testing.assert_close(cross_entropy(logits, targets, weights), (plain * weights).sum())
    smooth = 0.9 * plain + 0.1 * each.mean(-1)
    torch.testing.assert_close(cross_entropy(logits, targets, weights, 0.1), (smooth * weights).sum())
    torch.testing.assert_close(
        cross_entropy(logits, targets, torch.ones(5)), F.cross_entropy(logits, targets) * 5
    )
