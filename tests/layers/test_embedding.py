"""Token tables and the positions that are added to them."""

import math

import torch
from layers.filled import draw, filled, packed

from pellucid.layers.embedding import Embedding, LearnedPositions, SinusoidalPositions

IDS_T = torch.tensor([2, 0, 2])


@torch.no_grad()
def test_a_token_is_a_row_of_the_table() -> None:
    table = filled(Embedding(3, 4))
    assert table(IDS_T, packed(3)).equal(table.weight[IDS_T])


@torch.no_grad()
def test_a_scale_is_rounded_as_the_table_is() -> None:
    table = filled(Embedding(3, 4, scale=math.sqrt(3072)))
    torch.testing.assert_close(table(IDS_T, packed(3)), table.weight[IDS_T] * math.sqrt(3072))
    half = table.bfloat16()
    assert half(IDS_T, packed(3)).equal(half.weight[IDS_T] * 55.5)


@torch.no_grad()
def test_learned_positions_are_rows_added_each_sequence_from_its_own_beginning() -> None:
    table, x_TD = filled(LearnedPositions(8, 4, offset=2)), draw(5, 4)
    rows = torch.tensor([2, 3, 4, 2, 3])
    assert table.weight.shape == (10, 4)
    assert table(x_TD, packed(3, 2)).equal(x_TD + table.weight[rows])


def test_sinusoids_are_the_equation() -> None:
    interleaved = SinusoidalPositions(6).table(torch.arange(50))
    halves = SinusoidalPositions(6, interleaved=False).table(torch.arange(50))
    for position in (0, 1, 49):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert math.isclose(interleaved[position, 2 * i], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(interleaved[position, 2 * i + 1], math.cos(angle), abs_tol=1e-6)
            assert math.isclose(halves[position, i], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(halves[position, 3 + i], math.cos(angle), abs_tol=1e-6)
