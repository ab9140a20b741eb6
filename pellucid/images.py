"""From a picture to a pixel tensor: read safely, then resized, cropped, rescaled and normalised as published.

Letters: C channels, Y rows, X columns.
"""

import io
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pellucid.errors import RequestError

MAX_PIXELS = 64_000_000
"""A picture that claims more is refused before it is unpacked; 64 megapixels take 192 MB as RGB."""

Picture = str | os.PathLike[str] | bytes | Image.Image
"""A file's path, a file's bytes, or a picture that Pillow has opened."""


@dataclass(frozen=True, kw_only=True)
class PictureConfig:
    """What a checkpoint wants done to a picture, in this order; None leaves a step out."""

    size: tuple[int, int] | None
    """(height, width) to resize to."""
    shortest_edge: int | None = None
    """In place of `size`: the shorter side becomes this, and the picture keeps its shape."""
    resample: Image.Resampling = Image.Resampling.BILINEAR
    crop: tuple[int, int] | None = None
    """(height, width) of the middle that is cut out; black is put around a smaller picture."""
    rescale: float | None = 1 / 255
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    normalize: bool = True

    @property
    def channels(self) -> int:
        """3 for colour, 1 for grey."""
        return len(self.mean)


def pixels(picture: Picture, config: PictureConfig) -> Tensor:
    """The picture as the model reads it, `[C, Y, X]` float32.

    Raises RequestError for a file that is missing, damaged, no picture, or too large.
    """
    image = read_picture(picture).convert("L" if config.channels == 1 else "RGB")
    values_YXC = np.asarray(_resized(image, config))
    values_CYX = values_YXC[None] if values_YXC.ndim == 2 else values_YXC.transpose(2, 0, 1)
    if config.crop is not None:
        values_CYX = _middle(values_CYX, *config.crop)
    if config.rescale is not None:
        values_CYX = (values_CYX.astype(np.float64) * config.rescale).astype(np.float32)
    values_CYX = values_CYX.astype(np.float32)
    if config.normalize:
        mean, std = (np.array(v, dtype=np.float32)[:, None, None] for v in (config.mean, config.std))
        values_CYX = (values_CYX - mean) / std
    return torch.from_numpy(np.ascontiguousarray(values_CYX))


def read_picture(picture: Picture) -> Image.Image:
    """The picture upright and in 8 bits a channel (16 bits are scaled down). The first of several frames.

    Raises RequestError saying what is wrong.
    """
    image, what = _opened(picture)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise RequestError(
            f"{what}: says it has {width} × {height} pixels, and {MAX_PIXELS:,} is all that is unpacked; "
            "make it smaller first"
        )
    try:
        image.load()
        image = ImageOps.exif_transpose(image)
    except Exception as error:  # each format's decoder raises what it likes at damaged data
        raise RequestError(f"{what}: is damaged ({error}); get it again") from error
    if image.mode.startswith("I"):
        return _from_16_bits(image, what)
    if image.mode == "F":
        raise RequestError(f"{what}: holds floating-point pixels; save it with 8 or 16 bits a channel")
    return image


def _opened(picture: Picture) -> tuple[Image.Image, str]:
    """A picture of which only the header was read, and what to call it in messages."""
    if isinstance(picture, Image.Image):
        return picture, "the picture"
    if not isinstance(picture, str | bytes | os.PathLike):
        raise RequestError(
            f"a picture of type {type(picture).__name__} cannot be read; give a file's path, its bytes, or a "
            "PIL image"
        )
    what = "the picture" if isinstance(picture, bytes) else os.fspath(picture)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # we have a limit of our own
            return Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else Path(picture)), what
    except Image.DecompressionBombError as error:
        raise RequestError(f"{what}: would unpack to far too many pixels ({error})") from error
    except FileNotFoundError as error:
        raise RequestError(f"{what}: there is no such file") from error
    except UnidentifiedImageError as error:
        raise RequestError(f"{what}: is no picture in a known format, or damaged at its beginning") from error
    except Exception as error:  # each format's reader raises what it likes at damaged data
        raise RequestError(f"{what}: cannot be read as a picture ({error})") from error


def _from_16_bits(image: Image.Image, what: str) -> Image.Image:
    values_YX = np.asarray(image).astype(np.int64)
    if values_YX.min() < 0 or values_YX.max() > 65535:
        raise RequestError(f"{what}: holds pixels of more than 16 bits; save it with 8 or 16")
    return Image.fromarray(((values_YX * 255 + 32767) // 65535).astype(np.uint8))


def _resized(image: Image.Image, config: PictureConfig) -> Image.Image:
    if config.shortest_edge is not None:
        width, height = image.size
        short, long = sorted(image.size)
        other = int(config.shortest_edge * long / short)
        size = (other, config.shortest_edge) if width <= height else (config.shortest_edge, other)
    elif config.size is not None:
        size = config.size
    else:
        return image
    if size[0] * size[1] > MAX_PIXELS:
        raise RequestError(
            f"the picture of {image.width} × {image.height} pixels would have {size[1]} × {size[0]} once its "
            f"shorter side is {config.shortest_edge}; crop it first"
        )
    return image.resize((size[1], size[0]), config.resample)


def _middle(values_CYX: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, black where it is smaller than that."""
    _, Y, X = values_CYX.shape
    above, left = max(0, -(-(height - Y) // 2)), max(0, -(-(width - X) // 2))
    below, right = max(0, height - Y - above), max(0, width - X - left)
    padded = np.pad(values_CYX, ((0, 0), (above, below), (left, right)))
    top, first = (padded.shape[1] - height) // 2, (padded.shape[2] - width) // 2
    return padded[:, top : top + height, first : first + width]
