"""What the recipes that train a small decoder on plain text share: its shape, its steps, its files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from pellucid import LLM, SamplingParams
from pellucid.device import resolve_device
from pellucid.kernels import torch_ops
from pellucid.models.decoder import Decoder
from pellucid.models.publishing import publish, publish_text
from pellucid.models.registry import read_config
from pellucid.training import NextToken, TrainConfig, Windows, initialise, train


def small_llama(vocab_size: int, layers: int, heads: int, width: int, context: int) -> dict[str, Any]:
    """The published config of a small decoder, its feed-forward as large as a plain one of 4 widths."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocab_size,
        "hidden_size": width,
        "intermediate_size": 8 * round(width / 3),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "max_position_embeddings": context,
        "tie_word_embeddings": True,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def train_on_text(
    ids: np.ndarray,
    tokenizer: Tokenizer,
    fields: Mapping[str, Any],
    plan: TrainConfig,
    folder: Path,
    *,
    windows_per_step: int,
    dropout: float,
    card: str,
) -> Path:
    """Train on the first nine tenths of a text, measure on the last; the checkpoint's folder."""
    context = fields["max_position_embeddings"]
    cut = len(ids) * 9 // 10
    family, config = read_config(fields)
    model = family.build(config)
    assert isinstance(model, Decoder)
    initialise(model, seed=plan.seed)
    parameters = sum(p.numel() for p in model.parameters())
    print(f"{parameters:,} parameters, {cut:,} tokens to learn from, {len(ids) - cut:,} to be measured on")
    model.to(resolve_device("auto"))
    source = Windows(ids[:cut], context, windows_per_step, plan.seed)
    held_out = Windows.all(ids[cut:], context)
    at = train(model, source, NextToken(torch_ops, dropout=dropout), plan, folder, held_out=held_out)
    target = folder / "model"
    publish(target, model, family, fields)
    publish_text(target, tokenizer, {})
    loss = plan.loss_kept(at)
    facts = f"{parameters:,} parameters, {at.step} steps, loss on held-out text {loss:.4f} nats a token."
    (target / "README.md").write_text(f"{card}\n\n{facts}\n")
    print(f"{facts}\nThe checkpoint is {target}")
    return target


def complete(model: Path, prompt: str) -> None:
    """Print what a trained model makes of a prompt."""
    params = SamplingParams(temperature=0.8, top_k=200, max_tokens=200, seed=1)
    (output,) = LLM(model).generate([prompt], params, use_tqdm=False)
    print(prompt + output.outputs[0].text)
