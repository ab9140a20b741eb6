"""Writes a checkpoint with its weights rounded to 8 or 4 bits, in the published names and in safetensors.

A rounded tensor is stored as the bytes of GGUF's Q8_0 or Q4_0 blocks, a row of bytes for each row of the
weight; the file's metadata say which are (`pellucid.packed`), so that loading takes the blocks as they are. A
few rows are in memory at a time.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pellucid.errors import WeightsError
from pellucid.kernels.packing import GROUP, round_rows
from pellucid.kernels.spec import QuantisedFormat
from pellucid.models.checkpoint import Checkpoint
from pellucid.models.convert import no_room
from pellucid.models.encodings import Encoding
from pellucid.models.quantising import plan
from pellucid.models.safetensors_file import PACKED, PACKINGS, SINGLE
from pellucid.models.stored import StoredTensor
from pellucid.models.weights import PIECE_VALUES, place

PACKED_AS: dict[QuantisedFormat, str] = {"int8": "Q8_0", "int4": "Q4_0"}


@dataclass(frozen=True)
class Quantised:
    """What was written."""

    file: Path
    num_rounded: int
    nbytes: int
    nbytes_before: int


def quantise_folder(checkpoint: Checkpoint, target: Path, quantization: str) -> Quantised:
    """Write the checkpoint's rounded twin into a folder that is new or empty.

    Nothing is there under the folder's name before all of it is. Raises WeightsError where the folder holds
    something or cannot be written, or the checkpoint is a GGUF file.
    """
    source = checkpoint.source.path
    if source.is_file():
        raise WeightsError(
            f"{source}: a GGUF file is quantised already or by llama.cpp's own tools; give a folder"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise WeightsError(f"{target}: is not empty; give a new folder, so that nothing is overwritten")
    body, tensors = checkpoint.empty_body(), checkpoint.tensors()
    formats = plan(body, quantization)
    packings = {
        tensor.name: PACKINGS[PACKED_AS[formats[place_.parameter]]]
        for tensor, place_ in place(body, checkpoint.family, tensors, source)
        if place_.parameter in formats and not place_.transform and tensor.shape[-1] % GROUP == 0
    }
    if not packings:
        raise WeightsError(
            f"{source}: none of its weights can be stored rounded (this family publishes them on their side, "
            f"or in rows that are no multiples of {GROUP}); pass quantization={quantization!r} when loading"
        )
    partial = target.resolve().parent / f".{target.name}.{os.getpid()}.partial"
    try:
        partial.mkdir(parents=True)
        copy_beside(source, partial)
        _write(partial / SINGLE, tensors, packings)
        os.replace(partial, target)
    except OSError as error:
        raise WeightsError(no_room(target, error.errno, error.strerror or str(error))) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    before = sum(tensor.nbytes for tensor in tensors)
    return Quantised(target / SINGLE, len(packings), (target / SINGLE).stat().st_size, before)


def copy_beside(source: Path, target: Path) -> None:
    """Copy what a checkpoint's folder holds beside its weights: config, tokenizer, chat template."""
    for file in source.iterdir():
        if (
            file.is_file()
            and file.suffix in (".json", ".model", ".txt", ".jinja")
            and "safetensors" not in file.name
        ):
            shutil.copy2(file, target)


def _write(file: Path, tensors: list[StoredTensor], packings: dict[str, Encoding]) -> None:
    header: dict[str, Any] = {
        "__metadata__": {"format": "pt", PACKED: json.dumps({n: e.name for n, e in packings.items()})}
    }
    at = 0
    for tensor in tensors:
        packing = packings.get(tensor.name)
        dtype, shape = (tensor.encoding.name, list(tensor.shape))
        if packing:
            dtype, shape = "U8", [tensor.num_rows, tensor.shape[1] // packing.values * packing.nbytes]
        size = shape[0] * shape[1] if packing else tensor.nbytes
        header[tensor.name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as opened:
        opened.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors:
            for part in _parts(tensor, packings.get(tensor.name)):
                opened.write(part.numpy().tobytes())


def _parts(tensor: StoredTensor, packing: Encoding | None) -> Iterator[Tensor]:
    """What is written for a tensor, a few rows at a time, as bytes."""
    for start, stop in tensor.pieces(PIECE_VALUES):
        if packing is None:
            yield tensor.blocks(start, stop)
        else:
            kind: QuantisedFormat = "int8" if packing.name == PACKED_AS["int8"] else "int4"
            yield _blocks(tensor.rows(start, stop).float(), kind)


def _blocks(rows_OI: Tensor, kind: QuantisedFormat) -> Tensor:
    """Q8_0 or Q4_0 blocks, a group in each row of bytes: its scale, then its numbers."""
    q_OI, scales_ON1 = round_rows(rows_OI, kind)
    q_NV = q_OI.view(-1, GROUP)
    if kind == "int4":
        nibbles = (q_NV + 8).view(torch.uint8)
        q_NV = nibbles[:, : GROUP // 2] | nibbles[:, GROUP // 2 :] << 4
    scale_N2 = scales_ON1.view(-1, 1).to(torch.float16).view(torch.uint8)
    return torch.cat((scale_N2, q_NV.view(torch.uint8)), dim=1)
