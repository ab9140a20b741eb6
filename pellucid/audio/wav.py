"""Reads WAV files that hold plain numbers: whole ones of 8 to 32 bits, floats of 32 or 64.

The format: "Multimedia Programming Interface and Data Specifications 1.0" (1991), and its extensible form.
Letters: N samples, C channels.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
UNTOLD = 0x7FFF0000
"""A size from here on, or none, means that the writer did not know: the sound goes on to the file's end."""

Samples = NDArray[np.float32]
Check = Callable[[int, int, int], None]


class DamagedWav(ValueError):
    """What is wrong with a file, to be put behind its name."""


@dataclass(frozen=True)
class WavFormat:
    """What the `fmt ` chunk says."""

    tag: int
    channels: int
    rate: int
    bits: int

    @property
    def is_plain(self) -> bool:
        """Whether the samples are plain numbers that we read."""
        return (self.tag, self.bits) in {(PCM, 8), (PCM, 16), (PCM, 24), (PCM, 32), (FLOAT, 32), (FLOAT, 64)}


def read_wav(data: bytes, check: Check) -> tuple[Samples, int] | None:
    """The samples `[N, C]`, whole numbers scaled to -1 to 1, and their rate; None for what is no such WAV.

    `check(N, C, rate)` may refuse a recording before it is unpacked. Raises DamagedWav.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    found: WavFormat | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if name == b"fmt ":
            found = _read_format(data[at : at + size])
            if not found.is_plain:
                return None
        if name == b"data":
            if found is None:
                raise DamagedWav("its samples come before it says what they are")
            size = _size_there(data, at, size)
            frame = found.channels * found.bits // 8
            check(size // frame, found.channels, found.rate)
            values = np.frombuffer(data, np.uint8, count=size // frame * frame, offset=at)
            return _numbers(values, found).reshape(-1, found.channels), found.rate
        at += size + size % 2
    raise DamagedWav("it ends before its samples begin")


def _read_format(chunk: bytes) -> WavFormat:
    if len(chunk) < 16:
        raise DamagedWav("it does not say what its samples are")
    tag, channels, rate, _, frame_size, bits = struct.unpack("<HHIIHH", chunk[:16])
    if tag == EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack("<H", chunk[24:26])
    found = WavFormat(tag, channels, rate, bits)
    if not channels or (found.is_plain and frame_size != channels * bits // 8):
        raise DamagedWav(f"it says that {channels} channels of {bits} bits take {frame_size} bytes")
    return found


def _size_there(data: bytes, at: int, size: int) -> int:
    """How many bytes of sound there are from `at`, where `size` of them are told."""
    there = len(data) - at
    if size >= UNTOLD or (not size and not _is_chunks(data, at)):
        return there
    if size > there:
        raise DamagedWav(f"it says that it has {size:,} bytes of sound, and {there:,} are there")
    return size


def _is_chunks(data: bytes, at: int) -> bool:
    """Whether what stands from `at` to the end are chunks, and no sound."""
    while at + 8 <= len(data) and data[at : at + 4].decode("latin-1").isprintable():
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        at += at % 2
    return at in (len(data), len(data) + 1)  # the last one's padding may be missing


def _numbers(values: NDArray[np.uint8], found: WavFormat) -> Samples:
    if found.tag == FLOAT:
        numbers: NDArray[Any] = values.view(f"<f{found.bits // 8}")
    elif found.bits == 8:
        numbers = (values.astype(np.float32) - 128) / 128
    elif found.bits == 24:
        # a byte below makes 32 bits of them
        wide = np.zeros((len(values) // 3, 4), np.uint8)
        wide[:, 1:] = values.reshape(-1, 3)
        numbers = wide.reshape(-1).view("<i4") / 2.0**31
    else:
        numbers = values.view(f"<i{found.bits // 8}") / 2.0 ** (found.bits - 1)
    return numbers.astype(np.float32)
