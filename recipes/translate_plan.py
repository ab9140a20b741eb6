"""What the translator and the LSTM beside it are trained by: the same batches, steps and rates."""

import argparse
from pathlib import Path

from pellucid.device import half_precision, resolve_device
from pellucid.training import TrainConfig
from pellucid.training.optim import adamw, muon, plateau
from recipes.recipe_arguments import positive

OPTIMIZERS = {"adamw": adamw, "muon": muon}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The options of both recipes. The defaults are for two CPU cores."""
    parser.add_argument("pairs", type=Path, help="fra-eng.zip, or the fra.txt in it")
    parser.add_argument("--steps", type=positive, default=6500)
    parser.add_argument(
        "--decay", type=positive, default=1500, help="the last steps, while the rate falls to 0"
    )
    parser.add_argument("--tokens", type=positive, default=2500, help="tokens a step, sources and targets")
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--vocab", type=positive, default=4000)
    parser.add_argument("--width", type=positive, default=256)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="muon")
    parser.add_argument(
        "--float32", action="store_true", help="no products in bfloat16, even where they are faster"
    )
    parser.add_argument("--seed", type=int, default=0)


def plan(args: argparse.Namespace) -> TrainConfig:
    """How to train by these settings."""
    return TrainConfig(
        steps=args.steps,
        lr=args.lr,
        schedule=plateau(args.steps, warmup=200, decay=args.decay),
        optimizer=OPTIMIZERS[args.optimizer],
        weight_decay=0.05,
        betas=(0.9, 0.98),
        average=0.998,
        save_every=100,
        evaluate_every=250,
        autocast=None if args.float32 else half_precision(resolve_device("auto")),
        seed=args.seed,
    )
