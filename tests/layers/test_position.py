"""Rotary positions: products depend on distance alone; every published way past the trained length."""

import pytest
import torch
from layers.filled import draw, packed
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from pellucid.kernels import reference
from pellucid.layers.position import RotaryConfig, fixed_frequencies, make_rotary

PLAIN = RotaryConfig(theta=10000.0, dim=8)
SCALINGS = {
    "linear": {"factor": 4.0},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 16.0, "beta_slow": 0.5},
    "longrope": {
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [1.0, 2.0, 4.0, 8.0],
        "original_max_position_embeddings": 64,
    },
}


def rotated(config, q_K, k_K, query, key, length=300):
    """The product of a query and a key that stand at these positions."""
    ctx = packed(length)
    rows_T1K = torch.zeros(length, 1, 8)
    rows_T1K[query, 0], keys_T1K = q_K, torch.zeros(length, 1, 8)
    keys_T1K[key, 0] = k_K
    q_T1K, k_T1K = make_rotary(config)(rows_T1K, keys_T1K, ctx)
    return q_T1K[query, 0] @ k_T1K[key, 0]


@pytest.mark.parametrize("name", ["default", *SCALINGS])
def test_the_product_depends_on_distance_only(name) -> None:
    more = {n: tuple(v) if isinstance(v, list) else v for n, v in SCALINGS.get(name, {}).items()}
    config = RotaryConfig(theta=10000.0, dim=8, scaling=name, **more)
    q_K, k_K = draw(8), draw(8, seed=1)
    products = [rotated(config, q_K, k_K, at + 13, at) for at in (0, 5, 100, 280)]
    torch.testing.assert_close(torch.stack(products), products[0].expand(4), rtol=1e-4, atol=1e-4)
    assert (rotated(config, q_K, k_K, 14, 0) - products[0]).abs() > 1e-3


def test_a_turn_keeps_lengths_and_the_first_position_does_not_turn() -> None:
    q_T1K = draw(9, 1, 8)
    turned_T1K, _ = make_rotary(PLAIN)(q_T1K, q_T1K, packed(9))
    torch.testing.assert_close(turned_T1K.norm(dim=-1), q_T1K.norm(dim=-1))
    assert turned_T1K[0].equal(q_T1K[0]) and not turned_T1K[1].equal(q_T1K[1])


def test_a_partial_rotary_leaves_the_rest_of_the_head() -> None:
    q_T2K = draw(9, 2, 8)
    turned_T2K, _ = make_rotary(RotaryConfig(theta=10000.0, dim=4))(q_T2K, q_T2K, packed(9))
    whole_T2K, _ = make_rotary(RotaryConfig(theta=10000.0, dim=4))(q_T2K[..., :4], q_T2K[..., :4], packed(9))
    assert turned_T2K[..., 4:].equal(q_T2K[..., 4:])
    assert turned_T2K[..., :4].equal(whole_T2K)


def published(name, dim, seq_len=None, **more):
    """Frequencies and attention factor as transformers computes them."""
    config = LlamaConfig(
        hidden_size=dim,
        num_attention_heads=1,
        max_position_embeddings=256,
        rope_parameters={"rope_type": name, "rope_theta": 10000.0, **more},
    )
    return ROPE_INIT_FUNCTIONS[name](config, "cpu", seq_len=seq_len)


@pytest.mark.parametrize("name", SCALINGS)
def test_every_scaling_has_the_published_frequencies(name) -> None:
    settings = SCALINGS[name]
    expected_F, factor = published(name, 8, **settings)
    more = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
    config = RotaryConfig(theta=10000.0, dim=8, scaling=name, attention_factor=factor, **more)
    torch.testing.assert_close(fixed_frequencies(config), expected_F)
    cos_TR, sin_TR = make_rotary(config).angles(packed(5))
    torch.testing.assert_close((cos_TR.square() + sin_TR.square()).sqrt(), torch.full((5, 8), factor))


LONG = RotaryConfig(
    theta=10000.0,
    dim=8,
    scaling="longrope",
    original_max_position_embeddings=6,
    short_factor=(1.0, 1.1, 1.2, 1.3),
    long_factor=(1.0, 2.0, 4.0, 8.0),
)
DYNAMIC = RotaryConfig(
    theta=10000.0, dim=8, scaling="dynamic", factor=2.0, original_max_position_embeddings=6
)


def test_longrope_goes_by_each_sequence_own_length_never_by_its_company() -> None:
    rotary = make_rotary(LONG)
    together = rotary.frequencies(packed(6, 7))
    assert together[:6].equal(rotary.frequencies(packed(6)).expand(6, -1))
    assert together[6:].equal(rotary.frequencies(packed(7)).expand(7, -1))
    expected_F, _ = published("longrope", 8, seq_len=65, **SCALINGS["longrope"])
    torch.testing.assert_close(together[6], expected_F)


@pytest.mark.parametrize("length", [3, 6, 7, 20])
def test_dynamic_ntk_turns_a_whole_prompt_by_its_length(length) -> None:
    config = LlamaConfig(
        hidden_size=8,
        num_attention_heads=1,
        max_position_embeddings=6,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    )
    expected_F, _ = ROPE_INIT_FUNCTIONS["dynamic"](config, "cpu", seq_len=length)
    frequencies_TF = make_rotary(DYNAMIC).frequencies(packed(length))
    torch.testing.assert_close(frequencies_TF, expected_F.expand(length, -1))


def test_a_regime_changes_when_keys_must_be_computed_anew() -> None:
    plain, long, dynamic = (make_rotary(config) for config in (PLAIN, LONG, DYNAMIC))
    assert plain.regime(3, 3) == plain.regime(3, 999)
    assert long.regime(3, 6) != long.regime(3, 7) == long.regime(5, 999)
    # keys of generated tokens stay as they were written, keys of a long prompt belong to its length
    assert dynamic.regime(3, 6) == dynamic.regime(3, 7)
    assert dynamic.regime(7, 7) != dynamic.regime(8, 8)


def test_angles_are_computed_once_a_forward() -> None:
    ctx, rotary = packed(4), make_rotary(PLAIN)
    first = ctx.once(rotary, lambda: rotary.angles(ctx))
    rotary(draw(4, 1, 8), draw(4, 1, 8), ctx)
    assert ctx.once(rotary, lambda: pytest.fail("computed again")) is first
    assert ctx.kernels is reference
