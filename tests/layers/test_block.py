"""Each wiring around the residual stream is its equation, drops what it is told to, and can be trained."""

import pytest
import torch
from layers.filled import draw, filled, packed

from pellucid.kernels import AttentionSpec, torch_ops
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import WIRINGS, BlockConfig, make_blocks
from pellucid.layers.context import DenseContext
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.position import RotaryConfig

SPEC = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=4, scale=0.5, causal=True)
X_TD = draw(5, 8)


def config(wiring):
    return BlockConfig(
        wiring=wiring,
        norm=NormConfig(kind="rms_norm", eps=1e-6),
        attention=AttentionConfig(spec=SPEC, rotary=RotaryConfig(theta=10000.0, dim=4)),
        feed_forward=FeedForwardConfig(size=12, activation="silu", gated=True, bias=False),
    )


def block(wiring):
    """One block, and its parts as functions of the stream alone."""
    made, ctx = filled(make_blocks(8, (config(wiring),))[0]), packed(5)
    parts = {name: lambda x_TD, part=part: part(x_TD, ctx) for name, part in made.named_children()}
    return made, parts


@torch.no_grad()
def test_pre_norm() -> None:
    made, f = block("pre_norm")
    h_TD = X_TD + f["attn"](f["attn_norm"](X_TD))
    torch.testing.assert_close(made(X_TD, packed(5)), h_TD + f["mlp"](f["mlp_norm"](h_TD)))


@torch.no_grad()
def test_post_norm() -> None:
    made, f = block("post_norm")
    h_TD = f["attn_norm"](X_TD + f["attn"](X_TD))
    torch.testing.assert_close(made(X_TD, packed(5)), f["mlp_norm"](h_TD + f["mlp"](h_TD)))


@torch.no_grad()
def test_reordered_norm() -> None:
    made, f = block("reordered_norm")
    h_TD = X_TD + f["attn_norm"](f["attn"](X_TD))
    torch.testing.assert_close(made(X_TD, packed(5)), h_TD + f["mlp_norm"](f["mlp"](h_TD)))


@torch.no_grad()
def test_sandwich_norm() -> None:
    made, f = block("sandwich_norm")
    h_TD = X_TD + f["attn_out_norm"](f["attn"](f["attn_norm"](X_TD)))
    y_TD = h_TD + f["mlp_out_norm"](f["mlp"](f["mlp_norm"](h_TD)))
    torch.testing.assert_close(made(X_TD, packed(5)), y_TD)


@torch.no_grad()
def test_parallel() -> None:
    made, f = block("parallel")
    n_TD = f["attn_norm"](X_TD)
    torch.testing.assert_close(made(X_TD, packed(5)), X_TD + f["attn"](n_TD) + f["mlp"](n_TD))


def training(seed, dropout):
    generator = torch.Generator().manual_seed(seed)
    return DenseContext([5], torch_ops, dropout=dropout, generator=generator)


@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_parameter_learns(wiring) -> None:
    made = filled(make_blocks(8, (config(wiring),))[0])
    made(X_TD, training(0, dropout=0.1)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


@pytest.mark.parametrize("wiring", WIRINGS)
@torch.no_grad()
def test_dropout_is_drawn_from_its_seed(wiring) -> None:
    made = filled(make_blocks(8, (config(wiring),))[0])
    one, again, other, none = (
        made(X_TD, training(seed, dropout)) for seed, dropout in ((0, 0.5), (0, 0.5), (1, 0.5), (0, 0.0))
    )
    assert one.equal(again) and not one.equal(other)
    torch.testing.assert_close(none, made(X_TD, packed(5)))


def test_layers_with_one_rotary_share_it_and_others_have_their_own() -> None:
    blocks = make_blocks(8, (config("pre_norm"), config("sandwich_norm"), config("pre_norm")))
    assert blocks[0].attn.rotary is blocks[1].attn.rotary is blocks[2].attn.rotary
    assert [b.attn.index for b in blocks] == [0, 1, 2]
