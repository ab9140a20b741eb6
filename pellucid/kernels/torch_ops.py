"""Every kernel by torch's own fused operations: differentiable, on any device, no compiler needed.

Equal to `reference.py` up to rounding. Letters: T tokens, D hidden, I inputs, O outputs, F feed-forward, H
heads, K head size, R rotated part of the head, V vocabulary.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from pellucid.kernels.packing import unpack, unpack_rows
from pellucid.kernels.reference import ACTIVATIONS, activation
from pellucid.kernels.spec import QuantisedWeight
from pellucid.kernels.torch_attention import attention
from pellucid.kernels.torch_blocks import copy_blocks, new_kv, paged_attention, store_kv

__all__ = [
    "activation", "attention", "copy_blocks", "embedding", "embedding_quantised", "gated", "layer_norm",
    "linear", "linear_quantised", "new_kv", "paged_attention", "rms_norm", "rotary", "store_kv",
]  # fmt: skip


def embedding(ids_T: Tensor, weight_VD: Tensor) -> Tensor:
    """Row `id` of the table for each token."""
    return F.embedding(ids_T, weight_VD)


def linear(x_TI: Tensor, weight_OI: Tensor, bias_O: Tensor | None) -> Tensor:
    """`x Wᵀ + b`."""
    return F.linear(x_TI, weight_OI, bias_O)


def linear_quantised(x_TI: Tensor, weight: QuantisedWeight, bias_O: Tensor | None) -> Tensor:
    """`x Wᵀ + b` with the weight unpacked to x's dtype."""
    return linear(x_TI, unpack(weight).to(x_TI.dtype), bias_O)


def embedding_quantised(ids_T: Tensor, weight: QuantisedWeight) -> Tensor:
    """Row `id` of the unpacked table for each token, float32."""
    return unpack_rows(weight, ids_T)


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """`x / sqrt(mean(x²) + eps) * weight` over the last axis, in float32."""
    return F.rms_norm(x.float(), weight_D.shape, weight_D.float(), eps).to(x.dtype)


def layer_norm(x: Tensor, weight_D: Tensor, bias_D: Tensor | None, eps: float) -> Tensor:
    """`(x - mean) / sqrt(var + eps) * weight + bias` over the last axis, in float32."""
    bias_D = None if bias_D is None else bias_D.float()
    return F.layer_norm(x.float(), weight_D.shape, weight_D.float(), bias_D, eps).to(x.dtype)


def rotary(x_THK: Tensor, cos_TR: Tensor, sin_TR: Tensor) -> Tensor:
    """Turn each pair (x_i, x_{i + R/2}) of the first R entries of every head by its position's angle."""
    R = cos_TR.shape[-1]
    first, second = x_THK[..., : R // 2].float(), x_THK[..., R // 2 : R].float()
    cos_T1R, sin_T1R = cos_TR.unsqueeze(1), sin_TR.unsqueeze(1)
    halves = (
        first * cos_T1R[..., : R // 2] - second * sin_T1R[..., : R // 2],
        second * cos_T1R[..., R // 2 :] + first * sin_T1R[..., R // 2 :],
    )
    return torch.cat((*(half.to(x_THK.dtype) for half in halves), x_THK[..., R:]), dim=-1)


def gated(gate_up_TF: Tensor, name: str) -> Tensor:
    """`act(gate) * up`, the two halves of each row."""
    gate, up = gate_up_TF.chunk(2, dim=-1)
    return ACTIVATIONS[name](gate) * up
