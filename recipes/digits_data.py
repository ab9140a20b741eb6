"""The digits that `digits` learns from, moved about, and those that it is measured on.

Letters: N pictures, C channels, Y rows, X columns.
"""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.training import Labelled

SIDE = 8


class Moved:
    """Batches of digits, each turned, sized, slanted and moved a little, another way every time."""

    def __init__(self, pixels_NCYX: Tensor, labels_N: Tensor, per_step: int, tokens: int, seed: int) -> None:
        self.pixels_NCYX, self.labels_N = pixels_NCYX, labels_N
        self.per_step, self.tokens, self.seed = per_step, tokens, seed

    def parts(self, step: int, count: int) -> list[Labelled]:
        rng = np.random.default_rng((self.seed, step))
        chosen = torch.from_numpy(rng.integers(0, len(self.labels_N), self.per_step))
        pixels_NCYX = moved(self.pixels_NCYX[chosen], rng)
        rows = [slice(part, None, count) for part in range(count)]
        return [labelled(pixels_NCYX[r], self.labels_N[chosen][r], self.tokens) for r in rows]


def moved(pixels_NCYX: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures seen through a random affine map each; what comes in from outside is background."""
    N = len(pixels_NCYX)
    turn, slant = rng.normal(0, 0.1, (2, N))
    height, width = rng.uniform(0.9, 1.2, (2, N))  # above 1 the digit becomes smaller
    across, down = rng.normal(0, 0.1, (2, N))
    rows = [
        [width * np.cos(turn), slant - np.sin(turn), across],
        [np.sin(turn), height * np.cos(turn), down],
    ]
    maps = torch.from_numpy(np.stack([np.stack(row, -1) for row in rows], 1).astype(np.float32))
    grid = F.affine_grid(maps, list(pixels_NCYX.shape), align_corners=False)
    return F.grid_sample(pixels_NCYX + 1, grid, align_corners=False) - 1  # the background is -1


def labelled(pixels_NCYX: Tensor, labels_N: Tensor, tokens: int) -> Labelled:
    """A batch of pictures, each of so many tokens."""
    return Labelled(pixels_NCYX, labels_N, (tokens,) * len(labels_N))


def digits(choosing: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pictures (0 to 255) and labels to learn from, and those to be measured on: a fifth of the digits, or to
    choose settings by, a fifth of the others."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pictures, labels = load_digits(return_X_y=True)
    pictures = np.round(pictures.reshape(-1, SIDE, SIDE) * 255 / 16).astype(np.uint8)
    for _ in range(1 + choosing):
        parts = train_test_split(pictures, labels, test_size=0.2, stratify=labels, random_state=0)
        pictures, rest, labels, rest_labels = parts
    return [(pictures, labels), (rest, rest_labels)]


def mnist(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's test pictures as published, 28 × 28, and their labels."""
    images = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pictures = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    return pictures, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
