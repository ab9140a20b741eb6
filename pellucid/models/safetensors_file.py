"""Reads the headers of safetensors files, single and sharded: which tensors are where.

The format is a little-endian length of 8 bytes, that much JSON, and the data, without holes
(https://huggingface.co/docs/safetensors, "Format").
"""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from pellucid.errors import WeightsError
from pellucid.models.encodings import SAFETENSORS, Encoding
from pellucid.models.gguf_blocks import ENCODINGS
from pellucid.models.json_file import read_json
from pellucid.models.stored import A_POINTER, POINTER, StoredTensor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
PACKED = "pellucid.packed"
PACKINGS = {encoding.name: encoding for encoding in ENCODINGS.values() if encoding.name in ("Q8_0", "Q4_0")}
HEADER_LIMIT = 100_000_000
"""No longer header is opened, as in the reference implementation."""


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder: all shards of the index, or the single file.

    Raises WeightsError naming what is missing.
    """
    if (folder / INDEX).exists():
        files = indexed_files(folder)
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise WeightsError(
                f"{folder}: {len(missing)} of {len(files)} shards are missing: {', '.join(missing[:3])}; "
                "download the checkpoint again, or copy them beside the index"
            )
        return files
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    others = sorted(file.name for file in folder.glob("*.safetensors"))
    if len(others) == 1:
        return [folder / others[0]]
    if others:
        raise WeightsError(
            f"{folder}: {', '.join(others[:3])} are there, but no {INDEX} says what is in which; download "
            "that file too"
        )
    pickles = sorted(file.name for pattern in ("*.bin", "*.pt", "*.pth") for file in folder.glob(pattern))
    if pickles:
        raise WeightsError(
            f"{folder}: its weights are pickle files ({', '.join(pickles[:3])}), which can run code when "
            f"read, so Pellucid does not open them; `pellucid convert {folder}` reads only their tensors and "
            "writes safetensors beside them"
        )
    raise WeightsError(f"{folder}: no {SINGLE} and no {INDEX}, so there are no weights to load")


def indexed_files(folder: Path) -> list[Path]:
    """The files that an index names, there or not. Raises WeightsError if it is damaged."""
    index = folder / INDEX
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(s, str) for s in shards.values()):
        raise WeightsError(f"{index}: `weight_map` must map tensor names to file names")
    names = sorted(set(shards.values()))
    strays = [name for name in names if "/" in name or "\\" in name or "\0" in name or not Path(name).name]
    if strays:
        raise WeightsError(f"{index}: `weight_map` names {strays[0]!r}, which is no file beside the index")
    return [folder / name for name in names]


def read_header(file: Path) -> list[StoredTensor]:
    """Every tensor of a file in the order it is stored. Reads the header alone.

    Raises WeightsError, naming the tensor where there is one, if the file is damaged.
    """
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, 2)
            opened.seek(0)
            beginning = opened.read(len(POINTER))
            if beginning == POINTER:
                raise WeightsError(f"{file}: {A_POINTER}")
            length = int.from_bytes(beginning[:8], "little")
            if size < 8 or length > min(size - 8, HEADER_LIMIT):
                raise WeightsError(
                    f"{file}: not a whole safetensors file: {size} bytes, of which the header would take "
                    f"{length}; download it again"
                )
            opened.seek(8)
            text = opened.read(length)
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    try:
        header = json.loads(text)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise WeightsError(f"{file}: its header is not JSON ({error}); download it again") from error
    if not isinstance(header, dict):
        raise WeightsError(f"{file}: its header is no JSON object; download it again")
    packings = _packings(header.pop("__metadata__", None), file)
    entries = [_entry(file, name, entry, 8 + length) for name, entry in header.items()]
    tensors = _contiguous(entries, file, 8 + length, size)
    return [
        _unpacked(tensor, packings[tensor.name]) if tensor.name in packings else tensor for tensor in tensors
    ]


def _packings(metadata: Any, file: Path) -> dict[str, Encoding]:
    """Which tensors hold blocks of a GGUF packing, as `pellucid quantize` writes them."""
    said = metadata.get(PACKED, "{}") if isinstance(metadata, dict) else "{}"
    try:
        return {name: PACKINGS[packing] for name, packing in json.loads(said).items()}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise WeightsError(
            f"{file}: its metadata's {PACKED!r} must map tensors to {' or '.join(PACKINGS)}; the header is "
            "damaged"
        ) from error


def _unpacked(tensor: StoredTensor, packing: Encoding) -> StoredTensor:
    """A tensor of bytes as what its blocks stand for."""
    if tensor.encoding.name != "U8" or len(tensor.shape) != 2 or tensor.shape[1] % packing.nbytes:
        raise WeightsError(
            f"{tensor.file}: tensor {tensor.name!r} is said to be packed as {packing.name}, and holds "
            f"{tensor.encoding.name} of shape {list(tensor.shape)}; the header is damaged"
        )
    shape = (tensor.shape[0], tensor.shape[1] // packing.nbytes * packing.values)
    return replace(tensor, shape=shape, encoding=packing)


def _entry(file: Path, name: str, entry: Any, data_start: int) -> tuple[StoredTensor, int]:
    """The tensor, and where the header says that it ends."""
    what = f"{file}: tensor {name!r}"
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise WeightsError(f"{what} lacks one of dtype, shape and data_offsets; the header is damaged")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SAFETENSORS:
        raise WeightsError(f"{what} has dtype {dtype!r}; known are {', '.join(SAFETENSORS)}")
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise WeightsError(f"{what} has shape {shape!r} and offsets {offsets!r}; the header is damaged")
    encoding, (start, stop) = SAFETENSORS[dtype], offsets
    if math.prod(shape) * encoding.nbytes != stop - start:
        raise WeightsError(
            f"{what} has shape {shape}, {math.prod(shape) * encoding.nbytes} bytes in {dtype}, but "
            f"{stop - start} bytes in the file; the header is damaged"
        )
    return StoredTensor(file, name, tuple(shape), encoding, data_start + start), data_start + stop


def _contiguous(
    entries: list[tuple[StoredTensor, int]], file: Path, at: int, size: int
) -> list[StoredTensor]:
    """The tensors by offset; from `at`, where the header ends, the format allows no hole, no overlap, and
    nothing after the last."""
    entries.sort(key=lambda entry: (entry[0].offset, entry[1]))
    for tensor, stop in entries:
        if tensor.offset != at:
            raise WeightsError(
                f"{file}: tensor {tensor.name!r} begins at byte {tensor.offset}, where {at} is the first "
                "free one; the header is damaged, download it again"
            )
        if stop > size:
            raise WeightsError(
                f"{file}: truncated: {size} bytes are there, {max(end for _, end in entries)} should be, and "
                f"tensor {tensor.name!r} is the first that is not whole; download it again"
            )
        at = stop
    if at != size:
        raise WeightsError(f"{file}: {size - at} bytes follow the last tensor; download it again")
    return [tensor for tensor, _ in entries]


def _sizes(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 2**63 for n in value)
