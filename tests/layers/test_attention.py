"""Attention: the equation, what order means to it, how heads share keys, and what each mask lets through."""

import math

import pytest
import torch
from layers.filled import attention, draw, filled, packed

from pellucid.layers.embedding import LearnedPositions, NoPositions, SinusoidalPositions
from pellucid.layers.linear import FusedLinear
from pellucid.layers.position import RotaryConfig

MAN, BITES, DOG = 0, 1, 2
ROTARY = RotaryConfig(theta=10000.0, dim=4)


def sees(module, length, query):
    """The positions whose token changes what this query gives."""
    x_TD = draw(length, 16)
    before_D = module(x_TD, packed(length))[query]
    found = []
    for position in range(length):
        other_TD = x_TD.clone()
        other_TD[position] += 1.0
        if not torch.equal(module(other_TD, packed(length))[query], before_D):
            found.append(position)
    return found


@torch.no_grad()
def test_it_is_the_equation() -> None:
    module, x_TD = attention(), draw(5, 16)
    q_TD, k_TD, v_TD = (x_TD @ module.qkv_proj.weight.T).chunk(3, dim=-1)
    heads = []
    for h in range(4):
        q_TK, k_TK, v_TK = (t[:, 4 * h : 4 * h + 4] for t in (q_TD, k_TD, v_TD))
        heads.append(torch.softmax(q_TK @ k_TK.T / math.sqrt(4), dim=-1) @ v_TK)
    expected_TD = torch.cat(heads, dim=-1) @ module.o_proj.weight.T
    torch.testing.assert_close(module(x_TD, packed(5)), expected_TD)


def encode(words, positions, rotary=None):
    """What one layer of an encoder makes of each word, `{word: vector}`."""
    ids_T, ctx = torch.tensor(words), packed(len(words))
    x_TD = positions(draw(3, 16)[ids_T], ctx)
    y_TD = x_TD + attention(rotary=rotary)(x_TD, ctx)
    return dict(zip(words, y_TD, strict=True))


@torch.no_grad()
def test_without_positions_man_bites_dog_is_dog_bites_man() -> None:
    one = encode([MAN, BITES, DOG], NoPositions())
    other = encode([DOG, BITES, MAN], NoPositions())
    for word in (MAN, BITES, DOG):
        torch.testing.assert_close(one[word], other[word])


@pytest.mark.parametrize(
    ("positions", "rotary"),
    [
        (filled(LearnedPositions(8, 16), seed=1), None),
        (SinusoidalPositions(16), None),
        (NoPositions(), ROTARY),
    ],
    ids=["learned", "sinusoidal", "rotary"],
)
@torch.no_grad()
def test_with_positions_who_bites_matters(positions, rotary) -> None:
    one = encode([MAN, BITES, DOG], positions, rotary)
    other = encode([DOG, BITES, MAN], positions, rotary)
    for word in (MAN, DOG):
        assert (one[word] - other[word]).abs().max() > 0.01


@pytest.mark.parametrize("kv_heads", [1, 2], ids=["multi-query", "grouped"])
@torch.no_grad()
def test_shared_keys_are_repeated_keys(kv_heads) -> None:
    shared, every = attention(num_kv_heads=kv_heads), attention()
    q, k, v = shared.qkv_proj.weight.split(shared.qkv_proj.sizes)

    def repeated(rows):
        return rows.view(kv_heads, 1, 4, 16).expand(-1, 4 // kv_heads, -1, -1).reshape(16, 16)

    every.qkv_proj.weight.copy_(torch.cat([q, repeated(k), repeated(v)]))
    every.o_proj.weight.copy_(shared.o_proj.weight)
    x_TD = draw(7, 16)
    torch.testing.assert_close(shared(x_TD, packed(7)), every(x_TD, packed(7)))


@torch.no_grad()
def test_causal_sees_itself_and_what_came_before() -> None:
    assert sees(attention(causal=True), 6, query=3) == [0, 1, 2, 3]
    assert sees(attention(causal=False), 6, query=3) == [0, 1, 2, 3, 4, 5]


@torch.no_grad()
def test_a_window_sees_the_newest_positions_its_own_included() -> None:
    module = attention(causal=True, window=3)
    assert sees(module, 8, query=6) == [4, 5, 6]
    assert sees(module, 8, query=1) == [0, 1]


@torch.no_grad()
def test_without_causality_a_window_reaches_both_ways() -> None:
    assert sees(attention(causal=False, window=3), 8, query=4) == [2, 3, 4, 5, 6]


@torch.no_grad()
def test_packed_sequences_do_not_see_each_other() -> None:
    module = attention(causal=True, rotary=ROTARY)
    x_TD, y_TD = draw(3, 16), draw(5, 16, seed=1)
    together = module(torch.cat([x_TD, y_TD]), packed(3, 5))
    torch.testing.assert_close(together, torch.cat([module(x_TD, packed(3)), module(y_TD, packed(5))]))


@torch.no_grad()
def test_a_soft_cap_bounds_the_scores_and_a_wide_one_changes_nothing() -> None:
    x_TD = 30 * draw(6, 16)
    free, wide, tight = (attention(soft_cap=cap)(x_TD, packed(6)) for cap in (None, 1e6, 1e-6))
    torch.testing.assert_close(wide, free, rtol=1e-3, atol=1e-3)
    # scores that may hardly differ look at everything alike: the mean of the values
    module = attention()
    v_TD = (x_TD @ module.qkv_proj.weight.T)[:, 32:]
    expected_D = v_TD.mean(0) @ module.o_proj.weight.T
    torch.testing.assert_close(tight, expected_D.expand(6, -1), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_the_pattern_does_not_depend_on_what_all_scores_have_in_common() -> None:
    module = attention(qkv_bias=True)
    x_TD = draw(4, 16)
    before_TD = module(x_TD, packed(4))
    module.qkv_proj.bias[16:32] += 1.0  # the same addition to every key is the same to every score of a query
    torch.testing.assert_close(module(x_TD, packed(4)), before_TD)


@torch.no_grad()
def test_a_fused_product_is_its_parts_side_by_side() -> None:
    fused, x_TI = filled(FusedLinear(6, {"q": 4, "k": 2, "v": 2}, bias=True)), draw(3, 6)
    parts = fused(x_TI, packed(3)).split(fused.sizes, dim=-1)
    for (start, stop), part in zip(fused.sections.values(), parts, strict=True):
        torch.testing.assert_close(part, x_TI @ fused.weight[start:stop].T + fused.bias[start:stop])
