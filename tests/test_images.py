"""Pictures become the published pixels, whatever file they come in, or are refused in one clear sentence."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from pellucid.errors import ConfigError, RequestError
from pellucid.images import PictureConfig, pixels, read_picture
from pellucid.models.published_picture import read_picture_config

WHOLE = PictureConfig(size=None, rescale=None, normalize=False)


def picture(width: int, height: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(values.squeeze(-1) if bands == 1 else values, mode)


def file_of(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("processor", "fields"),
    [
        ("ViTImageProcessorPil", {}),
        ("ViTImageProcessorPil", {"size": {"height": 20, "width": 31}, "resample": 3}),
        ("ViTImageProcessorPil", {"size": {"shortest_edge": 24}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.1]}),
        ("ViTImageProcessorPil", {"do_resize": False, "do_normalize": False}),
        ("ViTImageProcessorPil", {"do_rescale": False}),
        ("DeiTImageProcessorPil", {}),
        ("DeiTImageProcessorPil", {"crop_size": {"height": 300, "width": 101}}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [(37, 50), (301, 200), (1, 1)])
def test_equal_to_the_published_processors(processor, fields, size, tmp_path) -> None:
    import transformers

    published = getattr(transformers, processor)(**fields)
    published.save_pretrained(tmp_path)
    image = picture(*size)
    expected = torch.from_numpy(np.stack(published(image)["pixel_values"]))[0]
    ours = pixels(image, read_picture_config(tmp_path))
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, atol=1e-6, rtol=0)


def test_older_spellings_of_the_config(tmp_path) -> None:
    older = (
        '{"feature_extractor_type": "ViTFeatureExtractor", "size": 32, "do_normalize": true, "resample": 2}'
    )
    (tmp_path / "preprocessor_config.json").write_text(older)
    assert read_picture_config(tmp_path) == PictureConfig(size=(32, 32))


@pytest.mark.parametrize("fields", ['{"image_processor_type": "SamImageProcessor"}', '{"do_pad": true}', '{"resample": 9}', "[]", '{"size": "big"}'])  # fmt: skip
def test_a_config_that_is_not_understood_is_refused(fields, tmp_path) -> None:
    (tmp_path / "preprocessor_config.json").write_text(fields)
    with pytest.raises(ConfigError, match="preprocessor_config"):
        read_picture_config(tmp_path)


def test_a_folder_that_says_nothing_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        read_picture_config(tmp_path)


def test_16_bits_are_scaled_not_cut_off() -> None:
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    grey = pixels(file_of(Image.fromarray(values), "PNG"), WHOLE)
    assert grey.shape == (3, 1, 4)
    assert grey[0, 0].tolist() == [0, 1, 128, 255]


def test_a_palette_gives_its_colours() -> None:
    image = picture(9, 7).quantize(16)
    expected = torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1).float()
    assert torch.equal(pixels(file_of(image, "PNG"), WHOLE), expected)


def test_cmyk_becomes_rgb() -> None:
    red = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    values = pixels(file_of(red, "TIFF"), WHOLE)
    assert values[:, 0, 0].tolist() == [255, 0, 0]
    assert pixels(file_of(red, "JPEG", quality=95), WHOLE)[:, 0, 0].tolist() == pytest.approx(
        [255, 0, 0], abs=6
    )


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA"])
def test_other_modes_are_read(mode) -> None:
    image = picture(5, 6, "RGBA").convert(mode)
    expected = torch.tensor(np.asarray(image.convert("RGB"))).permute(2, 0, 1).float()
    assert torch.equal(pixels(file_of(image, "PNG"), WHOLE), expected)


def test_a_grey_model_reads_one_channel() -> None:
    config = PictureConfig(size=(8, 8), mean=(0.5,), std=(0.5,))
    assert pixels(picture(20, 10), config).shape == (1, 8, 8)


def test_a_picture_is_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    image = read_picture(file_of(picture(6, 4), "JPEG", exif=exif))
    assert image.size == (4, 6)


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixels(data, WHOLE)[:, 0, 0].tolist() == [255, 0, 0]


def png_claiming(width: int, height: int) -> bytes:
    """A few bytes of PNG that say they are an enormous picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 64))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [8_001, 12_000, 100_000])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(side) -> None:
    with pytest.raises(RequestError, match="pixels"):
        pixels(png_claiming(side, side), WHOLE)


def test_a_thread_of_pixels_may_not_become_a_wall() -> None:
    config = PictureConfig(size=None, shortest_edge=224)
    with pytest.raises(RequestError, match="shorter side"):
        pixels(picture(20_000, 1), config)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP"])
def test_a_file_that_was_cut_off_is_refused(kind) -> None:
    data = file_of(picture(64, 64), kind)
    for end in (10, len(data) // 2):
        with pytest.raises(RequestError, match=r"damaged|known format|cannot be read"):
            pixels(data[:end], WHOLE)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100])
def test_what_is_no_picture_is_refused(data) -> None:
    with pytest.raises(RequestError):
        pixels(data, WHOLE)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(RequestError, match=r"cat\.png: there is no such file"):
        pixels(tmp_path / "cat.png", WHOLE)
