"""Writes a checkpoint of a published model's real shape with random weights, in the published format.

`python benchmarks/make_checkpoint.py phi-3-mini FOLDER [--tokenizer FOLDER]`: speed and memory depend on the
shape alone, and no download is needed. The tokenizer folder's files are copied beside the weights.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from pellucid.models.registry import read_config
from pellucid.models.weights import targets

SHAPES = {
    "llama-135m": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "bos_token_id": 0,
        "eos_token_id": 0,
    },
    "llama-1.1b": {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": 32000,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
    "phi-3-mini": {
        "model_type": "phi3",
        "architectures": ["Phi3ForCausalLM"],
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "vocab_size": 32064,
        "max_position_embeddings": 4096,
        "original_max_position_embeddings": 4096,
        "sliding_window": 2047,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 32000,
        "pad_token_id": 32000,
    },
    "t5-small": {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_decoder_layers": 6,
        "num_heads": 8,
        "relative_attention_num_buckets": 32,
        "feed_forward_proj": "relu",
        "layer_norm_epsilon": 1e-6,
        "vocab_size": 32128,
        "n_positions": 512,
        "tie_word_embeddings": True,
        "decoder_start_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 0,
    },
}
SHARD_BYTES = 2 * 2**30


def published_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Published tensor name → shape, read off the body that the config describes."""
    family, model_config = read_config(config)
    with torch.device("meta"):
        body = family.build(model_config)
    parameters = dict(body.named_parameters())
    return {
        name: (target.stop - target.start, *parameters[target.parameter].shape[1:])
        for name, target in targets(body, family).items()
    }


def write_checkpoint(shape: str, folder: Path, dtype: torch.dtype, tokenizer: Path | None) -> None:
    """Shards of at most 2 GiB, an index, the config, and the tokenizer's files."""
    config = SHAPES[shape] | {"torch_dtype": str(dtype).removeprefix("torch.")}
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    shards: list[dict[str, torch.Tensor]] = [{}]
    weight_map, size, total = {}, 0, 0
    for name, dims in published_shapes(config).items():
        value = torch.empty(dims, dtype=dtype)
        if len(dims) == 1:
            value.fill_(0.0 if name.endswith("bias") else 1.0)
        else:
            value.normal_(0, dims[-1] ** -0.5, generator=generator)
        if size + value.nbytes > SHARD_BYTES:
            _write(shards, folder)
            shards.append({})
            size = 0
        shards[-1][name] = value
        weight_map[name] = len(shards)
        size += value.nbytes
        total += value.nbytes
    _write(shards, folder)
    count = len(shards)
    for number in range(1, count + 1):
        (folder / f"part-{number}").rename(folder / _shard(number, count))
    index = {
        "metadata": {"total_size": total},
        "weight_map": {n: _shard(i, count) for n, i in weight_map.items()},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    for file in tokenizer.iterdir() if tokenizer else ():
        shutil.copy(file, folder / file.name)


def _shard(number: int, count: int) -> str:
    return f"model-{number:05d}-of-{count:05d}.safetensors"


def _write(shards: list[dict[str, torch.Tensor]], folder: Path) -> None:
    save_file(shards[-1], folder / f"part-{len(shards)}", metadata={"format": "pt"})
    shards[-1].clear()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--dtype", choices=["bfloat16", "float32", "float16"], default="bfloat16")
    given = parser.parse_args()
    write_checkpoint(given.shape, given.folder, getattr(torch, given.dtype), given.tokenizer)
    print(f"{given.shape}: wrote {given.folder}")


if __name__ == "__main__":
    main()
