"""Classes of pictures, with the scores the checkpoint was published to give.

Letters: N pictures, V labels.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pellucid.errors import ConfigError, RequestError
from pellucid.images import Picture, pixels
from pellucid.kernels import Kernels
from pellucid.models.published_picture import read_picture_config
from pellucid.models.vision import Vision
from pellucid.tasks.labelling import labelled, scores
from pellucid.tasks.outputs import ClassificationRequestOutput

BATCH_PICTURES = 16
"""How many pictures run together: their pixels and activations are all that is held at a time."""


class PictureReader:
    """Makes of a picture what a vision model reads, as its folder says."""

    def __init__(self, model: Vision, folder: Path) -> None:
        """Raises ConfigError where the folder's preprocessing is another model's."""
        self.pictures = read_picture_config(folder)
        reads = model.config.input
        gives = self.pictures.crop or self.pictures.size
        if self.pictures.channels != reads.channels or (gives and gives != reads.image_size):
            raise ConfigError(
                f"{folder}: preprocessor_config.json makes pictures of {self.pictures.channels} channels and "
                f"{gives} pixels, and config.json reads {reads.channels} and {reads.image_size}; one of "
                "the two belongs to another model"
            )

    def read(self, picture: Picture) -> Tensor:
        """The picture's pixels `[C, Y, X]`. Raises RequestError for one that cannot be read."""
        return pixels(picture, self.pictures)


class PictureClassifier:
    """A vision model that was published with a head for classes."""

    def __init__(self, model: Vision, reader: PictureReader, kernels: Kernels) -> None:
        if model.config.head is None:
            raise RequestError(
                f"this {model.config.model_type} has no head; classify needs a checkpoint published for "
                "image classification"
            )
        self.model, self.reader = model, reader
        self.kernels, self.head = kernels, model.config.head

    def classify(self, pictures: Picture | Sequence[Picture]) -> list[ClassificationRequestOutput]:
        """The class of each picture, in the order given: files by path, their bytes, or Pillow's images.

        Raises RequestError for one that cannot be read, before any is classified.
        """
        several = as_pictures(pictures)
        prepared = [self.reader.read(picture) for picture in several]
        found: list[Tensor] = []
        for start in range(0, len(prepared), BATCH_PICTURES):
            found += self.scores(torch.stack(prepared[start : start + BATCH_PICTURES]))
        return [
            ClassificationRequestOutput(str(i), named(picture), [], labelled(scores_V, self.head))
            for i, (picture, scores_V) in enumerate(zip(several, found, strict=True))
        ]

    @torch.inference_mode()
    def scores(self, pixels_NCYX: Tensor) -> Tensor:
        """The scores `[N, V]` of pictures that are pixels already."""
        weight = self.model.input.patch_proj.weight
        ctx = self.model.context(len(pixels_NCYX), self.kernels)
        return scores(self.model(pixels_NCYX.to(weight.device, weight.dtype), ctx), self.head)


def as_pictures(given: Picture | Sequence[Picture]) -> Sequence[Picture]:
    """One picture as a list of one."""
    return [given] if isinstance(given, str | bytes | Path | Image.Image) else list(given)  # type: ignore[arg-type]  # what is no picture is several


def named(picture: Picture) -> str | None:
    """A picture's file, if it came from one."""
    return None if isinstance(picture, bytes | Image.Image) else str(picture)
