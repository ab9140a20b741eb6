"""How GGUF packs numbers: each block type's bytes, and how they become float32 (ggml's `ggml-common.h`).

Letters: N blocks, S bytes of a block, V numbers of a block. `d` is a block's scale, `m` its minimum, `q` the
small whole numbers that are stored.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from pellucid.models.encodings import SAFETENSORS, Encoding


def _half(blocks_NS: Tensor, at: int) -> Tensor:
    """The float16 at byte `at` of every block, `[N, 1]` float32."""
    return blocks_NS[:, at : at + 2].contiguous().view(torch.float16).float()


def _nibbles(bytes_NS: Tensor) -> Tensor:
    """All low halves of the bytes, then all high halves."""
    return torch.cat((bytes_NS & 15, bytes_NS >> 4), dim=1)


def _fifth_bits(bytes_N4: Tensor) -> Tensor:
    """The 32 bits of 4 bytes, each as 0 or 16, `[N, 32]`."""
    bits_N48 = (bytes_N4[:, :, None] >> torch.arange(8, dtype=torch.uint8)) & 1
    return bits_N48.flatten(1) << 4


def q8_0(b_NS: Tensor) -> Tensor:
    """`d q`, q in signed bytes; 32 numbers."""
    return b_NS[:, 2:].view(torch.int8).float() * _half(b_NS, 0)


def q4_0(b_NS: Tensor) -> Tensor:
    """`d (q - 8)`, q of 4 bits; 32 numbers."""
    return (_nibbles(b_NS[:, 2:]).float() - 8) * _half(b_NS, 0)


def q4_1(b_NS: Tensor) -> Tensor:
    """`d q + m`, q of 4 bits; 32 numbers."""
    return _nibbles(b_NS[:, 4:]).float() * _half(b_NS, 0) + _half(b_NS, 2)


def q5_0(b_NS: Tensor) -> Tensor:
    """`d (q - 16)`, q of 5 bits, the fifth ones apart; 32 numbers."""
    return ((_nibbles(b_NS[:, 6:]) | _fifth_bits(b_NS[:, 2:6])).float() - 16) * _half(b_NS, 0)


def q5_1(b_NS: Tensor) -> Tensor:
    """`d q + m`, q of 5 bits, the fifth ones apart; 32 numbers."""
    q_NV = (_nibbles(b_NS[:, 8:]) | _fifth_bits(b_NS[:, 4:8])).float()
    return q_NV * _half(b_NS, 0) + _half(b_NS, 2)


def _scales_and_minima(packed_N12: Tensor) -> tuple[Tensor, Tensor]:
    """Eight scales and eight minima of 6 bits in 12 bytes, `[N, 8]` each: the first four of each are the low
    6 bits of the first 8 bytes, whose top 2 bits and the nibbles of the last 4 bytes make the others."""
    first, second, last = packed_N12[:, :4], packed_N12[:, 4:8], packed_N12[:, 8:]
    scales = torch.cat((first & 63, (last & 15) | ((first >> 6) << 4)), dim=1)
    minima = torch.cat((second & 63, (last >> 4) | ((second >> 6) << 4)), dim=1)
    return scales, minima


def _k_block(b_NS: Tensor, q_N8x32: Tensor) -> Tensor:
    """`d scale q - m minimum` for each of eight groups of 32."""
    scales_N8, minima_N8 = _scales_and_minima(b_NS[:, 4:16])
    d_N81 = (_half(b_NS, 0) * scales_N8.float())[:, :, None]
    m_N81 = (_half(b_NS, 2) * minima_N8.float())[:, :, None]
    return (d_N81 * q_N8x32.float() - m_N81).flatten(1)


def _grouped_nibbles(bytes_N128: Tensor) -> Tensor:
    """Four groups of 32 bytes, each 32 low halves and then 32 high ones, `[N, 8, 32]`."""
    groups = bytes_N128.reshape(-1, 4, 1, 32)
    return torch.cat((groups & 15, groups >> 4), dim=2).flatten(1, 2)


def q4_k(b_NS: Tensor) -> Tensor:
    """q of 4 bits; 256 numbers in eight groups with scales and minima of 6 bits."""
    return _k_block(b_NS, _grouped_nibbles(b_NS[:, 16:]))


def q4_k_parts(b_NS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a q4_k block is made of: q `[N, 256]` int8; scales and minima `[N, 8, 2]`; d and m `[N, 1, 2]`."""
    scales_and_minima_N82 = torch.stack(_scales_and_minima(b_NS[:, 4:16]), dim=2)
    d_and_m_N12 = b_NS[:, :4].contiguous().view(torch.float16).unsqueeze(1)
    return _grouped_nibbles(b_NS[:, 16:]).flatten(1).view(torch.int8), scales_and_minima_N82, d_and_m_N12


def q5_k(b_NS: Tensor) -> Tensor:
    """q of 5 bits: as q4_k, the fifth bit of group g's number j being bit g of byte j."""
    fifth_N1x32, group_8x1 = b_NS[:, None, 16:48], torch.arange(8, dtype=torch.uint8)[:, None]
    fifth_N8x32 = ((fifth_N1x32 >> group_8x1) & 1) << 4
    return _k_block(b_NS, _grouped_nibbles(b_NS[:, 48:]) | fifth_N8x32)


def q6_k_parts(b_NS: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a q6_k block is made of: q `[N, 256]` int8, -32 to 31; scales `[N, 8, 2]`, two to a group of 32; d
    `[N, 1, 1]`.

    Each half of 128 numbers has 64 bytes of low nibbles (first all low halves, then all high ones) and 32
    bytes that hold two upper bits for each of its four quarters.
    """
    low_N2x4x32 = b_NS[:, :128].reshape(-1, 2, 1, 2, 32)
    low_N2x4x32 = torch.cat((low_N2x4x32 & 15, low_N2x4x32 >> 4), dim=2).flatten(2, 3)
    shift_4x1 = torch.arange(0, 8, 2, dtype=torch.uint8)[:, None]
    high_N2x4x32 = (b_NS[:, 128:192].reshape(-1, 2, 1, 32) >> shift_4x1) & 3
    q_N256 = (low_N2x4x32 | (high_N2x4x32 << 4)).flatten(1).view(torch.int8) - 32
    scales_N82 = b_NS[:, 192:208].contiguous().view(torch.int8).view(-1, 8, 2)
    return q_N256, scales_N82, b_NS[:, 208:].contiguous().view(torch.float16).unsqueeze(1)


def q6_k(b_NS: Tensor) -> Tensor:
    """`d scale q`, q of 6 bits; 256 numbers in sixteen groups with scales of 8 bits."""
    q_N256, scales_N82, d_N11 = q6_k_parts(b_NS)
    scaled_N16 = (d_N11.float() * scales_N82.float()).flatten(1)
    return (scaled_N16[:, :, None] * q_N256.view(-1, 16, 16).float()).flatten(1)


def _packed(name: str, values: int, nbytes: int, decode: Callable[[Tensor], Tensor]) -> Encoding:
    return Encoding(name=name, values=values, nbytes=nbytes, dtype=None, decode=decode)


# By ggml's type number.
ENCODINGS: dict[int, Encoding] = {
    0: SAFETENSORS["F32"],
    1: SAFETENSORS["F16"],
    2: _packed("Q4_0", 32, 18, q4_0),
    3: _packed("Q4_1", 32, 20, q4_1),
    6: _packed("Q5_0", 32, 22, q5_0),
    7: _packed("Q5_1", 32, 24, q5_1),
    8: _packed("Q8_0", 32, 34, q8_0),
    12: _packed("Q4_K", 256, 144, q4_k),
    13: _packed("Q5_K", 256, 176, q5_k),
    14: _packed("Q6_K", 256, 210, q6_k),
    24: SAFETENSORS["I8"],
    25: SAFETENSORS["I16"],
    26: SAFETENSORS["I32"],
    27: SAFETENSORS["I64"],
    28: SAFETENSORS["F64"],
    30: SAFETENSORS["BF16"],
}

# Those of the others that are met with, for messages.
TYPE_NAMES = {
    10: "Q2_K", 11: "Q3_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21:
    "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4", 40: "NVFP4",
}  # fmt: skip
