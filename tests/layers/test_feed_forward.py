"""The feed-forward network: its equations, plain and gated, with every published non-linearity."""

import pytest
import torch
from layers.filled import draw, filled, packed
from transformers.activations import ACT2FN

from pellucid.kernels.reference import ACTIVATIONS as OURS
from pellucid.layers.feed_forward import FeedForwardConfig, make_feed_forward
from pellucid.models.published import ACTIVATIONS as PUBLISHED

X_TD = draw(5, 8)


def network(activation, *, gated, bias=False):
    return filled(
        make_feed_forward(8, FeedForwardConfig(size=12, activation=activation, gated=gated, bias=bias))
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_non_linearity(name) -> None:
    x = torch.linspace(-8, 8, 200)
    torch.testing.assert_close(OURS[PUBLISHED[name]](x), ACT2FN[name](x))


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@torch.no_grad()
def test_plain(bias) -> None:
    mlp = network("relu", gated=False, bias=bias)
    up, down = (0, 0) if not bias else (mlp.up_proj.bias, mlp.down_proj.bias)
    expected = (X_TD @ mlp.up_proj.weight.T + up).clamp_min(0) @ mlp.down_proj.weight.T + down
    torch.testing.assert_close(mlp(X_TD, packed(5)), expected)


@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"], ids=["SwiGLU", "GeGLU"])
@torch.no_grad()
def test_gated(activation) -> None:
    mlp = network(activation, gated=True)
    gate, up = (X_TD @ mlp.gate_up_proj.weight.T).chunk(2, dim=-1)
    expected = (OURS[activation](gate) * up) @ mlp.down_proj.weight.T
    torch.testing.assert_close(mlp(X_TD, packed(5)), expected)


@torch.no_grad()
def test_it_works_on_each_position_by_itself() -> None:
    mlp = network("silu", gated=True)
    rows = [mlp(row_D[None], packed(1)) for row_D in X_TD]
    torch.testing.assert_close(mlp(X_TD, packed(5)), torch.cat(rows))
