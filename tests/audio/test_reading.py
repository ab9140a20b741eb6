"""A sound in any form is the same samples; what is wrong with a file is said in one clear sentence."""

import io
import sys

import numpy as np
import pytest
import soundfile
import torch
from audio_files import as_file, tone, wav

from pellucid.audio import read_sound
from pellucid.audio.reading import as_sounds
from pellucid.errors import RequestError

TONE = tone()
STEREO = np.stack([TONE, -0.5 * TONE], axis=1)
KINDS = [
    ("WAV", "PCM_U8", 1 / 128), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6), ("WAV", "PCM_32", 1e-6), ("WAV", "FLOAT", 1e-6),
    ("WAV", "DOUBLE", 1e-6), ("WAVEX", "PCM_16", 1e-4), ("WAVEX", "FLOAT", 1e-6), ("FLAC", "PCM_16", 1e-4), ("FLAC", "PCM_24", 1e-6),
    ("WAV", "ULAW", 0.02), ("RF64", "PCM_16", 1e-4), ("AIFF", "PCM_16", 1e-4), ("OGG", "VORBIS", 0.02),
]  # fmt: skip


def samples(sound) -> np.ndarray:
    return read_sound(sound, 16000).numpy()


@pytest.mark.parametrize(("format", "subtype", "off"), KINDS)
def test_files_of_every_kind(format, subtype, off, tmp_path) -> None:
    data = as_file(TONE, 16000, format, subtype)
    np.testing.assert_allclose(samples(data), TONE, atol=off)
    path = tmp_path / "a.sound"
    path.write_bytes(data)
    assert np.array_equal(samples(path), samples(data)) and np.array_equal(samples(str(path)), samples(data))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_our_own_reader_gives_libsndfiles_numbers(subtype) -> None:
    data = as_file(STEREO, 16000, "WAV", subtype)
    expected, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    np.testing.assert_allclose(samples(data), expected.mean(axis=1), atol=1e-7)


def test_channels_become_their_mean() -> None:
    for sound in (
        as_file(STEREO, subtype="FLOAT"),
        as_file(STEREO, format="FLAC", subtype="PCM_24"),
        STEREO,
        STEREO.T,
    ):
        np.testing.assert_allclose(samples(sound), TONE / 4, atol=1e-6)


def test_another_rate_is_resampled() -> None:
    higher = tone(1.0, 44100)
    for sound in (
        as_file(higher, 44100, subtype="FLOAT"),
        (higher, 44100),
        {"array": higher, "sampling_rate": 44100},
    ):
        got = samples(sound)
        assert len(got) == 16000
        np.testing.assert_allclose(got[500:-500], TONE[500:-500], atol=1e-4)


@pytest.mark.parametrize(
    "given",
    [
        TONE,
        TONE.astype(np.float32),
        torch.from_numpy(TONE),
        TONE.tolist(),
        (TONE, 16000),
        np.round(TONE * 32768).astype(np.int16),
    ],
)
def test_samples_in_memory(given) -> None:
    np.testing.assert_allclose(samples(given), TONE, atol=1e-4)


def test_one_sound_is_told_from_many() -> None:
    pair = (TONE, 16000)
    for one in ("a.wav", b"RIFF", TONE, TONE.tolist(), pair, {"array": TONE, "sampling_rate": 16000}):
        assert len(as_sounds(one)) == 1
    assert as_sounds(["a.wav", pair]) == ["a.wav", pair]
    assert as_sounds(("a.wav", "b.wav")) == ["a.wav", "b.wav"]
    assert as_sounds([]) == []


def test_chunks_that_are_no_sound_and_sizes_that_nobody_knew() -> None:
    pcm = np.round(TONE * 32767).astype("<i2").tobytes()
    expected = samples(wav(pcm))
    assert np.array_equal(samples(wav(pcm, before=b"LIST\x03\x00\x00\x00abc\x00")), expected)
    for size in (0xFFFFFFFF, 0x7FFFF000, 0):
        assert np.array_equal(samples(wav(pcm, size=size)), expected)
    assert len(samples(wav(pcm + b"\x01"))) == len(expected)


PCM = b"\x00\x10" * 800
NAN = np.full(800, np.nan, "<f4").tobytes()
BROKEN = {
    "empty": (b"", "is empty"),
    "a text": (b"not a sound at all" * 20, "no sound in a known format"),
    "a header alone": (wav(PCM)[:20], "does not say what its samples are|ends before"),
    "cut short": (wav(PCM)[:-100], "1,600 bytes of sound, and 1,500 are there"),
    "no samples": (wav(b""), "holds no samples"),
    "no samples, and words about them": (wav(b"", size=0) + b"LIST\x03\x00\x00\x00abc", "holds no samples"),
    "a working day": (wav(bytes(7 * 3600 * 1000), rate=1000, bits=8), "7.0 hours"),
    "not a number": (wav(NAN, tag=3, bits=32), "sample 0 is no finite number"),
    "infinite": (wav(np.full(80, np.inf, "<f8").tobytes(), tag=3, bits=64), "no finite number"),
    "no channels": (wav(PCM, channels=0), "0 channels"),
    "too many channels": (wav(PCM, channels=400), "400 channels"),
    "a rate of nothing": (wav(PCM, rate=0), "0 samples a second"),
    "a rate beyond sound": (wav(PCM, rate=4_000_000_000), "4,000,000,000 samples a second"),
    "FLAC cut short": (as_file(np.random.default_rng(0).uniform(-1, 1, 16000), format="FLAC")[:9000], "damaged|are there"),
    "FLAC's header alone": (as_file(TONE, format="FLAC")[:60], "damaged|holds no samples|are there"),
    "Ogg's beginning": (as_file(TONE, format="OGG")[:30], "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_bad_file_is_one_clear_sentence(name, tmp_path) -> None:
    data, message = BROKEN[name]
    path = tmp_path / "talk.wav"
    path.write_bytes(data)
    with pytest.raises(RequestError, match=message) as raised:
        read_sound(path, 16000)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)
    with pytest.raises(RequestError, match=message):
        read_sound(data, 16000)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere.wav", "no such file"),
        (".", "is no file"),
        ("a\0b.wav", "cannot be a file's name"),
        (np.zeros((2, 3, 4)), "one or two axes"),
        (np.zeros(0), "holds no samples"),
        (np.array(["a"]), "one or two axes"),
        (3.5, "one or two axes"),
        ((TONE, "fast"), "its rate"),
        ((TONE, 16000.5), "its rate"),
        ((TONE, -5), "-5 samples a second"),
        ({"array": TONE}, "sampling_rate"),
        (None, "one or two axes"),
        (np.array([0.0, np.nan]), "sample 1 is no finite number"),
        (np.zeros(7 * 3600 * 1000, np.int8), "7.0 hours"),
        ([0, 26866, -300], "int64 do not say how loud"),
        (np.zeros(9, np.uint16), "uint16 do not say how loud"),
    ],
)
def test_what_is_no_sound_is_refused(given, message) -> None:
    given = (given, 1000) if isinstance(given, np.ndarray) and given.dtype == np.int8 else given
    with pytest.raises(RequestError, match=message):
        read_sound(given, 16000)


def test_without_soundfile_plain_wav_is_read_and_the_rest_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    np.testing.assert_allclose(
        samples(as_wav := wav(np.round(TONE * 32767).astype("<i2").tobytes())), TONE, atol=1e-4
    )
    assert as_wav
    flac = b"fLaC" + bytes(100)
    with pytest.raises(RequestError, match=r"pip install 'pellucid\[audio\]'"):
        read_sound(flac, 16000)
