"""Training from scratch and fine-tuning, to be read."""

from pellucid.training.data import Batch, Documents, Labelled, Windows
from pellucid.training.loop import TrainConfig, train
from pellucid.training.loss import NextToken, OneClass
from pellucid.training.optim import initialise

__all__ = [
    "Batch",
    "Documents",
    "Labelled",
    "NextToken",
    "OneClass",
    "TrainConfig",
    "Windows",
    "initialise",
    "train",
]
