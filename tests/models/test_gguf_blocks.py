"""Unpacking GGUF's blocks equals the gguf package's, bit for bit."""

import gguf
import numpy as np
import pytest
import torch

from pellucid.models.gguf_blocks import ENCODINGS, TYPE_NAMES

PACKED = {kind: encoding for kind, encoding in ENCODINGS.items() if encoding.dtype is None}


@pytest.mark.parametrize("kind", PACKED, ids=lambda kind: PACKED[kind].name)
def test_random_blocks(kind) -> None:
    encoding = PACKED[kind]
    blocks_NS = np.random.default_rng(0).integers(0, 256, (300, encoding.nbytes), dtype=np.uint8)
    with np.errstate(all="ignore"):  # random bytes make float16 infinities too
        expected_NV = gguf.quants.dequantize(blocks_NS, gguf.GGMLQuantizationType(kind))
    unpacked_NV = encoding.decode(torch.from_numpy(blocks_NS)).numpy()
    np.testing.assert_array_equal(unpacked_NV, expected_NV.reshape(300, encoding.values))


def test_names_and_sizes_are_ggmls() -> None:
    for kind, encoding in ENCODINGS.items():
        assert gguf.GGMLQuantizationType(kind).name == encoding.name
        assert gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)] == (encoding.values, encoding.nbytes)
    for kind, name in TYPE_NAMES.items():
        assert gguf.GGMLQuantizationType(kind).name == name


def test_the_types_that_people_have_are_read() -> None:
    asked = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"}
    assert asked <= {encoding.name for encoding in ENCODINGS.values() if encoding.decode}
