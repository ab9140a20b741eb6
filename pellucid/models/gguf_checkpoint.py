"""A GGUF file as a checkpoint: the family it belongs to under GGUF's names, its config, tensors and
tokenizer."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from pellucid.errors import ConfigError, WeightsError, did_you_mean
from pellucid.models.body import BodyConfig
from pellucid.models.family import Family
from pellucid.models.gguf_architectures import ARCHITECTURES
from pellucid.models.gguf_file import read_gguf
from pellucid.models.gguf_header import GGUFHeader
from pellucid.models.gguf_names import ROPE_FACTORS
from pellucid.models.registry import read_config
from pellucid.models.stored import StoredTensor

SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf")
STACKED = re.compile(r"(blk\.\d+\.(?:ffn_(?:gate|up|down)_exps|attn_[qk]_norm))\.(weight|bias)")
MAX_STACKED = 4096
"""No model has as many experts or heads."""

PLAIN = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
PACKED = "bfloat16"
"""What packed weights become where they are unpacked and no dtype is asked for."""


@dataclass(frozen=True)
class GGUFCheckpoint:
    """What a file holds, in the words of the family that runs it."""

    header: GGUFHeader
    family: Family[Any]
    config: BodyConfig
    tensors: list[StoredTensor]
    generation: dict[str, Any]


def open_gguf(path: Path) -> GGUFCheckpoint:
    """A file, with the other parts of a split one beside it. Reads headers alone.

    Raises ConfigError or WeightsError naming file and key or tensor.
    """
    header = _whole(path)
    architecture = ARCHITECTURES.get(header.architecture)
    if not header.architecture:
        raise ConfigError(
            f"{path}: `general.architecture` is missing, so nothing says how to read its tensors"
        )
    if architecture is None:
        hint = did_you_mean(header.architecture, ARCHITECTURES)
        raise ConfigError(
            f"{path}: `general.architecture` is {header.architecture!r}{hint}; Pellucid opens GGUF files of "
            f"{', '.join(sorted(ARCHITECTURES))}"
        )
    tensors = list(header.tensors.values())
    fields = architecture.fields(header) | {"dtype": _dtype(tensors)}
    header.refuse_unread()
    family, config = read_config(fields, str(path))
    transforms = _side_by_side(header) if architecture.pairs_together else {}
    family = replace(
        family, weights=architecture.weights, transforms=transforms, ignored=ROPE_FACTORS, prefixes=()
    )
    return GGUFCheckpoint(header, family, config, tensors, _generation(header))


def _whole(path: Path) -> GGUFHeader:
    """The header of a file, or of all parts of a split one; the first part has the metadata."""
    files = _parts(path)
    read = [read_gguf(file) for file in files]
    count = read[0].metadata.get("split.count", 1)
    if count not in (0, len(files)):
        raise WeightsError(
            f"{path}: is one of {count} parts, and {len(files)} are named as its parts; keep their published "
            "names, name-00001-of-00003.gguf, and give the first"
        )
    tensors = [part for file in read for tensor in file.tensors for part in _unstacked(tensor)]
    twice = [name for name, count in Counter(tensor.name for tensor in tensors).items() if count > 1]
    if twice:
        raise WeightsError(f"{path}: tensor {twice[0]!r} is there more than once; the file is damaged")
    return GGUFHeader(read[0].metadata, tensors, str(path))


def _parts(path: Path) -> list[Path]:
    match = SPLIT.fullmatch(path.name)
    if match is None:
        return [path]
    stem, count = match[1], int(match[3])
    missing = []
    files = []
    for number in range(1, min(count, 1000) + 1):
        file = path.with_name(f"{stem}-{number:05}-of-{count:05}.gguf")
        files.append(file)
        if not file.is_file():
            missing.append(file.name)
    if missing:
        raise WeightsError(
            f"{path}: {len(missing)} of its {count} parts are missing: {', '.join(missing[:3])}; download "
            "them into the same folder"
        )
    return files


def _unstacked(tensor: StoredTensor) -> Sequence[StoredTensor]:
    """Experts, and norms with a weight for each head, are stacked in one tensor: one for each of them."""
    match = STACKED.fullmatch(tensor.name)
    if match is None or len(tensor.shape) < 2 or tensor.num_rows > MAX_STACKED:
        return (tensor,)
    return [
        replace(
            tensor,
            name=f"{match[1]}.{i}.{match[2]}",
            shape=tensor.shape[1:],
            offset=tensor.offset + i * tensor.row_bytes,
        )
        for i in range(tensor.num_rows)
    ]


def _dtype(tensors: Sequence[StoredTensor]) -> str:
    """What most of the file's numbers are stored in, if that is a plain dtype."""
    counts = Counter[str]()
    for tensor in tensors:
        counts[tensor.encoding.name] += tensor.num_values
    return PLAIN.get(max(counts, key=counts.__getitem__, default=""), PACKED)


def _side_by_side(header: GGUFHeader) -> dict[str, Callable[[Tensor], Tensor]]:
    heads = header.size("attention.head_count")
    counts = {"q": heads, "k": header.whole("attention.head_count_kv") or heads}
    return {
        f"blk.{{}}.attn_{part}.{kind}": partial(halves_apart, num_heads=count)
        for part, count in counts.items()
        for kind in ("weight", "bias")
    }


def halves_apart(rows: Tensor, num_heads: int) -> Tensor:
    """Each head's rows from llama.cpp's order, where the two rows that turn together are neighbours, to the
    published one, where the second half of a head turns with the first."""
    if rows.shape[0] % (2 * num_heads):
        return rows  # misshaped, which is said where shapes are compared
    return rows.reshape(num_heads, -1, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)


def _generation(header: GGUFHeader) -> dict[str, Any]:
    """What generation_config.json would say: where answers end, and how the publisher samples."""
    ends = [header.special(role) for role in ("eos", "eot", "eom")]
    said: dict[str, Any] = {"eos_token_id": list(dict.fromkeys(i for i in ends if i is not None))}
    sampling = {"temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
    for name, key in sampling.items():
        value = header.metadata.get(f"general.sampling.{key}")
        if isinstance(value, int | float):
            said |= {name: value, "do_sample": True}
    return {name: value for name, value in said.items() if value not in ([], None)}
