"""Another sampling rate: the same sound, nothing from beyond half the lower rate, the right length."""

import math

import numpy as np
import pytest
import torch
from audio_files import tone
from scipy.signal import resample_poly

from pellucid.audio.resampling import resample

RATES = [8000, 11025, 22050, 32000, 44100, 48000, 96000, 7919, 44101]


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_the_tone(rate) -> None:
    for hertz in (50.0, 1000.0, 0.42 * min(rate, 16000)):
        got = resample(torch.from_numpy(tone(0.5, rate, hertz)), rate, 16000).numpy()
        assert len(got) == math.ceil(int(0.5 * rate) * 16000 / rate)
        middle = slice(600, -600)  # away from where the sound begins and ends at once
        np.testing.assert_allclose(got[middle], tone(1.0, 16000, hertz)[: len(got)][middle], atol=1e-4)


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
def test_what_the_lower_rate_cannot_hold_is_gone(rate) -> None:
    got = resample(torch.from_numpy(tone(0.5, rate, 8400.0)), rate, 16000)
    assert float(got[600:-600].abs().max()) < 1e-3


@pytest.mark.parametrize("rate", [8000, 24000, 44100])
def test_noise_below_the_edge_is_scipys(rate) -> None:
    rng = np.random.default_rng(0)
    smooth = np.convolve(rng.standard_normal(rate), np.hanning(rate // 500), mode="same") / 20
    common = math.gcd(rate, 16000)
    window = ("kaiser", 12.0)
    expected = resample_poly(smooth, 16000 // common, rate // common, window=window)
    got = resample(torch.from_numpy(smooth), rate, 16000).numpy()
    np.testing.assert_allclose(got[600:-600], expected[: len(got)][600:-600], atol=2e-3)


@pytest.mark.parametrize("length", [1, 2, 17, 441, 442])
@pytest.mark.parametrize("rate", [8000, 16001, 44100, 768000])
def test_short_sounds_have_their_length(length, rate) -> None:
    got = resample(torch.ones(length), rate, 16000)
    assert len(got) == math.ceil(length * 16000 / rate)
    assert torch.isfinite(got).all()


def test_the_same_rate_changes_nothing() -> None:
    samples = torch.randn(100)
    assert torch.equal(resample(samples, 16000, 16000), samples)
