"""Layers with seeded random weights, and packed contexts to run them in."""

import torch

from pellucid.kernels import AttentionSpec, reference
from pellucid.layers.attention import Attention, AttentionConfig
from pellucid.layers.block import make_attentions
from pellucid.layers.context import DenseContext


def filled(module, seed=0):
    """The module with every parameter drawn anew: matrices that keep the size of things, norms near 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
    return module


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def packed(*lengths, **options):
    """A context for sequences of these lengths, end to end."""
    return DenseContext(lengths, reference, **options)


def attention(hidden_size=16, seed=0, rotary=None, qk_norm=None, qkv_bias=False, **spec) -> Attention:
    """Four heads of size 4 that see everything, where nothing else is said."""
    spec = AttentionSpec(
        **{"num_heads": 4, "num_kv_heads": 4, "head_dim": 4, "scale": 0.5, "causal": False, **spec}
    )
    config = AttentionConfig(spec=spec, qkv_bias=qkv_bias, rotary=rotary, qk_norm=qk_norm)
    return filled(make_attentions(hidden_size, (config,))[0], seed)
