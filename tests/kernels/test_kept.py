"""What a cache keeps: near what it was given, a head for itself, and damage is not hidden."""

import pytest
import torch

from pellucid.kernels import reference
from pellucid.kernels.kept import as_kept, round_heads
from pellucid.kernels.spec import AttentionSpec


def test_a_number_is_off_by_at_most_half_a_scale_and_a_head_has_its_own():
    x = torch.randn(50, 3, 64) * torch.logspace(-6, 6, 50)[:, None, None]
    q, scale = round_heads(x)
    assert q.dtype is torch.int8 and torch.equal(q.abs().amax(-1), torch.full((50, 3), 127, dtype=torch.int8))
    torch.testing.assert_close(scale, x.abs().amax(-1) / 127, rtol=0, atol=0)
    error = (as_kept(x, torch.int8) - x).abs()
    assert (error <= 0.5001 * scale.unsqueeze(-1)).all()
    other = x.clone()
    other[:, 1] *= 1000
    assert torch.equal(as_kept(other, torch.int8)[:, [0, 2]], as_kept(x, torch.int8)[:, [0, 2]])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_makes_its_head_nan_and_no_other(bad):
    x = torch.randn(2, 2, 8)
    x[1, 0, 3] = bad
    kept = as_kept(x, torch.int8)
    assert kept[1, 0].isnan().all() and kept.isnan().sum() == 8


def test_zeros_stay_zeros():
    assert torch.equal(as_kept(torch.zeros(2, 1, 4), torch.int8), torch.zeros(2, 1, 4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8], ids=str)
def test_as_kept_is_what_the_reference_keeps(dtype):
    spec = AttentionSpec(num_heads=2, num_kv_heads=2, head_dim=8, scale=1.0, causal=True)
    kv = reference.new_kv(2, 4, spec, dtype, torch.device("cpu"))
    k, v = torch.randn(5, 2, 8), torch.randn(5, 2, 8)
    reference.store_kv(kv, k, v, torch.arange(5))
    for which, (blocks, given) in enumerate(((kv.k, k), (kv.v, v))):
        held = blocks.float() if kv.scales is None else blocks * kv.scales[:, which].unsqueeze(-1)
        assert torch.equal(held.transpose(1, 2).flatten(0, 1)[:5], as_kept(given, dtype))
