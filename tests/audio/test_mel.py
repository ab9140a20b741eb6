"""Log-mel frames equal the published extractor's: of short, long, loud and silent sounds, in every number of bands."""

import numpy as np
import pytest
import torch
import transformers
from parity.whisper_cases import sound

from pellucid.audio import SoundConfig, log_mel

SOUNDS = {
    "one sample": sound(1 / 16000),
    "short": sound(0.3),
    "a whole window": sound(30.0, 1),
    "longer": sound(31.23456, 2),
    "silent": np.zeros(8000, np.float32),
    "a click": np.eye(1, 5000, 2500, dtype=np.float32)[0],
    "too loud": 40 * sound(1.0, 3),
    "constant": np.ones(20000, np.float32),
}


@pytest.mark.parametrize("num_mels", [80, 128])
@pytest.mark.parametrize("name", SOUNDS)
def test_frames_equal_the_published_ones(name, num_mels) -> None:
    samples = SOUNDS[name]
    extractor = transformers.WhisperFeatureExtractor(feature_size=num_mels)
    padding = "max_length" if len(samples) <= 480_000 else "longest"
    expected = extractor(samples, sampling_rate=16000, truncation=False, padding=padding).input_features[0]
    got = log_mel(torch.from_numpy(samples), SoundConfig(num_mels=num_mels))
    np.testing.assert_allclose(got.numpy().T, expected, atol=1e-4, rtol=0)


def test_the_numpy_definition_agrees() -> None:
    """The extractor's second implementation, in float64, is near too."""
    samples = np.pad(sound(2.0), (0, 448_000))
    expected = transformers.WhisperFeatureExtractor()._np_extract_fbank_features(samples[None], "cpu")[0]
    got = log_mel(torch.from_numpy(samples), SoundConfig())
    np.testing.assert_allclose(got.numpy().T, expected, atol=1e-4, rtol=0)


def test_bands_of_another_size() -> None:
    extractor = transformers.WhisperFeatureExtractor(
        feature_size=40, hop_length=200, n_fft=512, chunk_length=2
    )
    config = SoundConfig(num_mels=40, hop_length=200, n_fft=512, num_samples=32000)
    samples = sound(1.5)
    expected = extractor(samples, sampling_rate=16000).input_features[0]
    got = log_mel(torch.from_numpy(samples), config)
    assert got.shape == (160, 40)
    np.testing.assert_allclose(got.numpy().T, expected, atol=1e-4, rtol=0)
