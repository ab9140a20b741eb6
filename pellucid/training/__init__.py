"""Training from scratch and fine-tuning, to be read."""

from pellucid.training.checkpoint import publish
from pellucid.training.data import Batch, Documents, Windows
from pellucid.training.loop import TrainConfig, train
from pellucid.training.loss import NextToken
from pellucid.training.optim import initialise

__all__ = ["Batch", "Documents", "NextToken", "TrainConfig", "Windows", "initialise", "publish", "train"]
