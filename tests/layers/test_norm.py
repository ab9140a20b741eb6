"""The norms: their equations, what they leave of a vector, and float32 within."""

import pytest
import torch
from layers.filled import draw, filled, packed

from pellucid.layers.norm import LayerNorm, NormConfig, RMSNorm, Unchanged, make_norm

X_TD = 3 * draw(4, 8) + 1


@torch.no_grad()
def test_rms_norm_divides_by_the_root_mean_square() -> None:
    norm = filled(RMSNorm(8, eps=1e-6))
    expected = X_TD / (X_TD.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(X_TD, packed(4)), expected)


@torch.no_grad()
def test_layer_norm_takes_the_mean_away_first() -> None:
    norm = filled(LayerNorm(8, eps=1e-5))
    expected = torch.nn.functional.layer_norm(X_TD, (8,), norm.weight, norm.bias, 1e-5)
    torch.testing.assert_close(norm(X_TD, packed(4)), expected)


@torch.no_grad()
def test_a_fresh_norm_gives_unit_size_and_forgets_scale_and_for_layer_norm_the_mean() -> None:
    ctx = packed(4)
    rms, layer = RMSNorm(8, eps=1e-12), LayerNorm(8, eps=1e-12)
    torch.testing.assert_close(rms(X_TD, ctx).square().mean(-1), torch.ones(4))
    torch.testing.assert_close(rms(7 * X_TD, ctx), rms(X_TD, ctx))
    torch.testing.assert_close(layer(7 * X_TD + 5, ctx), layer(X_TD, ctx), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(rms(X_TD + 5, ctx), rms(X_TD, ctx), atol=0.1)


@pytest.mark.parametrize("norm", [RMSNorm(8, eps=1e-6), LayerNorm(8, eps=1e-5)], ids=["rms", "layer"])
@torch.no_grad()
def test_sixteen_bits_go_through_float32(norm) -> None:
    x_TD = X_TD.bfloat16()
    y_TD = filled(norm)(x_TD, packed(4))
    assert y_TD.dtype == torch.bfloat16
    assert y_TD.equal(norm(x_TD.float(), packed(4)).bfloat16())


def test_the_config_names_the_norm() -> None:
    assert isinstance(make_norm(NormConfig(kind="rms_norm", eps=1e-6), 8), RMSNorm)
    assert make_norm(NormConfig(kind="layer_norm", eps=1e-5), 8).bias is not None
    assert make_norm(NormConfig(kind="layer_norm", eps=1e-5, bias=False), 8).bias is None
    assert Unchanged()(X_TD, packed(4)) is X_TD
