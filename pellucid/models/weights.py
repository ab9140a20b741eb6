"""Streams safetensors files through a family's map into a body that was built without memory.

Letters: O outputs, I inputs.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pellucid.errors import WeightsError
from pellucid.layers.linear import FusedLinear
from pellucid.layers.norm import LayerNorm, RMSNorm
from pellucid.models.family import Family
from pellucid.models.registry import read_json

REOPEN_BYTES = 64 * 2**20
"""A file is mapped anew after this much was read of it, so that its pages do not stay resident."""

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"


@dataclass(frozen=True)
class Target:
    """Where a published tensor goes: rows `start:stop` of one of the body's parameters."""

    parameter: str
    start: int
    stop: int
    transform: Callable[[Tensor], Tensor] | None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder: all shards of the index, or the single file.

    Raises WeightsError naming what is missing.
    """
    index = folder / INDEX
    if index.exists():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(s, str) for s in shards.values()):
            raise WeightsError(f"{index}: `weight_map` must map tensor names to file names")
        files = [folder / name for name in sorted(set(shards.values()))]
        if any(file.parent.resolve() != folder.resolve() for file in files):
            raise WeightsError(f"{index}: `weight_map` names a file outside {folder}")
        missing = [file.name for file in files if not file.exists()]
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
            f"{folder}: {', '.join(others[:3])} are there, but no {INDEX} says what is in which"
        )
    raise WeightsError(f"{folder}: no {SINGLE} and no {INDEX}, so there are no weights to load")


def read_tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a file in the order it is stored, as a view of the mapped file that holds until the
    next one is asked for. Raises WeightsError if the file is damaged."""
    try:
        with safe_open(file, framework="pt") as opened:
            names = list(opened.offset_keys())
        at = 0
        while at < len(names):
            with safe_open(file, framework="pt") as opened:
                read = 0
                while at < len(names) and read < REOPEN_BYTES:
                    tensor = opened.get_tensor(names[at])
                    read += tensor.nbytes
                    yield names[at], tensor
                    at += 1
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{file}: not a whole safetensors file ({error}); download it again") from error


def targets(body: nn.Module, family: Family, num_layers: int) -> dict[str, Target]:
    """Published tensor name → where it goes, for every parameter that this body has."""
    parameters = dict(body.named_parameters())
    modules = dict(body.named_modules())
    found = {}
    for published, ours in family.weights.items():
        transform = family.transforms.get(published)
        for layer in range(num_layers) if "{}" in published else (0,):
            parameter, _, section = ours.replace("{}", str(layer)).partition("[")
            if parameter not in parameters:
                continue
            start, stop = 0, parameters[parameter].shape[0]
            if section:
                module = modules[parameter.rpartition(".")[0]]
                assert isinstance(module, FusedLinear), f"{ours} names a section of what has none"
                start, stop = module.sections[section.removesuffix("]")]
            found[published.replace("{}", str(layer))] = Target(parameter, start, stop, transform)
    return found


def ignorable(family: Family, tied: bool) -> re.Pattern[str]:
    """Matches published names that hold nothing this body needs."""
    patterns = [re.escape(name).replace(r"\{\}", r"\d+") for name in family.ignored]
    patterns += [
        re.escape(name) for name, ours in family.weights.items() if tied and ours == "lm_head.weight"
    ]
    return re.compile("|".join(patterns) or r"(?!)")


def parameter_dtype(body: nn.Module, name: str, dtype: torch.dtype) -> torch.dtype:
    """Norms keep float32, which costs nothing and saves a rounding; all else is as asked."""
    module = body.get_submodule(name.rpartition(".")[0])
    return torch.float32 if isinstance(module, RMSNorm | LayerNorm) else dtype


def load_weights(
    body: nn.Module,
    family: Family,
    tensors: Sequence[tuple[Path, Iterator[tuple[str, Tensor]]]],
    *,
    num_layers: int,
    tied: bool,
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    """Fill a body that lives on the meta device. Each published tensor is read once and copied to its place;
    nothing else is held.

    Raises WeightsError naming file and tensor for one that is missing, unknown, misshaped or not finite.
    """
    wanted = targets(body, family, num_layers)
    skip = ignorable(family, tied)
    parameters = dict(body.named_parameters())
    waiting = dict(wanted)
    filled: dict[str, Tensor] = {}
    for file, stream in tensors:
        for raw_name, tensor in stream:
            name = _without_prefix(raw_name, wanted, family)
            target = wanted.get(name)
            if target is None:
                if skip.fullmatch(name):
                    continue
                raise WeightsError(
                    f"{file}: tensor {raw_name!r} has no place in this {family.model_type}; either the "
                    "config does not belong to these weights, or the file holds more than this model"
                )
            shape = parameters[target.parameter].shape
            if target.parameter not in filled:
                filled[target.parameter] = torch.empty(
                    shape, dtype=parameter_dtype(body, target.parameter, dtype), device=device
                )
            _place(filled[target.parameter], tensor, target, f"{file}: tensor {raw_name!r}")
            waiting.pop(name, None)
    if waiting:
        some = ", ".join(sorted(waiting)[:3])
        where = tensors[0][0].parent if tensors else Path()
        raise WeightsError(
            f"{where}: {len(waiting)} tensors that this {family.model_type} needs are in no file, among them "
            f"{some}; the checkpoint is incomplete or its config is another model's"
        )
    for name, value in filled.items():
        module = body.get_submodule(name.rpartition(".")[0])
        setattr(module, name.rpartition(".")[2], nn.Parameter(value, requires_grad=False))


def _without_prefix(name: str, wanted: dict[str, Target], family: Family) -> str:
    if name in wanted:
        return name
    return next((name.removeprefix(p) for p in family.prefixes if name.startswith(p)), name)


def _place(parameter: Tensor, tensor: Tensor, target: Target, what: str) -> None:
    value = target.transform(tensor) if target.transform else tensor
    rows = parameter[target.start : target.stop]
    if value.shape != rows.shape:
        raise WeightsError(
            f"{what} has shape {list(value.shape)}; the config asks for {list(rows.shape)}. One of the two "
            "belongs to another model"
        )
    if not value.is_floating_point():
        raise WeightsError(f"{what} holds {value.dtype}; weights must be floating-point numbers")
    rows.copy_(value)
    # one pass that allocates nothing: any NaN or infinity survives the sum
    if not torch.isfinite(rows.sum(dtype=torch.float32)) and not torch.isfinite(rows).all():
        raise WeightsError(
            f"{what} holds NaN or infinity; the file is damaged or was saved from a broken run"
        )
