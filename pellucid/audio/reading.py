"""A sound in any form a caller may have it, as mono samples of one rate, read safely.

Letters: N samples, C channels.
"""

import io
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pellucid.audio.resampling import resample
from pellucid.audio.wav import DamagedWav, read_wav
from pellucid.errors import RequestError

Samples = NDArray[Any] | Tensor | Sequence[float]
"""Floats from -1 to 1, or whole numbers of a WAV file's types (8, 16 or 32 bits), in one axis, or two with
the channels."""
Sound = str | os.PathLike[str] | bytes | Samples | tuple[Samples, int] | Mapping[str, Any]
"""A file's path, a file's bytes, or samples: alone where they have the model's rate, as `(samples, rate)`, or
as `{"array": samples, "sampling_rate": rate}`."""

RATES = (1_000, 768_000)
"""Sampling rates that sound is recorded at, from the lowest to the highest."""
MAX_SECONDS = 6 * 3600
"""A longer recording is refused before it is unpacked."""
MAX_CHANNELS = 64
MAX_BYTES = 2**32


def read_sound(sound: Sound, sampling_rate: int) -> Tensor:
    """The sound's samples `[N]`, float32, the mean of its channels, at `sampling_rate`.

    Raises RequestError for a file that is missing, damaged, no sound, or too long, and for samples that are
    no numbers.
    """
    what = named(sound) or "the sound"
    samples_NC, rate = _opened(sound, what, sampling_rate)
    _check_shape(what, len(samples_NC), samples_NC.shape[1], rate)
    mono_N = samples_NC.mean(axis=1, dtype=np.float32)
    if not np.isfinite(mono_N).all():
        at = int(np.argmin(np.isfinite(mono_N)))
        raise RequestError(f"{what}: sample {at} is no finite number; the file or what made it is damaged")
    return resample(torch.from_numpy(mono_N), rate, sampling_rate)


def named(sound: Sound) -> str | None:
    """A sound's file, if it came from one."""
    return os.fspath(sound) if isinstance(sound, str | os.PathLike) else None


def as_sounds(given: Sound | Sequence[Sound]) -> list[Sound]:
    """One sound as a list of one. A list of numbers, and a pair of samples and rate, are one."""
    if isinstance(given, list | tuple) and given and not _is_number(given[0]):
        is_pair = isinstance(given, tuple) and len(given) == 2 and _is_number(given[1])
        return [given] if is_pair else list(given)
    if isinstance(given, list | tuple) and not given:
        return []
    return [given]  # type: ignore[list-item]  # what is no sound is refused when it is read


def _opened(sound: Sound, what: str, sampling_rate: int) -> tuple[NDArray[Any], int]:
    """Samples `[N, C]` and their rate."""
    if isinstance(sound, str | os.PathLike):
        return _from_bytes(_bytes_of(Path(sound), what), what)
    if isinstance(sound, bytes | bytearray | memoryview):
        return _from_bytes(bytes(sound), what)
    if isinstance(sound, Mapping):
        if "array" not in sound or "sampling_rate" not in sound:
            raise RequestError(
                f"{what}: a mapping has the keys 'array' and 'sampling_rate'; it has {[*sound]}"
            )
        sound = (sound["array"], sound["sampling_rate"])
    samples: Any = sound
    rate: Any = sampling_rate
    if isinstance(sound, tuple) and len(sound) == 2 and not _is_number(sound[0]):
        samples, rate = sound
    if not _is_number(rate) or rate != rate // 1:
        raise RequestError(f"{what}: its rate is {rate!r}; give samples a second, as a whole number")
    return _from_array(samples, what), int(rate)


def _bytes_of(path: Path, what: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise RequestError(f"{what}: is no file")
        if path.exists() and path.stat().st_size > MAX_BYTES:
            raise RequestError(f"{what}: is larger than a WAV file can be; cut it into parts")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RequestError(f"{what}: there is no such file") from error
    except OSError as error:
        raise RequestError(f"{what}: cannot be read ({error.strerror})") from error
    except RequestError:
        raise
    except ValueError as error:  # a null byte in the name
        raise RequestError(f"{what!r}: cannot be a file's name ({error})") from error


def _from_bytes(data: bytes, what: str) -> tuple[NDArray[Any], int]:
    if not data:
        raise RequestError(f"{what}: is empty")
    try:
        found = read_wav(data, partial(_check_shape, what))
    except DamagedWav as error:
        raise RequestError(f"{what}: is a damaged WAV file: {error}; get it again") from error
    return found if found is not None else _with_soundfile(data, what)


def _with_soundfile(data: bytes, what: str) -> tuple[NDArray[Any], int]:
    """FLAC, Ogg, MP3 and WAV's rarer forms."""
    try:
        import soundfile
    except ImportError as error:
        raise RequestError(
            f"{what}: is no WAV file of plain samples, and the other formats take the soundfile package: "
            "pip install 'pellucid[audio]'"
        ) from error
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _check_shape(what, file.frames, file.channels, file.samplerate)
            samples = file.read(dtype="float32", always_2d=True)
            told, rate = file.frames, int(file.samplerate)
    except RequestError:
        raise
    except Exception as error:  # libsndfile's errors, and what its formats raise at damaged data
        raise RequestError(f"{what}: is no sound in a known format, or damaged ({error})") from error
    if len(samples) < told:
        raise RequestError(
            f"{what}: says it has {told:,} samples, and {len(samples):,} are there; get it again"
        )
    return samples, rate


def _from_array(samples: Any, what: str) -> NDArray[Any]:
    """`[N, C]`; of two axes the shorter one is the channels'."""
    try:
        array = samples.detach().cpu().numpy() if isinstance(samples, Tensor) else np.asarray(samples)
    except (ValueError, TypeError) as error:
        raise RequestError(f"{what}: a {type(samples).__name__} holds no samples ({error})") from error
    if array.dtype.kind not in "fiu" or array.ndim not in (1, 2):
        raise RequestError(
            f"{what}: a {type(samples).__name__} of {array.dtype} and shape {list(array.shape)} was given; a "
            "sound is a file's path, its bytes, or one or two axes of numbers"
        )
    if array.dtype == np.uint8:
        array = (array.astype(np.float32) - 128) / 128
    elif array.dtype in (np.int8, np.int16, np.int32):
        array = array / 2.0 ** (8 * array.dtype.itemsize - 1)
    elif array.dtype.kind != "f":
        raise RequestError(
            f"{what}: whole numbers of {array.dtype} do not say how loud the loudest is; give floats from -1 "
            "to 1, or an array of uint8, int8, int16 or int32"
        )
    if array.ndim == 1:
        return array[:, None]
    return array.T if array.shape[0] < array.shape[1] else array


def _check_shape(what: str, num_samples: int, channels: int, rate: int) -> None:
    if not RATES[0] <= rate <= RATES[1]:
        raise RequestError(
            f"{what}: says it has {rate:,} samples a second; sound has {RATES[0]:,} to {RATES[1]:,}"
        )
    if num_samples < 1 or channels < 1:
        raise RequestError(f"{what}: holds no samples")
    if channels > MAX_CHANNELS:
        raise RequestError(f"{what}: says it has {channels} channels; {MAX_CHANNELS} is all that is read")
    if num_samples > MAX_SECONDS * rate:
        raise RequestError(
            f"{what}: lasts {num_samples / rate / 3600:.1f} hours, and {MAX_SECONDS // 3600} is all that is "
            "read; cut it into parts"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)
