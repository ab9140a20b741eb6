"""Sounds as files of every kind, and samples to put into them."""

import io
import struct

import numpy as np
import soundfile


def tone(seconds: float = 1.0, rate: int = 16000, hertz: float = 440.0) -> np.ndarray:
    """A sine of half the full height, `[N]`."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


def as_file(samples: np.ndarray, rate: int = 16000, format: str = "WAV", subtype: str | None = None) -> bytes:
    """A file as libsndfile writes it."""
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format=format, subtype=subtype)
    return out.getvalue()


def wav(
    data: bytes,
    *,
    tag: int = 1,
    channels: int = 1,
    rate: int = 16000,
    bits: int = 16,
    size: int | None = None,
    before: bytes = b"",
) -> bytes:
    """A WAV file by hand, with any one thing wrong; `before` are chunks before the samples."""
    form = struct.pack(
        "<HHIIHH", tag, channels, rate, rate * channels * bits // 8 % 2**32, channels * bits // 8, bits
    )
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + before
    body += b"data" + struct.pack("<I", len(data) if size is None else size) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body
