"""The GGUF header: every value type as the gguf package writes it; damage is said by key or tensor."""

import struct

import gguf
import numpy as np
import pytest

from pellucid.errors import ConfigError, PellucidError, WeightsError
from pellucid.models.gguf_file import read_gguf


def write(path, arrange) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    arrange(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.gguf"


def test_every_value_type(path) -> None:
    values = {
        "a.u8": ("add_uint8", 200), "a.i8": ("add_int8", -5), "a.u16": ("add_uint16", 60000),
        "a.i16": ("add_int16", -300), "a.u32": ("add_uint32", 2**32 - 1), "a.i32": ("add_int32", -7),
        "a.u64": ("add_uint64", 2**63), "a.i64": ("add_int64", -(2**40)), "a.f64": ("add_float64", 1e-300),
        "a.f32": ("add_float32", 1e-5), "a.yes": ("add_bool", True), "a.text": ("add_string", "Ġnaïve ▁"),
        "a.texts": ("add_array", ["<s>", "", "▁a"]), "a.floats": ("add_array", [0.5, -1.25]),
        "a.ints": ("add_array", [1, 2, 3]), "a.flags": ("add_array", [True, False]),
    }  # fmt: skip

    def arrange(writer) -> None:
        for key, (method, value) in values.items():
            getattr(writer, method)(key, value)

    write(path, arrange)
    metadata = read_gguf(path).metadata
    for key, (_, value) in values.items():
        got = metadata[key]
        assert (list(got) if isinstance(value, list) else got) == value, key
    assert metadata["general.architecture"] == "llama"


def test_real_vocabularies(test_data) -> None:
    for name, count in (("gpt-2", 50257), ("phi-3", 32064), ("bert-bge", 30522)):
        opened = read_gguf(test_data / "vectors" / "gguf-vocab" / f"ggml-vocab-{name}.gguf")
        assert len(opened.metadata["tokenizer.ggml.tokens"]) == count
        assert opened.tensors == []


def test_tensors(path) -> None:
    values = {"a": np.arange(64, dtype=np.float32).reshape(2, 32), "b": np.ones(3, dtype=np.float16)}
    packed = gguf.quants.quantize(values["a"], gguf.GGMLQuantizationType.Q8_0)

    def arrange(writer) -> None:
        for name, value in values.items():
            writer.add_tensor(name, value)
        writer.add_tensor("c", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    write(path, arrange)
    a, b, c = read_gguf(path).tensors
    assert (a.name, a.shape, a.encoding.name, c.shape, c.nbytes) == ("a", (2, 32), "F32", (2, 32), 68)
    np.testing.assert_array_equal(a.whole().numpy(), values["a"])
    np.testing.assert_array_equal(b.whole().numpy(), values["b"])
    np.testing.assert_array_equal(
        c.rows(1, 2).numpy(), gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)[1:]
    )
    np.testing.assert_array_equal(c.mapped().numpy(), packed)


def header(*, version=3, tensors=b"", values=b"", num_tensors=0, num_values=0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_values) + values + tensors


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(*dims: int, kind: int = 0, offset: int = 0) -> bytes:
    return text(b"some.weight") + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)


DAMAGED = {
    "empty": (b"", "empty"),
    "another format": (b"PK\x03\x04" + bytes(64), "no GGUF file"),
    "version 1": (header(version=1), "version 1"),
    "big-endian": (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "a big-endian file of version 3"),
    "a pointer of git": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
    "cut": (header()[:10], "truncated"),
    "a count of values that cannot be": (header(num_values=2**60), "metadata entry 0 of"),
    "a count of tensors that cannot be": (header(num_tensors=2**60), "tensor 0 of"),
    "a string longer than the file": (header(num_values=1, values=struct.pack("<Q", 2**50)), "metadata entry 0"),
    "an unknown value type": (header(num_values=1, values=text(b"k") + struct.pack("<I", 77)), "'k' has the unknown type 77"),
    "an array longer than the file": (header(num_values=1, values=text(b"k") + struct.pack("<IIQ", 9, 4, 2**61)), "'k'"),
    "arrays of arrays without end": (header(num_values=1, values=text(b"k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 50), "'k' nests"),
    "text that is none": (header(num_values=1, values=text(b"k") + struct.pack("<I", 8) + text(b"\xff\xfe")), "'k' is no UTF-8"),
    "alignment 0": (header(num_values=1, values=text(b"general.alignment") + struct.pack("<II", 4, 0)), "general.alignment"),
    "too many dimensions": (header(num_tensors=1, tensors=tensor(1, 1, 1, 1, 1)), "some.weight"),
    "no numbers": (header(num_tensors=1, tensors=tensor(2**61, 0)), "has shape \\[0, 2305843009213693952\\]"),
    "an unknown packing": (header(num_tensors=1, tensors=tensor(32, kind=20)), "packed as IQ4_NL"),
    "half a block": (header(num_tensors=1, tensors=tensor(33, 2, kind=2)), "multiples of 32"),
    "a tensor beyond the end": (header(num_tensors=1, tensors=tensor(1000)), "truncated.*'some.weight'"),
    "an offset beyond the end": (header(num_tensors=1, tensors=tensor(1, offset=2**63)), "'some.weight'"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_is_one_clear_error(path, what) -> None:
    data, message = DAMAGED[what]
    path.write_bytes(data)
    with pytest.raises((ConfigError, WeightsError), match=message) as caught:
        read_gguf(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file(path) -> None:
    with pytest.raises(PellucidError, match=r"model\.gguf"):
        read_gguf(path)
