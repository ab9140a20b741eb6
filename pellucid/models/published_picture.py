"""Reads preprocessor_config.json: what a vision model wants done to a picture."""

from pathlib import Path

from PIL import Image

from pellucid.errors import ConfigError
from pellucid.images import PictureConfig
from pellucid.models.json_file import read_json
from pellucid.models.published import PublishedConfig

FILE = "preprocessor_config.json"
HALF, IMAGENET_MEAN, IMAGENET_STD = [0.5] * 3, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# What each processor does where the file is silent: size, crop, resampling.
DEFAULTS: dict[str, tuple[int, int | None, int]] = {
    "ViT": (224, None, Image.Resampling.BILINEAR),
    "DeiT": (256, 224, Image.Resampling.BICUBIC),
}


def read_picture_config(folder: Path) -> PictureConfig:
    """What the folder's preprocessor_config.json says. Raises ConfigError naming the field that is wrong."""
    path = folder / FILE
    if not path.exists():
        raise ConfigError(f"{folder}: no {FILE}, so nothing says how a picture becomes pixels for this model")
    fields = PublishedConfig(read_json(path), str(path))
    kind = fields.get("image_processor_type", str, fields.get("feature_extractor_type", str, "ViT"))
    name = next((name for name in DEFAULTS if kind.startswith(name)), None)
    if name is None:
        known = ", ".join(f"{name}ImageProcessor" for name in DEFAULTS)
        raise ConfigError(f"{path}: `image_processor_type` is {kind!r}; known are {known}")
    if fields.get("do_pad", bool, False):
        raise ConfigError(f"{path}: `do_pad` is true, which Pellucid does not do")
    size, default_crop, resample = DEFAULTS[name]
    crops = fields.get("do_center_crop", bool, default_crop is not None)
    rescales = fields.get("do_rescale", bool, True)
    resize = fields.get("do_resize", bool, True)
    edge = _shortest_edge(fields) if resize else None
    return PictureConfig(
        size=_sides(fields, "size", size) if resize and edge is None else None,
        shortest_edge=edge,
        resample=_resampling(fields, resample),
        crop=_sides(fields, "crop_size", default_crop or 224) if crops else None,
        rescale=fields.get("rescale_factor", float, 1 / 255) if rescales else None,
        mean=tuple(fields.get("image_mean", list, HALF)),
        std=tuple(fields.get("image_std", list, HALF)),
        normalize=fields.get("do_normalize", bool, True),
    )


def _shortest_edge(fields: PublishedConfig) -> int | None:
    value = fields.fields.get("size")
    if not isinstance(value, dict) or "shortest_edge" not in value:
        return None
    if value.get("longest_edge") is not None:
        raise ConfigError(f"{fields.where}: `size` has a `longest_edge`, which Pellucid does not keep to")
    return fields.inside("size").size("shortest_edge")


def _sides(fields: PublishedConfig, name: str, default: int) -> tuple[int, int]:
    """(height, width), published as a number, a pair of names, or a list."""
    value = fields.fields.get(name)
    if isinstance(value, dict):
        inside = fields.inside(name)
        return inside.size("height"), inside.size("width")
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value):
        return value[0], value[1]
    side = fields.size(name, default)
    return side, side


def _resampling(fields: PublishedConfig, default: int) -> Image.Resampling:
    value = fields.get("resample", int, default)
    try:
        return Image.Resampling(value)
    except ValueError as error:
        raise ConfigError(f"{fields.where}: `resample` is {value}; Pillow's filters are 0 to 5") from error
