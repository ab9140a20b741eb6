"""From a name to a model that runs: open its config, check that it fits, stream its weights."""

import os

import torch

from pellucid.device import available_memory, human_bytes, resolve_device, resolve_dtype
from pellucid.errors import OutOfMemoryError
from pellucid.models.body import Body
from pellucid.models.checkpoint import Checkpoint, open_checkpoint
from pellucid.models.weights import fill, parameter_dtype, place


def load_model(
    source: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    revision: str | None = None,
    token: str | None = None,
) -> Body:
    """The bare network of a bundled name, local folder or hub id, for study and tests.

    `model.logits(input_ids)` gives `[T, vocab]`. Raises PellucidError saying what is wrong and what to do.
    """
    checkpoint = open_checkpoint(source, revision=revision, token=token)
    return load_checkpoint(checkpoint, dtype=dtype, device=device)


def load_checkpoint(
    checkpoint: Checkpoint, *, dtype: str | torch.dtype = "auto", device: str | torch.device = "auto"
) -> Body:
    """The model with its weights, ready to run. Raises WeightsError or OutOfMemoryError."""
    number, where = resolve_dtype(dtype, checkpoint.config.dtype), resolve_device(device)
    body = checkpoint.empty_body()
    # every mistake that headers show is found before the first weight is read
    placements = place(body, checkpoint.family, checkpoint.tensors(), checkpoint.source.path)
    check_memory(body, number, where, checkpoint.source.name)
    fill(body, placements, dtype=number, device=where)
    body.tie_weights()
    return body.to(where).eval()


def weight_bytes(body: Body, dtype: torch.dtype) -> int:
    """What a body's weights take in a dtype."""
    return sum(p.numel() * parameter_dtype(body, name, dtype).itemsize for name, p in body.named_parameters())


def check_memory(body: Body, dtype: torch.dtype, device: torch.device, name: str) -> None:
    """Raises OutOfMemoryError, saying what would fit, if a body's weights would not."""
    needed, there = weight_bytes(body, dtype), available_memory(device)
    if needed <= there:
        return
    half = weight_bytes(body, torch.bfloat16)
    if half <= there and half < needed:
        fits = 'in bfloat16 it would fit: pass dtype="bfloat16"'
    else:
        fits = f"about {there / 2e9:.1f} billion parameters would fit in bfloat16; this model has "
        fits += f"{sum(p.numel() for _, p in body.named_parameters()) / 1e9:.1f} billion"
    raise OutOfMemoryError(
        f"{name}: the weights need {human_bytes(needed)} in {str(dtype).removeprefix('torch.')}, and "
        f"{human_bytes(there)} are free on {device}; {fits}"
    )
