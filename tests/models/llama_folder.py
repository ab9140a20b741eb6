"""Writes a tiny Llama checkpoint folder, whole or with any one thing wrong."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

CONFIG: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 48,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}


def llama_tensors(config: Mapping[str, Any] = CONFIG, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the published names, in the order a checkpoint has them."""
    D, F, V = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    KV = D // config["num_attention_heads"] * config["num_key_value_heads"]
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.3

    tensors = {"model.embed_tokens.weight": random(V, D)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        tensors |= {
            f"{at}.input_layernorm.weight": 1 + random(D),
            f"{at}.self_attn.q_proj.weight": random(D, D),
            f"{at}.self_attn.k_proj.weight": random(KV, D),
            f"{at}.self_attn.v_proj.weight": random(KV, D),
            f"{at}.self_attn.o_proj.weight": random(D, D),
            f"{at}.post_attention_layernorm.weight": 1 + random(D),
            f"{at}.mlp.gate_proj.weight": random(F, D),
            f"{at}.mlp.up_proj.weight": random(F, D),
            f"{at}.mlp.down_proj.weight": random(D, F),
        }
    return tensors | {"model.norm.weight": 1 + random(D), "lm_head.weight": random(V, D)}


def write_config(folder: Path, **changed: Any) -> None:
    """config.json; a field changed to `...` is left out."""
    fields = {name: value for name, value in (CONFIG | changed).items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(fields))


def write_llama(
    folder: Path, tensors: Mapping[str, Tensor] | None = None, *, shards: int = 1, **changed: Any
) -> Path:
    """A checkpoint folder: config.json, and the weights in one file or in several with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, **changed)
    tensors = dict(llama_tensors() if tensors is None else tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return folder
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::shards]}
        save_file(part, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder
