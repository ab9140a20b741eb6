"""From a name to a model that runs: open its config, check that it fits, stream its weights."""

import os
from collections.abc import Mapping

import torch

from pellucid.device import available_memory, human_bytes, resolve_device, resolve_dtype
from pellucid.errors import ConfigError, OutOfMemoryError
from pellucid.kernels.packing import packed_bytes
from pellucid.kernels.spec import QuantisedFormat
from pellucid.models.body import Body
from pellucid.models.checkpoint import Checkpoint, open_checkpoint
from pellucid.models.quantising import QUANTIZATIONS, plan, plan_as_stored
from pellucid.models.weights import fill, parameter_dtype, place, stored_encodings

AUTO_SHARE = 0.7
"""How much of the free memory `quantization="auto"` lets the weights take; the rest is for the cache."""


def load_model(
    source: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: str | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Body:
    """The bare network of a bundled name, local folder or hub id, for study and tests.

    `model.logits(input_ids)` gives `[T, vocab]`. `quantization`: "int8", "int4", "auto" (what fits), or None.
    Raises PellucidError saying what is wrong and what to do.
    """
    checkpoint = open_checkpoint(source, revision=revision, token=token)
    return load_checkpoint(checkpoint, dtype=dtype, device=device, quantization=quantization)


def load_checkpoint(
    checkpoint: Checkpoint,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    quantization: str | None = None,
) -> Body:
    """The model with its weights, ready to run. Raises WeightsError or OutOfMemoryError."""
    number, where = resolve_dtype(dtype, checkpoint.config.dtype), resolve_device(device)
    body = checkpoint.empty_body()
    # every mistake that headers show is found before the first weight is read
    placements = place(body, checkpoint.family, checkpoint.tensors(), checkpoint.source.path)
    formats = choose_formats(body, number, where, quantization)
    if quantization is None and dtype == "auto" and where.type == "cpu":
        formats = plan_as_stored(body, stored_encodings(placements))
    check_memory(body, number, where, checkpoint.source.name, formats)
    fill(body, placements, dtype=number, device=where, formats=formats)
    body.tie_weights()
    return body.to(where).eval()


def choose_formats(
    body: Body, dtype: torch.dtype, device: torch.device, quantization: str | None
) -> dict[str, QuantisedFormat]:
    """The format of each weight that is to be rounded; for "auto", of as many bits as memory leaves room for.

    Raises ConfigError for a quantization that does not exist.
    """
    if quantization not in (None, "auto", *QUANTIZATIONS):
        allowed = ", ".join(("None", "auto", *QUANTIZATIONS))
        raise ConfigError(f"quantization {quantization!r}: allowed are {allowed}")
    if quantization != "auto":
        return plan(body, quantization)
    room = AUTO_SHARE * available_memory(device)
    for tried in (None, *QUANTIZATIONS):
        formats = plan(body, tried)
        if weight_bytes(body, dtype, formats) <= room:
            return formats
    return formats


def weight_bytes(body: Body, dtype: torch.dtype, formats: Mapping[str, QuantisedFormat]) -> int:
    """What a body's weights take in a dtype, and where `formats` names one, in that."""
    return sum(
        packed_bytes(formats[name], *p.shape)
        if name in formats
        else p.numel() * parameter_dtype(body, name, dtype).itemsize
        for name, p in body.named_parameters()
    )


def check_memory(
    body: Body,
    dtype: torch.dtype,
    device: torch.device,
    name: str,
    formats: Mapping[str, QuantisedFormat],
) -> None:
    """Raises OutOfMemoryError, saying what would fit, if a body's weights would not."""
    needed, there = weight_bytes(body, dtype, formats), available_memory(device)
    if needed <= there:
        return
    half = weight_bytes(body, torch.bfloat16, formats)
    if half <= there and half < needed:
        fits = 'in bfloat16 it would fit: pass dtype="bfloat16"'
    else:
        fits = f"about {there / 2e9:.1f} billion parameters would fit in bfloat16; this model has "
        fits += f"{sum(p.numel() for _, p in body.named_parameters()) / 1e9:.1f} billion"
    small = [kind for kind in QUANTIZATIONS if weight_bytes(body, dtype, plan(body, kind)) <= there]
    if small and not formats:
        fits += f'; rounded to {small[0]} it would fit: pass quantization="{small[0]}"'
    raise OutOfMemoryError(
        f"{name}: the weights need {human_bytes(needed)} in {str(dtype).removeprefix('torch.')}, and "
        f"{human_bytes(there)} are free on {device}; {fits}"
    )
