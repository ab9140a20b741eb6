"""The C++ kernels equal the reference on every path this processor has or can emulate, and a row's bits do not depend
on the company it has."""

import random

import pytest
import torch

from pellucid.kernels import AttentionSpec, PagedSegments, Segments, reference
from pellucid.kernels.cpu import library
from pellucid.kernels.cpu.kernels import CpuKernels
from pellucid.kernels.kept import as_kept
from pellucid.kernels.large_pages import zeros_on
from pellucid.kernels.packing import empty, quantise, unpack

if isinstance(library.load(), str):
    pytest.skip(library.load(), allow_module_level=True)
SHAPES = [(1, 5, 7), (1, 64, 96), (2, 17, 33), (9, 48, 40), (37, 130, 100), (131, 32, 64)]
PACKED = ["int8", "int4", "q4_k", "q6_k"]
FLOATS = ["float32", "bfloat16", "float16"]
WEIGHTS = [*FLOATS, *PACKED]


@pytest.fixture(scope="module")
def kernels(player):
    return CpuKernels(player)


@pytest.fixture(scope="module")
def by_panels(player):
    return CpuKernels(player, panels=True)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)
    random.seed(0)


def random_packed(shape, kind):
    """Random numbers in any packed format."""
    weight = empty(kind, *shape, zeros_on(torch.device("cpu")))
    weight.values.random_(0, 256)
    if kind in ("int8", "int4"):
        weight.scales.copy_(torch.rand(weight.scales.shape))
    else:
        weight.scales.random_(*((0, 64) if kind == "q4_k" else (-128, 128)))
    weight.supers.copy_(torch.rand(weight.supers.shape) * 0.01)
    return weight


def stored(weight, kind):
    """How the kernels multiply by a weight stored as `kind`, and the very same numbers in float32."""
    if kind in PACKED:
        packed = quantise(weight, kind) if kind in ("int8", "int4") else random_packed(weight.shape, kind)
        return lambda kernels, x, bias=None: kernels.linear_quantised(x, packed, bias), unpack(packed)
    rounded = weight.to(getattr(torch, kind))
    return lambda kernels, x, bias=None: kernels.linear(x, rounded, bias), rounded.float()


@pytest.mark.parametrize("kind", WEIGHTS)
def test_products(kernels, kind):
    for T, O, I in SHAPES:  # noqa: E741
        x, bias = torch.randn(T, I), torch.randn(O)
        multiply, weight = stored(torch.randn(O, I), kind)
        made, right = multiply(kernels, x, bias), reference.linear(x, weight, bias)
        if kind in PACKED:  # the activations are rounded to 8 bits too
            assert (made - right).norm() < 0.01 * right.norm()
        else:
            torch.testing.assert_close(made, right, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_a_row_has_the_same_bits_alone_and_among_many_on_one_thread_and_on_two(kernels, kind):
    x, (multiply, _) = torch.randn(70, 200), stored(torch.randn(50, 200), kind)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([multiply(kernels, row) for row in x.split(1)])
        torch.set_num_threads(2)
        for size in (2, 3, 7, 16, 70):
            together = torch.cat([multiply(kernels, rows) for rows in x.split(size)])
            assert torch.equal(alone, together)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("kind", FLOATS)
def test_products_by_panels_and_the_same_bits_in_any_company_on_one_thread_and_on_two(by_panels, kind):
    threads = torch.get_num_threads()
    try:
        for T, O, I in [*SHAPES, (213, 50, 33), (5, 3, 4000), (20, 20, 4001)]:  # noqa: E741
            x, bias = torch.randn(T, I), torch.randn(O)
            multiply, weight = stored(torch.randn(O, I), kind)
            torch.set_num_threads(1)
            made = multiply(by_panels, x, bias)
            close = {"rtol": 1e-5, "atol": 2e-6 * I}
            torch.testing.assert_close(made, reference.linear(x, weight, bias), **close)
            torch.set_num_threads(2)
            for size in (1, 7, 16, 50, T):
                apart = x[: 3 * size].split(size)  # some of them will do
                assert torch.equal(made[: 3 * size], torch.cat([multiply(by_panels, r, bias) for r in apart]))
    finally:
        torch.set_num_threads(threads)


def test_a_product_by_panels_is_one_chain_from_the_first_input_to_the_last(by_panels):
    large = 2.0**24  # adding 1 to it is lost, adding 2 is not
    x, weight = torch.tensor([[large, 1.0, 1.0, -large, 1.0]]), torch.ones(1, 5)
    assert by_panels.linear(x, weight, None).item() == 1.0
    assert by_panels.linear(x[:, [1, 2, 0, 3, 4]], weight, None).item() == 3.0


def test_strided_rows_are_read_in_place(kernels, by_panels):
    wide, weight = torch.randn(6, 100), torch.randn(20, 40)
    for each in (kernels, by_panels):
        torch.testing.assert_close(each.linear(wide[:, 10:50], weight, None), wide[:, 10:50] @ weight.T)


@pytest.mark.parametrize("kind", PACKED)
def test_a_quantised_table_gives_its_rows(kernels, kind):
    table, ids = random_packed((50, 70), kind), torch.tensor([3, 49, 0, 3, 16])
    torch.testing.assert_close(
        kernels.embedding_quantised(ids, table), unpack(table)[ids], rtol=1e-6, atol=1e-6
    )
    assert torch.equal(reference.embedding_quantised(ids, table), unpack(table)[ids])


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "float16"])
def test_a_table_gives_its_rows_in_float32(kernels, kind):
    table, ids = torch.randn(50, 70).to(getattr(torch, kind)), torch.tensor([3, 49, 0, 3, 16])
    assert torch.equal(kernels.embedding(ids, table), table[ids].float())


@pytest.mark.parametrize("size", [1, 8, 13, 64, 576])
def test_norms(kernels, size):
    x, weight, bias = torch.randn(5, size) * 3 + 1, torch.randn(size), torch.randn(size)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(
        kernels.rms_norm(x, weight, 1e-5), reference.rms_norm(x, weight, 1e-5), **close
    )
    for b in (bias, None):
        made, right = (k.layer_norm(x, weight, b, 1e-5) for k in (kernels, reference))
        torch.testing.assert_close(made, right, **close)
    heads = torch.randn(4, 3, 2 * size)[..., size:]  # a view, as q is of the fused product
    torch.testing.assert_close(
        kernels.rms_norm(heads, weight, 1e-6), reference.rms_norm(heads, weight, 1e-6), **close
    )


@pytest.mark.parametrize("name", reference.ACTIVATIONS)
def test_activations(kernels, name):
    x = torch.cat(
        (torch.randn(3, 37) * 4, torch.tensor([[-1e4, -90.0, -20.0, 0.0, 20.0, 90.0, 1e4] * 5 + [0.0] * 2]))
    )
    torch.testing.assert_close(
        kernels.activation(x, name), reference.activation(x, name), rtol=1e-5, atol=1e-6
    )
    x = torch.randn(3, 74)
    torch.testing.assert_close(kernels.gated(x, name), reference.gated(x, name), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rotated, size", [(8, 8), (64, 64), (32, 80), (6, 20)])
def test_rotary(kernels, rotated, size):
    x = torch.randn(5, 3 * size + 4)[:, 4:].unflatten(1, (3, size))
    angle = torch.randn(5, rotated)
    made, right = (k.rotary(x, angle.cos(), angle.sin()) for k in (kernels, reference))
    torch.testing.assert_close(made, right, rtol=1e-6, atol=1e-6)


SPECS = {
    "multi-head": {"num_heads": 4, "num_kv_heads": 4},
    "grouped": {"num_heads": 9, "num_kv_heads": 3},
    "multi-query": {"num_heads": 11, "num_kv_heads": 1},
    "window": {"num_heads": 4, "num_kv_heads": 2, "window": 5},
    "soft cap": {"num_heads": 4, "num_kv_heads": 2, "soft_cap": 2.0},
    "both": {"num_heads": 4, "num_kv_heads": 2, "soft_cap": 2.0, "window": 3},
    "encoder": {"num_heads": 4, "num_kv_heads": 4, "causal": False},
    "encoder, window": {"num_heads": 4, "num_kv_heads": 4, "causal": False, "window": 4},
    "odd heads": {"num_heads": 2, "num_kv_heads": 2, "head_dim": 20},
}


def attended(kernels, spec, dtype, queries, contexts, qkv, tables, S, bias=None):
    """Attention of sequences whose keys lie in blocks of S; the last `queries[i]` of each ask."""
    q, k, v = qkv
    kv = kernels.new_kv(int(tables.max()) + 1, S, spec, dtype, torch.device("cpu"))
    slots = torch.cat(
        [tables[i, torch.arange(n) // S] * S + torch.arange(n) % S for i, n in enumerate(contexts)]
    )
    kernels.store_kv(kv, k, v, slots.long())
    starts = torch.tensor([0, *torch.tensor(queries).cumsum(0)], dtype=torch.int32)
    lengths = torch.tensor(contexts, dtype=torch.int32)
    segments = PagedSegments(starts, lengths, tables, max(queries), max(contexts))
    return kernels.paged_attention(q, kv, spec, segments, bias)


def drawn(spec, queries, contexts, S):
    blocks = -(-max(contexts) // S)
    tables = torch.randperm(len(queries) * blocks).view(len(queries), blocks).to(torch.int32)
    K = spec.head_dim
    q = torch.randn(sum(queries), spec.num_heads, K)
    k, v = (torch.randn(sum(contexts), spec.num_kv_heads, K) for _ in range(2))
    return (q, k, v), tables


def make_spec(name):
    return AttentionSpec(**{"head_dim": 16, "scale": 0.3, "causal": True, **SPECS[name]})


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("name", SPECS)
def test_attention_over_blocks(kernels, name, bias):
    spec = make_spec(name)
    for S, queries, contexts in [
        (4, [1, 1, 6, 9, 3], [17, 1, 20, 9, 12]),
        (16, [1, 40], [70, 40]),
        (16, [1, 2], [1100, 530]),
        (20, [3], [33]),
    ]:
        qkv, tables = drawn(spec, queries, contexts, S)
        bias_HE = torch.randn(spec.num_heads, 9) if bias else None
        made, right = (
            attended(k, spec, torch.float32, queries, contexts, qkv, tables, S, bias_HE)
            for k in (kernels, reference)
        )
        torch.testing.assert_close(made, right, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_cache_of_16_bits_is_the_reference_over_rounded_keys_and_values(kernels, dtype):
    spec = make_spec("grouped")
    qkv, tables = drawn(spec, [1, 5], [40, 33], 16)
    made = attended(kernels, spec, dtype, [1, 5], [40, 33], qkv, tables, 16)
    rounded = (qkv[0], *(t.to(dtype).float() for t in qkv[1:]))
    right = attended(reference, spec, torch.float32, [1, 5], [40, 33], rounded, tables, 16)
    torch.testing.assert_close(made, right, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("name", SPECS)
def test_a_cache_of_8_bits_is_the_reference_over_one(kernels, name, bias):
    spec = make_spec(name)
    for _ in range(2):
        S, count = random.choice([4, 16, 20, 32]), random.randint(1, 4)
        contexts = [random.choice([random.randint(1, 60), random.randint(500, 700)]) for _ in range(count)]
        queries = [min(n, random.choice([1, random.randint(1, 20)])) for n in contexts]
        qkv, tables = drawn(spec, queries, contexts, S)
        qkv[1][:, :, 3] *= 5  # keys of real models have such numbers
        bias_HE = torch.randn(spec.num_heads, 9) if bias else None
        made, right = (
            attended(k, spec, torch.int8, queries, contexts, qkv, tables, S, bias_HE)
            for k in (kernels, reference)
        )
        torch.testing.assert_close(made, right, rtol=2e-5, atol=2e-5)


def test_what_is_kept_in_8_bits_is_what_as_kept_says_to_the_bit(kernels):
    """Seen through attention to a single key, which gives that key's value."""
    spec, T = AttentionSpec(num_heads=3, num_kv_heads=3, head_dim=40, scale=1.0, causal=True), 12
    k, v = (torch.randn(T, 3, 40) * torch.logspace(-30, 8, T)[:, None, None] for _ in range(2))
    v[3], v[4, 1] = 0, 1e-44
    tables = torch.arange(T, dtype=torch.int32).view(T, 1)
    made = attended(kernels, spec, torch.int8, [1] * T, [1] * T, (torch.zeros(T, 3, 40), k, v), tables, 4)
    assert torch.equal(made, as_kept(v, torch.int8))
    v[5, 0, 7], v[6, 2, 39] = torch.nan, -torch.inf
    made = attended(kernels, spec, torch.int8, [1] * T, [1] * T, (torch.zeros(T, 3, 40), k, v), tables, 4)
    assert made.isnan().any(-1).nonzero().tolist() == [[5, 0], [6, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8], ids=str)
@pytest.mark.parametrize("name", ["grouped", "window", "both"])
def test_a_query_has_the_same_bits_in_a_chunk_and_in_a_decode(kernels, name, dtype):
    """Also with long contexts, whose spans are shared among threads where there are few queries."""
    spec, S = make_spec(name), 16
    threads = torch.get_num_threads()
    (q, k, v), tables = drawn(spec, [12], [1090], S)
    try:
        torch.set_num_threads(2)
        chunk = attended(kernels, spec, dtype, [12], [1090], (q, k, v), tables, S)
        for i in (0, 5, 11):
            length = 1090 - 11 + i
            one = (q[i : i + 1], k[:length], v[:length])
            for count in (1, 2):
                torch.set_num_threads(count)
                alone = attended(kernels, spec, dtype, [1], [length], one, tables, S)
                assert torch.equal(alone[0], chunk[i])
    finally:
        torch.set_num_threads(threads)


def test_blocks_before_the_window_are_never_read(kernels):
    spec, S = make_spec("window"), 4
    qkv, tables = drawn(spec, [1], [30], S)
    right = attended(kernels, spec, torch.float32, [1], [30], qkv, tables, S)
    kv = kernels.new_kv(int(tables.max()) + 1, S, spec, torch.float32, torch.device("cpu"))
    slots = tables[0, torch.arange(30) // S] * S + torch.arange(30) % S
    kernels.store_kv(kv, qkv[1], qkv[2], slots.long())
    tables[0, :6] = 1_000_000  # far outside the cache
    starts, lengths = torch.tensor([0, 1]).int(), torch.tensor([30]).int()
    made = kernels.paged_attention(qkv[0], kv, spec, PagedSegments(starts, lengths, tables, 1, 30))
    assert torch.equal(made, right)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8], ids=str)
def test_copied_blocks_hold_what_the_source_held(kernels, dtype):
    spec = make_spec("grouped")
    kv = kernels.new_kv(4, 4, spec, dtype, torch.device("cpu"))
    kernels.store_kv(kv, torch.randn(4, 3, 16), torch.randn(4, 3, 16), torch.arange(4))
    kernels.copy_blocks(kv, torch.tensor([0]), torch.tensor([2]))
    assert all(torch.equal(blocks[2], blocks[0]) and blocks[2].any() for blocks in kv.tensors)


def test_attention_without_a_cache(kernels):
    spec = make_spec("encoder")
    q, k, v = (torch.randn(9, 4, 16) for _ in range(3))
    segments = Segments((0, 4, 9), (0, 4, 9))
    made, right = (x.attention(q, k, v, spec, segments) for x in (kernels, reference))
    torch.testing.assert_close(made, right, rtol=1e-5, atol=1e-5)
