"""Quantised weights: how numbers are rounded to 8 or 4 bits, and how they are packed.

A group is 32 neighbouring inputs of one output; `w = scale * q` with q in -127..127 or -8..7. A block is
16 outputs. For each group a block holds 16 scales and the numbers in runs of 64 bytes, 4 neighbouring inputs
of each of the 16 outputs: run j has inputs 4j to 4j+3 (int8), or in its low nibbles those and in its high
nibbles inputs 16+4j to 16+4j+3, both offset by 8 (int4). So a CPU multiplies 4 inputs by 16 outputs in one
instruction.

Letters: O outputs, I inputs, B blocks of outputs, N groups of inputs.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.kernels.spec import QuantisedFormat, QuantisedWeight

GROUP, BLOCK = 32, 16
BYTES = {"int8": 512, "int4": 256}
"""Of numbers, a block and group."""


def quantise(weight_OI: Tensor, kind: QuantisedFormat) -> QuantisedWeight:
    """Round a float weight to the format's nearest numbers, with the scale that serves each group best."""
    outputs, inputs = weight_OI.shape
    blocks, groups = -(-outputs // BLOCK), -(-inputs // GROUP)
    values = torch.zeros(blocks, groups, BYTES[kind], dtype=torch.uint8, device=weight_OI.device)
    scales = torch.zeros(blocks, groups, BLOCK, dtype=torch.float16, device=weight_OI.device)
    weight = QuantisedWeight(kind, outputs, inputs, values, scales)
    rows = torch.arange(outputs, device=weight_OI.device)
    interleave(weight, rows, *round_rows(weight_OI.float(), kind))
    return weight


def round_rows(rows_OI: Tensor, kind: QuantisedFormat) -> tuple[Tensor, Tensor]:
    """Whole numbers (int8) for float32 rows, inputs padded to whole groups, and a scale `[O, N]` a group."""
    groups_ONV = F.pad(rows_OI, (0, -rows_OI.shape[1] % GROUP)).view(len(rows_OI), -1, GROUP)
    scale, q = _round_int8(groups_ONV) if kind == "int8" else _round_int4(groups_ONV)
    return q.flatten(1), scale.squeeze(-1)


def interleave(weight: QuantisedWeight, rows: Tensor, q_OI: Tensor, scales_ON: Tensor) -> None:
    """Put rows of whole numbers (int8; -8..7 for int4) and their scales in their places in a weight."""
    block, lane = rows // BLOCK, rows % BLOCK
    weight.scales[block, :, lane] = scales_ON.to(torch.float16)
    runs = q_OI.view(len(rows), -1, 8, 4)  # [O, N, 8 runs, 4]
    if weight.format == "int4":
        nibbles = (runs + 8).view(torch.uint8)
        runs = nibbles[:, :, :4] | nibbles[:, :, 4:] << 4
    packed = weight.values.view(*weight.values.shape[:2], -1, BLOCK, 4)
    packed[block, :, :, lane] = runs.view(torch.uint8)


def unpack(weight: QuantisedWeight) -> Tensor:
    """The weight `[O, I]` in float32."""
    return _unpack_blocks(weight, weight.values, weight.scales)[: weight.outputs]


def unpack_rows(weight: QuantisedWeight, rows_T: Tensor) -> Tensor:
    """Some rows `[T, I]` in float32."""
    block_T = rows_T // BLOCK
    blocks = _unpack_blocks(weight, weight.values[block_T], weight.scales[block_T])
    return blocks.view(-1, BLOCK, weight.inputs)[torch.arange(len(rows_T)), rows_T % BLOCK]


def _unpack_blocks(weight: QuantisedWeight, values: Tensor, scales: Tensor) -> Tensor:
    """Every row of the given blocks, `[16 B, I]` float32."""
    runs = values.view(*values.shape[:2], -1, BLOCK, 4)
    if weight.format == "int4":
        runs = torch.cat((runs & 15, runs >> 4), dim=2).to(torch.int8) - 8
    q = runs.view(torch.int8).permute(0, 3, 1, 2, 4).flatten(3).float()  # [B, 16, N, 32]
    return (q * scales.float().transpose(1, 2).unsqueeze(-1)).flatten(2).flatten(0, 1)[:, : weight.inputs]


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
