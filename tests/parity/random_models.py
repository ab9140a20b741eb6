"""Small random checkpoints of bodies that transformers has, wide enough that every input matters."""

import math
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def spread(model: PreTrainedModel, seed: int) -> None:
    """Norms about their middle, tables of unit rows, products that keep the size of what they are given."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        learned = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        for name, parameter in learned:
            noise = torch.randn(parameter.shape, generator=generator)
            if "norm" in name.lower():
                parameter.add_(0.2 * noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise)
            elif "embed" in name or "shared" in name or "bias" in name:
                parameter.copy_(noise)
            else:
                parameter.copy_(1.2 * noise / math.sqrt(math.prod(parameter.shape[1:])))


def make(model_class: type[PreTrainedModel], fields: dict[str, Any], seed: int = 0) -> PreTrainedModel:
    """A model of the published class with random weights, in evaluation mode and float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # transformers advises on configs; these are meant as they are
        config = model_class.config_class(**fields)
        config._attn_implementation = "eager"
        torch.manual_seed(seed)
        model = model_class(config).float()
    spread(model, seed)
    return model.eval()


def save(model: PreTrainedModel, folder: Path) -> Path:
    """What `save_pretrained` writes: config.json and model.safetensors."""
    model.save_pretrained(folder)
    return folder


def ids(length: int, vocab_size: int, seed: int = 0) -> torch.Tensor:
    """Random ids of the vocabulary, none of the first four, where special tokens are."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(4, vocab_size, (length,), generator=generator)
