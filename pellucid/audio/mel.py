"""Log-mel frames of a recording, as Whisper's authors publish them (Radford et al. 2022, section 2.2).

Letters: N samples, F frames, B frequency bins, M mel bands.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

FLOOR = 1e-10
"""Less power than this counts as this much."""
RANGE = 8.0
"""How many powers of ten below the loudest a band may be; what is quieter counts as this."""
PIECE = 3000
"""How many frames are made at a time, so that a long recording's spectrum need not be held at once."""


@dataclass(frozen=True, kw_only=True)
class SoundConfig:
    """What a checkpoint wants made of a recording."""

    sampling_rate: int = 16000
    num_mels: int = 80
    hop_length: int = 160
    """Samples from one frame to the next."""
    n_fft: int = 400
    """Samples that a frame looks at."""
    num_samples: int = 480_000
    """How many the model hears at a time: thirty seconds."""
    padding_value: float = 0.0
    """What fills up a shorter recording."""

    @property
    def filters_BM(self) -> Tensor:
        """How much of each frequency each band hears."""
        return mel_filters(self.n_fft // 2 + 1, self.num_mels, self.sampling_rate)


def log_mel(samples_N: Tensor, config: SoundConfig) -> Tensor:
    """The frames `[F, M]` float32 of a recording, one for each whole hop; one that is shorter than what the
    model hears at a time is filled up.

    The power of each frame's spectrum under a Hann window, by mel bands, in powers of ten; no band lies more
    than 8 below the recording's loudest; then shifted and scaled to about -1 to 1.
    """
    if len(samples_N) < config.num_samples:
        missing = config.num_samples - len(samples_N)
        samples_N = functional.pad(samples_N, (0, missing), value=config.padding_value)
    half, hop = config.n_fft // 2, config.hop_length
    mirrored = functional.pad(samples_N.float()[None], (half, half), mode="reflect")[0]
    num_frames = len(samples_N) // hop
    pieces = [
        bands(mirrored[start * hop : (min(start + PIECE, num_frames) - 1) * hop + config.n_fft], config)
        for start in range(0, num_frames, PIECE)
    ]
    bands_FM = torch.cat(pieces)
    return (bands_FM.clamp_min(bands_FM.max() - RANGE) + 4.0) / 4.0


def bands(samples_N: Tensor, config: SoundConfig) -> Tensor:
    """The power in each band, in powers of ten, of every whole frame `[F, M]`."""
    window = torch.hann_window(config.n_fft)
    spectrum_BF = torch.stft(
        samples_N, config.n_fft, config.hop_length, window=window, center=False, return_complex=True
    )
    return (spectrum_BF.abs().square().T @ config.filters_BM).clamp_min(FLOOR).log10()


@lru_cache
def mel_filters(num_bins: int, num_mels: int, sampling_rate: int) -> Tensor:
    """Triangles over the frequencies `[B, M]`, their corners evenly spaced on the mel scale, each of area one
    (Slaney 1998, "Auditory Toolbox"), up to 8 kHz."""
    corners = hertz_of(torch.linspace(0.0, mel_of(HIGHEST), num_mels + 2, dtype=torch.float64))
    bins_B1 = torch.linspace(0.0, sampling_rate / 2, num_bins, dtype=torch.float64)[:, None]
    low_M, middle_M, high_M = corners[:-2], corners[1:-1], corners[2:]
    rise_BM = (bins_B1 - low_M) / (middle_M - low_M)
    fall_BM = (high_M - bins_B1) / (high_M - middle_M)
    triangles_BM = torch.minimum(rise_BM, fall_BM).clamp_min(0.0)
    return (triangles_BM * 2.0 / (high_M - low_M)).float()


HIGHEST = 8000.0
LINEAR_TOP, LINEAR_MEL = 1000.0, 200.0 / 3
"""Slaney's scale: a mel is 66.7 Hz up to 1,000 Hz, and from there 27 mels are a factor of 6.4."""
LOG_STEP = math.log(6.4) / 27


def mel_of(hertz: float) -> float:
    """Where a frequency lies on Slaney's mel scale."""
    if hertz < LINEAR_TOP:
        return hertz / LINEAR_MEL
    return LINEAR_TOP / LINEAR_MEL + math.log(hertz / LINEAR_TOP) / LOG_STEP


def hertz_of(mel_M: Tensor) -> Tensor:
    """The frequencies of places on that scale."""
    bend = LINEAR_TOP / LINEAR_MEL
    above = LINEAR_TOP * ((mel_M - bend).clamp_min(0) * LOG_STEP).exp()
    return torch.where(mel_M < bend, mel_M * LINEAR_MEL, above)
