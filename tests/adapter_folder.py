"""Writes LoRA adapters: for the tiny Llama of llama_folder.py, whole or with any one thing wrong; for the small
checkpoint of small_checkpoint.py."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

FIELDS = {
    "peft_type": "LORA",
    "r": 2,
    "lora_alpha": 4,
    "target_modules": ["q_proj", "down_proj"],
    "base_model_name_or_path": "someone/tiny-llama",
    "bias": "none",
}
SHAPES = {"self_attn.q_proj": (16, 16), "mlp.down_proj": (24, 16)}


def name_of(module, factor, layer=0):
    return f"base_model.model.model.layers.{layer}.{module}.lora_{factor}.weight"


def adapter_tensors(rank=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(2):
        for module, (inputs, outputs) in SHAPES.items():
            tensors[name_of(module, "A", layer)] = torch.randn(rank, inputs, generator=generator)
            tensors[name_of(module, "B", layer)] = torch.randn(outputs, rank, generator=generator)
    return tensors


def write_adapter(folder: Path, tensors=None, **changed) -> Path:
    """The folder; a field changed to `...` is left out, and so is a tensor changed to None."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {name: value for name, value in (FIELDS | changed).items() if value is not ...}
    (folder / "adapter_config.json").write_text(json.dumps(fields))
    there = {
        name: tensor for name, tensor in (adapter_tensors() | (tensors or {})).items() if tensor is not None
    }
    save_file(there, folder / "adapter_model.safetensors")
    return folder


def write_small_adapter(folder: Path, seed: int) -> Path:
    """An adapter of the small checkpoint's value projections."""
    generator = torch.Generator().manual_seed(seed)
    write_adapter(folder, target_modules=["v_proj"], r=3)
    tensors = {}
    for layer in range(2):
        tensors[name_of("self_attn.v_proj", "A", layer)] = torch.randn(3, 48, generator=generator)
        tensors[name_of("self_attn.v_proj", "B", layer)] = torch.randn(24, 3, generator=generator)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder
