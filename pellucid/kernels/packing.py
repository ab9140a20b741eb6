"""Quantised weights: how numbers are rounded to 8 or 4 bits, and how they are packed.

A group is 32 neighbouring inputs of one output, a block 16 outputs. For each group a block holds its scales,
16 of a kind side by side, and the numbers in runs of 64 bytes, 4 neighbouring inputs of each of the 16
outputs: run j has inputs 4j to 4j+3 (int8), or in its low nibbles those and in its high nibbles inputs
16+4j to 16+4j+3 (the others). So a CPU multiplies 4 inputs by 16 outputs in one instruction.

- `int8`: `w = scale q`, q in -127..127.
- `int4`: `w = scale q`, q in -8..7, stored from 0 on.
- `q4_k`, `q6_k`: llama.cpp's K-quants. Scales are whole numbers, which a float16 scales for every 8 groups:
  `w = d scale q - dmin minimum` with q in 0..15; and `w = d scale q` with q in -32..31 and a scale for each
  half of a group, two runs more holding the upper 2 bits of each number, of runs 0 to 3 and of 4 to 7.

Letters: O outputs, I inputs, B blocks of outputs, N groups of inputs, M runs of 8 groups, K kinds of scales.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.kernels.large_pages import Zeros, zeros_on
from pellucid.kernels.spec import QuantisedFormat, QuantisedWeight

GROUP, BLOCK, SUPER = 32, 16, 8


@dataclass(frozen=True)
class Layout:
    """What a format holds of each block and group: bytes of numbers, and kinds of scales."""

    bytes: int
    offset: int
    """What is added to a number before it is stored."""
    scales: int
    scale_dtype: torch.dtype
    supers: int
    """Kinds of float16 scales that 8 groups share."""


LAYOUTS: dict[QuantisedFormat, Layout] = {
    "int8": Layout(512, 0, 1, torch.float16, 0),
    "int4": Layout(256, 8, 1, torch.float16, 0),
    "q4_k": Layout(256, 0, 2, torch.uint8, 2),
    "q6_k": Layout(384, 32, 2, torch.int8, 1),
}


def empty(kind: QuantisedFormat, outputs: int, inputs: int, zeros: Zeros) -> QuantisedWeight:
    """A weight of zeros, to be filled."""
    layout, blocks, groups = LAYOUTS[kind], -(-outputs // BLOCK), -(-inputs // GROUP)
    values = zeros((blocks, groups, layout.bytes), torch.uint8)
    scales = zeros((blocks, groups, layout.scales, BLOCK), layout.scale_dtype)
    count = -(-groups // SUPER) if layout.supers else 0
    supers = zeros((blocks, count, layout.supers, BLOCK), torch.float16)
    return QuantisedWeight(kind, outputs, inputs, values, scales, supers)


def packed_bytes(kind: QuantisedFormat, outputs: int, inputs: int) -> int:
    """What a weight takes in memory."""
    return empty(kind, outputs, inputs, zeros_on(torch.device("meta"))).nbytes


def quantise(weight_OI: Tensor, kind: QuantisedFormat) -> QuantisedWeight:
    """Round a float weight to int8 or int4, with the scale that serves each group best."""
    weight = empty(kind, weight_OI.shape[0], weight_OI.shape[1], zeros_on(weight_OI.device))
    rows = torch.arange(weight.outputs, device=weight_OI.device)
    interleave(weight, rows, *round_rows(weight_OI.float(), kind))
    return weight


def round_rows(rows_OI: Tensor, kind: QuantisedFormat) -> tuple[Tensor, Tensor]:
    """Whole numbers (int8) for float32 rows, inputs padded to whole groups, and scales `[O, N, 1]`."""
    groups_ONV = F.pad(rows_OI, (0, -rows_OI.shape[1] % GROUP)).view(len(rows_OI), -1, GROUP)
    scale_ON1, q_ONV = _round_int8(groups_ONV) if kind == "int8" else _round_int4(groups_ONV)
    return q_ONV.flatten(1), scale_ON1


def interleave(
    weight: QuantisedWeight, rows: Tensor, q_OI: Tensor, scales_ONK: Tensor, supers_OMK: Tensor | None = None
) -> None:
    """Put rows of whole numbers (int8) and their scales in their places in a weight."""
    layout, block, lane = LAYOUTS[weight.format], rows // BLOCK, rows % BLOCK
    weight.scales[block, :, :, lane] = scales_ONK.to(layout.scale_dtype)
    if supers_OMK is not None:
        weight.supers[block, :, :, lane] = supers_OMK.to(torch.float16)
    runs = (q_OI + layout.offset).view(torch.uint8).view(len(rows), -1, 8, 4)  # [O, N, 8 runs, 4]
    if weight.format != "int8":
        upper = runs >> 4
        runs = (runs[:, :, :4] & 15) | runs[:, :, 4:] << 4
        if weight.format == "q6_k":
            pairs = upper.view(len(rows), -1, 2, 4, 4)  # [O, N, half, run, 4]
            runs = torch.cat((runs, sum_of_shifted(pairs)), dim=2)
    packed = weight.values.view(*weight.values.shape[:2], -1, BLOCK, 4)
    packed[block, :, :, lane] = runs


def sum_of_shifted(pairs: Tensor) -> Tensor:
    """Four numbers of 2 bits in each byte, the first lowest: axis 3 of four goes."""
    return pairs[:, :, :, 0] | pairs[:, :, :, 1] << 2 | pairs[:, :, :, 2] << 4 | pairs[:, :, :, 3] << 6


def unpack(weight: QuantisedWeight) -> Tensor:
    """The weight `[O, I]` in float32."""
    return _unpack_blocks(weight, weight.values, weight.scales, weight.supers)[: weight.outputs]


def unpack_rows(weight: QuantisedWeight, rows_T: Tensor) -> Tensor:
    """Some rows `[T, I]` in float32."""
    block_T = rows_T // BLOCK
    chosen = (weight.values[block_T], weight.scales[block_T], weight.supers[block_T])
    blocks = _unpack_blocks(weight, *chosen)
    return blocks.view(-1, BLOCK, weight.inputs)[torch.arange(len(rows_T)), rows_T % BLOCK]


def _unpack_blocks(weight: QuantisedWeight, values: Tensor, scales: Tensor, supers: Tensor) -> Tensor:
    """Every row of the given blocks, `[16 B, I]` float32."""
    runs = values.view(*values.shape[:2], -1, BLOCK, 4)
    if weight.format != "int8":
        low = torch.cat((runs[:, :, :4] & 15, runs[:, :, :4] >> 4), dim=2)
        upper = [
            (runs[:, :, 4 + run // 4] >> 2 * (run % 4) & 3) << 4 for run in range(8 * (runs.shape[2] > 4))
        ]
        runs = low | torch.stack(upper, dim=2) if upper else low
    q_BN = (runs.view(torch.int8) - LAYOUTS[weight.format].offset).permute(0, 3, 1, 2, 4)
    q_BN = q_BN.flatten(3).float()  # [B, 16, N, 32]
    scales = scales.float().permute(0, 3, 1, 2)  # [B, 16, N, K]
    if supers.shape[1]:
        d = supers.float().permute(0, 3, 1, 2).repeat_interleave(SUPER, dim=2)[:, :, : q_BN.shape[2]]
        scales = scales * d
    if weight.format == "q6_k":
        w = (q_BN.view(*q_BN.shape[:3], 2, -1) * scales.unsqueeze(-1)).flatten(3)
    else:
        w = q_BN * scales[..., :1]
        w = w - scales[..., 1:] if weight.format == "q4_k" else w
    return w.flatten(2).flatten(0, 1)[:, : weight.inputs]


def _half(scale: Tensor) -> Tensor:
    """The scale as it will be stored, never so small that it vanishes or divides by zero."""
    return scale.to(torch.float16).float()


def _divide(groups: Tensor, scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 0.0, groups / torch.where(scale == 0, 1.0, scale))


def _round_int8(groups: Tensor) -> tuple[Tensor, Tensor]:
    scale = _half(groups.abs().amax(-1, keepdim=True) / 127)
    return scale, _divide(groups, scale).round().clamp(-127, 127).to(torch.int8)


def _round_int4(groups: Tensor) -> tuple[Tensor, Tensor]:
    """The entry of largest size becomes -8 times a scale; of a few scales around that, the one with the least
    squared error is kept."""
    largest = groups.gather(-1, groups.abs().argmax(-1, keepdim=True))
    best_scale, best_q, best_error = None, None, None
    for divisor in (-8.0, -7.5, -7.0, -8.5):
        scale = _half(largest / divisor)
        q = _divide(groups, scale).round().clamp(-8, 7)
        error = (q * scale - groups).square().sum(-1, keepdim=True)
        if best_error is None or best_scale is None or best_q is None:
            best_scale, best_q, best_error = scale, q, error
            continue
        better = error < best_error
        best_scale, best_q = torch.where(better, scale, best_scale), torch.where(better, q, best_q)
        best_error = torch.minimum(error, best_error)
    assert best_scale is not None and best_q is not None
    return best_scale, best_q.to(torch.int8)
