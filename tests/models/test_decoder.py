"""The decoder body: embed, blocks, norm, head; packed sequences, tied tables, and the rows that are asked for."""

from dataclasses import replace

import pytest
import torch
from layers.filled import filled, packed

from pellucid.kernels import AttentionSpec, reference
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.context import DenseContext
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.position import RotaryConfig
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder

NORM = NormConfig(kind="rms_norm", eps=1e-6)
SPEC = AttentionSpec(num_heads=2, num_kv_heads=1, head_dim=8, scale=0.4, causal=True)
LONG = RotaryConfig(
    theta=10000.0,
    dim=8,
    scaling="longrope",
    original_max_position_embeddings=16,
    short_factor=(1.0,) * 4,
    long_factor=(4.0,) * 4,
)
BLOCK = BlockConfig(
    wiring="pre_norm",
    norm=NORM,
    attention=AttentionConfig(spec=SPEC, rotary=RotaryConfig(theta=10000.0, dim=8)),
    feed_forward=FeedForwardConfig(size=24, activation="silu", gated=True, bias=False),
)
CONFIG = ModelConfig(
    model_type="test",
    vocab_size=31,
    hidden_size=16,
    max_position_embeddings=64,
    blocks=(BLOCK, BLOCK),
    final_norm=NORM,
)
IDS = [3, 1, 4, 1, 5, 9]


def decoder(**changes):
    return filled(Decoder(replace(CONFIG, **changes)))


@torch.no_grad()
def test_it_is_head_of_norm_of_blocks_of_embedding() -> None:
    model, ctx = decoder(), packed(6)
    x_TD = model.embed_tokens.weight[IDS]
    for block in model.blocks:
        x_TD = block(x_TD, ctx)
    expected_TV = model.norm(x_TD, ctx) @ model.lm_head.weight.T
    torch.testing.assert_close(model.logits(IDS), expected_TV)


@torch.no_grad()
def test_packed_sequences_are_as_if_alone() -> None:
    model = decoder()
    together = model(torch.tensor(IDS), packed(2, 4))
    torch.testing.assert_close(together, torch.cat([model.logits(IDS[:2]), model.logits(IDS[2:])]))


def test_a_tied_head_is_the_table_itself() -> None:
    tied, untied = decoder(tie_word_embeddings=True), decoder()
    assert tied.lm_head.weight is tied.embed_tokens.weight
    assert untied.lm_head.weight is not untied.embed_tokens.weight
    numbers = [sum(p.numel() for p in model.parameters()) for model in (tied, untied)]
    assert numbers[1] - numbers[0] == CONFIG.vocab_size * CONFIG.hidden_size


def test_a_tied_table_learns_from_both_its_uses() -> None:
    model = decoder(tie_word_embeddings=True)
    model(torch.tensor(IDS), packed(6)).logsumexp(-1).sum().backward()
    never_read = torch.tensor([i for i in range(31) if i not in IDS])
    assert model.embed_tokens.weight.grad[never_read].abs().sum() > 0


@torch.no_grad()
def test_a_soft_cap_bounds_the_logits() -> None:
    free, capped = decoder().logits(IDS), decoder(logit_soft_cap=0.5).logits(IDS)
    assert capped.abs().max() < 0.5 < free.abs().max()
    torch.testing.assert_close(capped, 0.5 * torch.tanh(free / 0.5))


@torch.no_grad()
def test_without_a_final_norm_the_head_reads_the_stream() -> None:
    model = decoder(final_norm=None)
    stream_TD = model.hidden(torch.tensor(IDS), packed(6))
    torch.testing.assert_close(model.logits(IDS), stream_TD @ model.lm_head.weight.T)


@torch.no_grad()
def test_only_the_rows_asked_for_meet_the_vocabulary() -> None:
    class LastOnly(DenseContext):
        def output_rows(self, x_TD):
            return x_TD[-1:]

    model = decoder()
    last_1V = model(torch.tensor(IDS), LastOnly([6], reference))
    torch.testing.assert_close(last_1V, model.logits(IDS)[-1:])


def test_every_module_knows_its_place() -> None:
    model = decoder()
    assert [module.name for module in model.attentions] == ["blocks.0.attn", "blocks.1.attn"]
    assert [module.index for module in model.attentions] == [0, 1]


@pytest.mark.parametrize(("length", "changed"), [(16, False), (17, True)])
def test_the_regime_of_any_layer_is_the_bodys(length, changed) -> None:
    long = replace(BLOCK, attention=replace(BLOCK.attention, rotary=LONG))
    mixed = decoder(blocks=(BLOCK, long))
    assert (mixed.rotary_regime(5, length) != mixed.rotary_regime(5, 6)) == changed
    assert decoder().rotary_regime(5, length) is None
