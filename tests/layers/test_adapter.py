"""A low-rank adapter adds `B A` to the products it names, for the tokens it was chosen for and no others."""

import torch
from filled import draw, filled, packed

from pellucid.layers.adapter import Adapted, AdaptedContext, Adapter, LowRank
from pellucid.layers.linear import FusedLinear, Linear

T, I, R = 7, 6, 2  # noqa: E741


def low_rank(start, stop, seed):
    return LowRank(draw(R, I, seed=seed), draw(stop - start, R, seed=seed + 1), start, stop)


def test_each_token_has_its_own_adapter_or_none() -> None:
    linear, other = filled(Linear(I, 5, bias=True)), filled(Linear(I, 5, bias=True))
    one, two = (Adapter(str(i), {linear: [low_rank(0, 5, seed=10 * i)]}) for i in (1, 2))
    chosen = [Adapted(one, torch.tensor([0, 4])), Adapted(two, torch.tensor([2, 3, 6]))]
    inside = packed(T)
    ctx, x_TI = AdaptedContext(inside, chosen), draw(T, I)
    y_TO, plain_TO = linear(x_TI, ctx), linear(x_TI, inside)
    for adapter, rows_N in chosen:
        (part,) = adapter.products[linear]
        expected_NO = plain_TO[rows_N] + x_TI[rows_N] @ (part.b_OR @ part.a_RI).T
        torch.testing.assert_close(y_TO[rows_N], expected_NO)
    nobody = [1, 5]
    assert y_TO[nobody].equal(plain_TO[nobody])
    assert other(x_TI, ctx).equal(other(x_TI, inside))


def test_sections_of_a_fused_product_are_adapted_apart() -> None:
    fused = filled(FusedLinear(I, {"q": 4, "k": 2, "v": 2}, bias=False))
    q, v = low_rank(0, 4, seed=1), low_rank(6, 8, seed=3)
    inside = packed(T)
    ctx = AdaptedContext(inside, [Adapted(Adapter("qv", {fused: [q, v]}), torch.arange(T))])
    x_TI = draw(T, I)
    y_TO, plain_TO = fused(x_TI, ctx), fused(x_TI, inside)
    torch.testing.assert_close(y_TO[:, :4], plain_TO[:, :4] + x_TI @ (q.b_OR @ q.a_RI).T)
    assert y_TO[:, 4:6].equal(plain_TO[:, 4:6])
    torch.testing.assert_close(y_TO[:, 6:], plain_TO[:, 6:] + x_TI @ (v.b_OR @ v.a_RI).T)
