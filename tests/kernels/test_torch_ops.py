"""torch_ops is the reference up to rounding, for every kind of attention there is; and it can be trained through."""

import pytest
import torch

from pellucid.kernels import (
    AttentionSpec,
    Kernels,
    PagedSegments,
    Segments,
    reference,
    torch_attention,
    torch_ops,
)

SPECS = {
    "multi-head": {"num_heads": 4, "num_kv_heads": 4},
    "grouped": {"num_heads": 6, "num_kv_heads": 2},
    "multi-query": {"num_heads": 4, "num_kv_heads": 1},
    "window": {"num_heads": 4, "num_kv_heads": 2, "window": 5},
    "soft cap": {"num_heads": 4, "num_kv_heads": 2, "soft_cap": 2.0},
    "both": {"num_heads": 4, "num_kv_heads": 2, "soft_cap": 2.0, "window": 3},
    "encoder": {"num_heads": 4, "num_kv_heads": 4, "causal": False},
    "encoder, window": {"num_heads": 4, "num_kv_heads": 4, "causal": False, "window": 4},
}


def make_spec(name):
    return AttentionSpec(**{"head_dim": 8, "scale": 0.3, "causal": True, **SPECS[name]})


def draw(*shape, dtype=torch.float32):
    return torch.randn(*shape).to(dtype)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_it_is_a_set_of_kernels():
    kernels: Kernels = torch_ops
    assert set(torch_ops.__all__) == {n for n in dir(Kernels) if not n.startswith("_")}
    assert kernels is torch_ops


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize(
    "queries, keys", [((5, 5, 3), (5, 5, 3)), ((4, 4), (4, 4)), ((2, 1, 7), (6, 6, 7))], ids=str
)
@pytest.mark.parametrize("name", SPECS)
def test_dense_attention(name, queries, keys, bias):
    spec = make_spec(name)
    q, k, v = (
        draw(sum(queries), spec.num_heads, 8),
        draw(sum(keys), spec.num_kv_heads, 8),
        draw(sum(keys), spec.num_kv_heads, 8),
    )
    starts = [tuple(sum(lengths[:i]) for i in range(len(lengths) + 1)) for lengths in (queries, keys)]
    bias_HE = draw(spec.num_heads, 9) if bias else None
    arguments = (q, k, v, spec, Segments(*starts), bias_HE)
    torch.testing.assert_close(
        torch_ops.attention(*arguments), reference.attention(*arguments), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("name", [name for name, spec in SPECS.items() if not spec.get("causal", True)])
def test_what_is_padded_where_launches_cost_is_seen_by_nobody(name, bias, monkeypatch):
    monkeypatch.setattr(torch_attention, "_launches_cost", lambda device: True)
    torch_attention._dense_plan.cache_clear()
    test_dense_attention(name, (5, 40, 3, 1), (5, 40, 3, 1), bias)
    if "window" not in SPECS[name]:
        test_dense_attention(name, (5, 40, 3, 1), (5, 2, 33, 7), bias)
    test_gradients_are_the_references(name)
    torch_attention._dense_plan.cache_clear()


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8], ids=str)
@pytest.mark.parametrize("name", SPECS)
def test_attention_over_blocks(name, bias, dtype):
    """Decodes, a chunk of a prefill, a whole one and drafts to verify, in one step, blocks in any order."""
    spec = make_spec(name)
    queries, contexts = [1, 1, 6, 9, 3, 1], [17, 1, 20, 9, 12, 40]
    tables = torch.randperm(64)[: 6 * 10].view(6, 10).to(torch.int32)
    starts = torch.tensor([0, *torch.tensor(queries).cumsum(0)], dtype=torch.int32)
    slots = torch.cat(
        [tables[i, torch.arange(n) // 4] * 4 + torch.arange(n) % 4 for i, n in enumerate(contexts)]
    )
    k, v = draw(sum(contexts), spec.num_kv_heads, 8), draw(sum(contexts), spec.num_kv_heads, 8)
    q = draw(sum(queries), spec.num_heads, 8)
    bias_HE = draw(spec.num_heads, 9) if bias else None
    outs = []
    for kernels in (reference, torch_ops):
        kv = kernels.new_kv(64, 4, spec, dtype, torch.device("cpu"))
        kernels.store_kv(kv, k, v, slots.long())
        segments = PagedSegments(
            starts, torch.tensor(contexts, dtype=torch.int32), tables, max(queries), max(contexts)
        )
        outs.append(kernels.paged_attention(q, kv, spec, segments, bias_HE))
        again = kernels.paged_attention(q, kv, spec, segments, bias_HE)
        assert torch.equal(again, outs[-1])
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-5, atol=1e-5)


def test_a_bfloat16_cache_is_read_by_float32_queries():
    spec = make_spec("grouped")
    tables = torch.arange(4, dtype=torch.int32).view(1, 4)
    segments = PagedSegments(
        torch.tensor([0, 2], dtype=torch.int32), torch.tensor([7], dtype=torch.int32), tables, 2, 7
    )
    k, v, q = draw(7, 2, 8), draw(7, 2, 8), draw(2, 6, 8)
    outs = []
    for kernels in (reference, torch_ops):
        kv = kernels.new_kv(4, 4, spec, torch.bfloat16, torch.device("cpu"))
        kernels.store_kv(kv, k, v, torch.arange(7))
        outs.append(kernels.paged_attention(q, kv, spec, segments))
    torch.testing.assert_close(outs[1], outs[0], rtol=1e-5, atol=1e-5)


def test_blocks_given_back_before_a_window_are_not_read():
    spec = make_spec("window")
    kv = torch_ops.new_kv(4, 4, spec, torch.float32, torch.device("cpu"))
    k, v, q = draw(16, 2, 8), draw(16, 2, 8), draw(1, 4, 8)
    torch_ops.store_kv(kv, k, v, torch.arange(16))
    outs = []
    for table in ([0, 1, 2, 3], [-1, -1, 2, 3]):
        tables = torch.tensor([table], dtype=torch.int32)
        segments = PagedSegments(
            torch.tensor([0, 1], dtype=torch.int32), torch.tensor([16], dtype=torch.int32), tables, 1, 16
        )
        outs.append(torch_ops.paged_attention(q, kv, spec, segments))
    assert torch.equal(*outs)


@pytest.mark.parametrize("kernels", [torch_ops, reference])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8], ids=str)
def test_copied_blocks_hold_the_same(kernels, dtype):
    spec = make_spec("grouped")
    kv = kernels.new_kv(4, 4, spec, dtype, torch.device("cpu"))
    kernels.store_kv(kv, draw(4, 2, 8), draw(4, 2, 8), torch.arange(4))
    kernels.copy_blocks(kv, torch.tensor([0]), torch.tensor([3]))
    assert all(torch.equal(blocks[0], blocks[3]) and blocks[3].any() for blocks in kv.tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_small_functions(dtype):
    x, weight, bias = draw(5, 12, dtype=dtype), draw(12, dtype=dtype), draw(12, dtype=dtype)
    heads, cos, sin = draw(5, 3, 8, dtype=dtype), draw(5, 6), draw(5, 6)
    for name, arguments in {
        "rms_norm": (x, weight, 1e-5),
        "layer_norm": (x, weight, bias, 1e-5),
        "linear": (x, draw(7, 12, dtype=dtype), None),
        "rotary": (heads, cos, sin),
        "gated": (x, "silu"),
        "activation": (x, "gelu_tanh"),
        "embedding": (torch.tensor([1, 0, 1]), x),
    }.items():
        got, expected = getattr(torch_ops, name)(*arguments), getattr(reference, name)(*arguments)
        torch.testing.assert_close(got, expected, msg=name)


@pytest.mark.parametrize("name", ["grouped", "window", "soft cap", "encoder"])
def test_gradients_are_the_references(name):
    spec, segments = make_spec(name), Segments((0, 5, 10, 13), (0, 5, 10, 13))
    inputs = [draw(13, h, 8) for h in (spec.num_heads, spec.num_kv_heads, spec.num_kv_heads)]
    gradients = []
    for kernels in (reference, torch_ops):
        leaves = [x.clone().requires_grad_() for x in inputs]
        if kernels is reference:  # writes its output in place; join the pieces instead
            pieces = [
                reference.attend_one(*(x[a:b] for x in leaves), spec)
                for a, b in zip(segments.query_starts, segments.query_starts[1:], strict=False)
            ]
            out = torch.cat(pieces)
        else:
            out = kernels.attention(*leaves, spec, segments)
        out.square().sum().backward()
        gradients.append([x.grad for x in leaves])
    for got, expected in zip(*reversed(gradients), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [(5, 5, 5), (5, 9, 2), (600, 3)], ids=str)
@pytest.mark.parametrize("name", ["multi-head", "grouped", "window", "encoder"])
def test_it_trains_in_bfloat16(name, lengths):
    spec, starts = make_spec(name), tuple(sum(lengths[:i]) for i in range(len(lengths) + 1))
    inputs = [
        draw(starts[-1], h, 8).bfloat16() for h in (spec.num_heads, spec.num_kv_heads, spec.num_kv_heads)
    ]
    gradients = []
    for dtype in (torch.float32, torch.bfloat16):
        leaves = [x.to(dtype).requires_grad_() for x in inputs]
        out = torch_ops.attention(*leaves, spec, Segments(starts, starts))
        assert out.dtype == dtype
        out.float().square().sum().backward()
        gradients.append([x.grad.float() for x in leaves])
    for got, expected in zip(*reversed(gradients), strict=True):
        assert (got - expected).norm() < 0.02 * expected.norm()


def test_dropout_is_seeded_and_keeps_the_mean():
    spec, segments = make_spec("grouped"), Segments((0, 6), (0, 6))
    q, k, v = draw(6, 6, 8), draw(6, 2, 8), draw(6, 2, 8)

    def run(number):
        return torch_ops.attention(
            q, k, v, spec, segments, dropout=0.5, generator=torch.Generator().manual_seed(number)
        )

    assert torch.equal(run(1), run(1)) and not torch.equal(run(1), run(2))
    mean = torch.stack([run(number) for number in range(600)]).mean(0)
    torch.testing.assert_close(mean, torch_ops.attention(q, k, v, spec, segments), rtol=0.0, atol=0.35)
