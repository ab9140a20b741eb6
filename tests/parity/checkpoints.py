"""Small random checkpoints, made and saved by transformers, in which the context decides every token."""

import math
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def spread(model: PreTrainedModel, seed: int) -> None:
    """Random weights wide enough that attention is sharp and no logit leads for every context alike.

    Norm weights, which are 1 or (stored as a distance from it) 0 in a fresh model, keep their middle.
    """
    generator = torch.Generator().manual_seed(seed)
    # where the table is also the head, a wide one would make every token repeat itself
    tied = model.config.tie_word_embeddings
    table = 0.4 / getattr(model.get_input_embeddings(), "scalar_embed_scale", 1.0) if tied else 1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name or "ln_" in name:
                parameter.add_(0.2 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            elif "embed" in name or "wte" in name or "wpe" in name:
                parameter.copy_(table * noise)
            else:
                fan_in = parameter.shape[0 if "c_" in name else -1]
                parameter.copy_(2.2 * noise / math.sqrt(fan_in))


def make(model_type: str, fields: dict[str, Any], seed: int = 0) -> PreTrainedModel:
    """A model of transformers' own class with random weights, in evaluation mode and float32."""
    config = AutoConfig.for_model(model_type, **fields)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers advises on configs; these are meant as they are
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager", dtype=torch.float32)
    spread(model, seed)
    model.generation_config.eos_token_id = None  # greedy text runs its full length
    return model.eval()


def save(model: PreTrainedModel, folder: Path) -> Path:
    """What `save_pretrained` writes: config.json and model.safetensors."""
    model.save_pretrained(folder)
    return folder


def prompt(length: int, vocab_size: int, seed: int = 0) -> list[int]:
    """Random ids of the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, (length,), generator=generator).tolist()


@torch.no_grad()
def greedy(model: PreTrainedModel, ids: list[int], count: int) -> list[int]:
    """What `generate` adds to a prompt when the best token is taken each time."""
    made = model.generate(torch.tensor([ids]), max_new_tokens=count, do_sample=False, pad_token_id=0)
    return made[0, len(ids) :].tolist()
