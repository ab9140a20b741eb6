"""A sequence-to-sequence run small enough for a test, as a script: `python tiny_pairs.py FOLDER STEPS`."""

import sys
from pathlib import Path

import numpy as np
import torch

from pellucid.kernels import torch_ops
from pellucid.models.registry import read_config
from pellucid.training import TrainConfig, initialise, train
from pellucid.training.loss import TargetOfSource
from pellucid.training.optim import muon, plateau
from pellucid.training.pairs import Pairs, Ragged

FIELDS = {
    "model_type": "transformer",
    "vocab_size": 16,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 0,
    "decoder_start_token_id": 1,
}


def tiny_translator():
    family, config = read_config(FIELDS)
    model = family.build(config)
    initialise(model, seed=0, std=0.25)
    return model


def tiny_pairs(shares=None, seed=0):
    """Each target is its source backwards: learnable."""
    rng = np.random.default_rng(7)
    texts = [rng.integers(2, 16, rng.integers(2, 7)).tolist() for _ in range(200)]
    sources, targets = [[*text, 0] for text in texts], [[1, *text[::-1], 0] for text in texts]
    return Pairs(Ragged(sources), Ragged(targets), np.array(shares or [1.0] * 200), 64, seed)


def run(folder, steps):
    torch.set_num_threads(1)
    model = tiny_translator()
    task = TargetOfSource(torch_ops, dropout=0.05, label_smoothing=0.1)
    settings = TrainConfig(
        steps=steps,
        lr=1e-2,
        optimizer=muon,
        schedule=plateau(steps, 10, 20),
        average=0.9,
        save_every=5,
        evaluate_every=10,
    )
    at = train(model, tiny_pairs(), task, settings, Path(folder), held_out=tiny_pairs(seed=1).all()[:2])
    return model, at


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
