"""From a name to a model that runs: open its config, check that it fits, stream its weights."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pellucid.device import available_memory, human_bytes, resolve_device, resolve_dtype
from pellucid.errors import OutOfMemoryError
from pellucid.models import hub
from pellucid.models.config import ModelConfig
from pellucid.models.decoder import Decoder
from pellucid.models.family import Family
from pellucid.models.registry import read_config, read_json
from pellucid.models.weights import load_weights, parameter_dtype, read_tensors, weight_files


@dataclass(frozen=True)
class Checkpoint:
    """A published model, opened but not loaded."""

    source: hub.Source
    family: Family
    config: ModelConfig
    generation: dict[str, Any]
    """What generation_config.json says, empty where there is none."""

    @property
    def folder(self) -> Path:
        return self.source.folder

    def empty_body(self) -> nn.Module:
        """The body with shapes and without memory."""
        with torch.device("meta"):
            return self.family.build(self.config)


def open_checkpoint(
    source: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None
) -> Checkpoint:
    """Find a model and read its config. Raises SourceError or ConfigError."""
    found = hub.find(source, revision=revision, token=token)
    path = found.folder / "config.json"
    family, config = read_config(read_json(path), str(path))
    generation = found.folder / "generation_config.json"
    return Checkpoint(found, family, config, read_json(generation) if generation.exists() else {})


def weight_bytes(body: nn.Module, dtype: torch.dtype) -> int:
    """What a body's weights take in a dtype."""
    return sum(p.numel() * parameter_dtype(body, name, dtype).itemsize for name, p in body.named_parameters())


def load_checkpoint(
    checkpoint: Checkpoint, *, dtype: str | torch.dtype = "auto", device: str | torch.device = "auto"
) -> Decoder:
    """The model with its weights, ready to run. Raises WeightsError or OutOfMemoryError."""
    number, place = resolve_dtype(dtype, checkpoint.config.dtype), resolve_device(device)
    body = checkpoint.empty_body()
    _check_memory(body, number, place, checkpoint.source.name)
    files = [(file, read_tensors(file)) for file in weight_files(checkpoint.folder)]
    load_weights(
        body,
        checkpoint.family,
        files,
        num_layers=checkpoint.config.num_layers,
        tied=checkpoint.config.tie_word_embeddings,
        dtype=number,
        device=place,
    )
    assert isinstance(body, Decoder)
    body.tie_weights()
    return body.to(place).eval()


def load_model(
    source: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    revision: str | None = None,
    token: str | None = None,
) -> Decoder:
    """The bare network of a bundled name, local folder or hub id, for study and tests.

    `model.logits(input_ids)` gives `[T, vocab]`. Raises PellucidError saying what is wrong and what to do.
    """
    checkpoint = open_checkpoint(source, revision=revision, token=token)
    return load_checkpoint(checkpoint, dtype=dtype, device=device)


def _check_memory(body: nn.Module, dtype: torch.dtype, device: torch.device, name: str) -> None:
    needed, there = weight_bytes(body, dtype), available_memory(device)
    if needed <= there:
        return
    fits = [n for n, d in (("bfloat16", torch.bfloat16),) if weight_bytes(body, d) <= there and d != dtype]
    hint = f'; it would fit with dtype="{fits[0]}"' if fits else "; it needs a machine with more memory"
    raise OutOfMemoryError(
        f"{name}: the weights need {human_bytes(needed)} in {str(dtype).removeprefix('torch.')}, and "
        f"{human_bytes(there)} are free on {device}{hint}"
    )
