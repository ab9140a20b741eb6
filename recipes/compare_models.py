"""The models that are compared: a small decoder whole, without one of its parts, and an LSTM of its size.

Letters: T tokens, N sequences, L their length, D hidden, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from pellucid.layers.block import PreNormBlock
from pellucid.layers.context import ForwardContext
from pellucid.layers.norm import Unchanged
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.registry import read_config
from pellucid.training import initialise
from recipes.from_text import small_llama


class LSTM(nn.Module):
    """torch's own LSTM (Hochreiter & Schmidhuber 1997) between a token table and a head, over packed
    sequences of one length."""

    def __init__(self, vocab_size: int, width: int, layers: int) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.lm_head = nn.Linear(width, vocab_size)

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The logits `[T, V]`."""
        x_NLD = self.embed_tokens(ids_T.view(-1, int(ctx.lengths_T[0])))
        return self.lm_head(ctx.dropout(self.lstm(x_NLD)[0])).flatten(0, 1)


class NoResidual(nn.Module):
    """A block whose layers replace the stream where they should add to it: `mlp(norm(attn(norm(x))))`."""

    def __init__(self, block: PreNormBlock) -> None:
        super().__init__()
        self.block = block

    def forward(self, x_TD: Tensor, ctx: ForwardContext) -> Tensor:
        h_TD = self.block.attn(self.block.attn_norm(x_TD, ctx), ctx)
        return self.block.mlp(self.block.mlp_norm(h_TD, ctx), ctx)


def decoder(vocab_size: int, layers: int, heads: int, width: int, context: int, seed: int = 0) -> Decoder:
    """A small decoder with fresh weights."""
    return _built(_config(vocab_size, layers, heads, width, context), seed)


def without_residual(model: Decoder) -> None:
    """Take the residual connections out."""
    model.blocks = nn.ModuleList(NoResidual(block) for block in model.blocks)


def without_norm(model: Decoder) -> None:
    """Take every norm out."""
    model.norm = Unchanged()
    for block in model.blocks:
        block.attn_norm, block.mlp_norm = Unchanged(), Unchanged()


def variants(
    vocab_size: int, layers: int, heads: int, width: int, context: int, seed: int = 0
) -> dict[str, Callable[[], Decoder]]:
    """The whole decoder and the same with one thing changed, by what is changed."""
    config = _config(vocab_size, layers, heads, width, context)
    block = config.blocks[0]
    no_positions = replace(block, attention=replace(block.attention, rotary=None))
    relu = replace(block.feed_forward, activation="relu", gated=False, size=4 * width)

    def changed(change: Callable[[Decoder], None]) -> Decoder:
        model = _built(config, seed)
        change(model)
        return model

    return {
        "whole": lambda: _built(config, seed),
        "without residual connections": lambda: changed(without_residual),
        "without norm": lambda: changed(without_norm),
        "without positions": lambda: _built(replace(config, blocks=(no_positions,) * layers), seed),
        "with one head": lambda: _built(_config(vocab_size, layers, 1, width, context), seed),
        "with ReLU for SwiGLU": lambda: _built(
            replace(config, blocks=(replace(block, feed_forward=relu),) * layers), seed
        ),
    }


def size(model: nn.Module) -> int:
    """How many parameters a model has."""
    return sum(p.numel() for p in model.parameters())


def _config(vocab_size: int, layers: int, heads: int, width: int, context: int) -> ModelConfig:
    _, config = read_config(small_llama(vocab_size, layers, heads, width, context))
    assert isinstance(config, ModelConfig)
    return config


def _built(config: ModelConfig, seed: int) -> Decoder:
    model = Decoder(config)
    initialise(model, seed=seed)
    return model
