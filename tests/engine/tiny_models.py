"""Tiny random decoders of every family, their weights spread so that the next token depends on all before it."""

from functools import cache

import torch

from pellucid.models.registry import read_config

SHAPE = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 256}
GATED = {
    **SHAPE,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "tie_word_embeddings": False,
}
TINY = {
    "gpt2": {"model_type": "gpt2", "vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    "llama": {"model_type": "llama", **GATED},
    "phi3": {"model_type": "phi3", **GATED},
    "phi3-window": {"model_type": "phi3", **GATED, "sliding_window": 20},
    "phi3-longrope": {
        "model_type": "phi3", **GATED, "original_max_position_embeddings": 40,
        "rope_scaling": {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.5, 2.0, 4.0, 8.0]},
    },
}  # fmt: skip


@cache
def tiny(name, seed=0):
    """A decoder; the same name and seed give the same weights."""
    family, config = read_config(TINY[name])
    model = family.build(config)
    generator = torch.Generator().manual_seed(seed)
    for path, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim == 2 and "embed" not in path:
            noise *= (2.5 if "qkv" in path else 1.2) * parameter.shape[1] ** -0.5
        elif "embed" in path and config.tie_word_embeddings:
            noise *= 0.3  # else the head would mostly repeat the token it sees
        elif "norm" in path and path.endswith("weight"):
            noise = 1 + 0.2 * noise
        elif parameter.ndim == 1:
            noise *= 0.2
        parameter.data.copy_(noise)
    return model.eval().requires_grad_(False)
