"""Reads preprocessor_config.json: what a model that hears wants made of a recording."""

from pathlib import Path

from pellucid.audio import SoundConfig
from pellucid.errors import ConfigError
from pellucid.models.json_file import read_json
from pellucid.models.published import PublishedConfig
from pellucid.models.published_picture import FILE

# What the published extractor also can, and each value that leaves it out.
NOT_DONE: dict[str, tuple[object, ...]] = {"do_normalize": (False,), "dither": (0, 0.0)}


def read_sound_config(folder: Path, num_mels: int, num_frames: int) -> SoundConfig:
    """What the folder's preprocessor_config.json says; without one, Whisper's own settings.

    `num_mels` and `num_frames` are what config.json reads. Raises ConfigError naming the field that is wrong.
    """
    path = folder / FILE
    published = PublishedConfig(read_json(path) if path.exists() else {}, str(path), "whisper")
    kind = published.get("feature_extractor_type", str, "WhisperFeatureExtractor")
    if kind != "WhisperFeatureExtractor":
        raise ConfigError(f"{path}: `feature_extractor_type` is {kind!r}; known is WhisperFeatureExtractor")
    for name, neutral in NOT_DONE.items():
        value = published.fields.get(name)
        if value is not None and value not in neutral:
            raise ConfigError(f"{path}: `{name}` is {value!r}, which Pellucid does not do")
    rate, hop = published.size("sampling_rate", 16000), published.size("hop_length", 160)
    seconds = published.optional("chunk_length", int)
    config = SoundConfig(
        sampling_rate=rate,
        num_mels=published.size("feature_size", num_mels),
        hop_length=hop,
        n_fft=published.size("n_fft", 400),
        num_samples=num_frames * hop if seconds is None else published.size("chunk_length") * rate,
        padding_value=published.get("padding_value", float, 0.0),
    )
    gives = (config.num_samples // config.hop_length, config.num_mels)
    if gives != (num_frames, num_mels):
        raise ConfigError(
            f"{path}: makes {gives[0]} frames of {gives[1]} bands, and config.json reads {num_frames} of "
            f"{num_mels}; one of the two belongs to another model"
        )
    return config
