"""Norms of queries and keys: over each head, over the projection, one a head; scores forget the scale."""

import pytest
import torch
from layers.filled import attention, draw, filled, packed

from pellucid.layers.norm import NormConfig
from pellucid.layers.qk_norm import QKNormConfig, make_qk_norm

RMS = NormConfig(kind="rms_norm", eps=1e-6)
LAYER = NormConfig(kind="layer_norm", eps=1e-5, bias=False)


def rms(x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt()


@torch.no_grad()
def test_over_each_head() -> None:
    norm, x_THK = filled(make_qk_norm(QKNormConfig(norm=RMS), 3, 4)), draw(5, 3, 4)
    assert norm.weight.shape == (4,)
    torch.testing.assert_close(norm(x_THK, packed(5)), rms(x_THK) * norm.weight)


@torch.no_grad()
def test_over_the_whole_projection() -> None:
    norm = filled(make_qk_norm(QKNormConfig(norm=RMS, over="projection"), 3, 4))
    x_THK = draw(5, 3, 4)
    assert norm.norm.weight.shape == (12,)
    expected = (rms(x_THK.flatten(1)) * norm.norm.weight).view(5, 3, 4)
    torch.testing.assert_close(norm(x_THK, packed(5)), expected)


@torch.no_grad()
def test_one_for_each_head() -> None:
    norm = filled(make_qk_norm(QKNormConfig(norm=LAYER, over="own"), 3, 4))
    x_THK = draw(5, 3, 4)
    weight_HK = torch.stack([n.weight for n in norm.norms])
    expected = torch.nn.functional.layer_norm(x_THK, (4,)) * weight_HK
    torch.testing.assert_close(norm(x_THK, packed(5)), expected)


@pytest.mark.parametrize("over", ["head", "projection", "own"])
@torch.no_grad()
def test_attention_forgets_how_large_queries_and_keys_are(over) -> None:
    module = attention(num_kv_heads=2, qk_norm=QKNormConfig(norm=RMS, over=over))
    x_TD = draw(6, 16)
    before_TD = module(x_TD, packed(6))
    q_and_k = module.qkv_proj.sections["k"][1]
    module.qkv_proj.weight[:q_and_k] *= 100.0
    torch.testing.assert_close(module(x_TD, packed(6)), before_TD, rtol=1e-3, atol=1e-3)
