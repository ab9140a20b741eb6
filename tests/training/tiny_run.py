"""A training run small enough for a test, as a script: `python tiny_run.py FOLDER [parts] [steps]`."""

import sys
from pathlib import Path

import numpy as np
import torch

from pellucid.kernels import torch_ops
from pellucid.models.registry import read_config
from pellucid.training import Documents, NextToken, TrainConfig, initialise, train

FIELDS = {
    "model_type": "llama",
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}


def tiny_model(seed=0, **fields):
    family, config = read_config(FIELDS | fields)
    model = family.build(config)
    initialise(model, seed=seed)
    return model


def tiny_documents(count=200, seed=0, tokens_per_step=64):
    """Each document counts upward from a random number: learnable."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(4, 12, count)
    ids = np.concatenate([(rng.integers(32) + np.arange(n)) % 32 for n in lengths]).astype(np.int32)
    weights = rng.choice([0.5, 1.0], len(ids)).astype(np.float32)
    return Documents(ids, weights, np.concatenate([[0], lengths.cumsum()]), tokens_per_step, seed)


def run(folder, parts=1, steps=40, fields=None, documents=None, **changes):
    torch.set_num_threads(1)
    model = tiny_model(**fields or {})
    settings = {
        "lr": 1e-2,
        "average": 0.9,
        "save_every": 5,
        "evaluate_every": 10,
        "dropout": 0.1,
        "steps": steps,
        "parts": parts,
    } | changes
    dropout = settings.pop("dropout")
    held_out = tiny_documents(20, seed=1).parts(0, 1)
    task = NextToken(torch_ops, dropout=dropout, label_smoothing=0.05)
    source = tiny_documents(**documents or {})
    at = train(model, source, task, TrainConfig(**settings), Path(folder), held_out=held_out)
    return model, at


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
