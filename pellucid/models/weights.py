"""Brings published tensors to their places in a body that was built without memory.

Letters: O outputs, I inputs.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import WeightsError
from pellucid.kernels.large_pages import zeros_on
from pellucid.kernels.spec import QuantisedFormat
from pellucid.layers.linear import FusedLinear
from pellucid.layers.norm import LayerNorm, RMSNorm
from pellucid.models.body import Body
from pellucid.models.encodings import Encoding
from pellucid.models.family import Family
from pellucid.models.quantising import PackedRows, swap
from pellucid.models.stored import StoredTensor

PIECE_VALUES = 4 * 2**20
"""How many numbers are on their way at a time: what loading needs beside the weights themselves."""


@dataclass(frozen=True)
class Target:
    """Where a published tensor goes: rows `start:stop` of one of the body's parameters."""

    parameter: str
    start: int
    stop: int
    transform: Callable[[Tensor], Tensor] | None


Placement = tuple[StoredTensor, Target]


def place(body: Body, family: Family[Any], stored: Sequence[StoredTensor], where: Path) -> list[Placement]:
    """Each tensor of the files with the place it goes to, in the files' order. Reads no weights.

    `where` names the checkpoint in messages. Raises WeightsError naming file and tensor for one that is
    missing, unknown, there twice, misshaped or no number.
    """
    wanted = targets(body, family)
    unnamed = {name for name, _ in body.named_parameters()} - {target.parameter for target in wanted.values()}
    assert not unnamed, f"the {family.model_type} family says no published name for {sorted(unnamed)[:3]}"
    skip = ignorable(body, family)
    shapes = {name: parameter.shape for name, parameter in body.named_parameters()}
    spares = {name for names in family.spares.values() for name in names}
    there: dict[str, StoredTensor] = {}
    for tensor in stored:
        name = family.published_name(tensor.name, wanted)
        if name in there:
            raise WeightsError(f"{tensor.file}: tensor {tensor.name!r} is also in {there[name].file}")
        if name in wanted or name in spares:
            there[name] = tensor
        elif not skip.fullmatch(name):
            raise WeightsError(
                f"{tensor.file}: tensor {tensor.name!r} has no place in this {family.model_type}; either the "
                "config does not belong to these weights, or the file holds more than this model"
            )
    found: dict[str, StoredTensor] = {}
    for name in wanted:
        if known := [n for n in (name, *family.spares.get(name, ())) if n in there]:
            found[name] = there[known[0]]
    if missing := sorted(wanted.keys() - found.keys() - set(family.optional)):
        raise WeightsError(
            f"{where}: {len(missing)} of the {len(wanted)} tensors that this {family.model_type} needs are "
            f"in no file, among them {', '.join(missing[:3])}; the checkpoint is incomplete, or its config "
            "is another model's"
        )
    for name, tensor in found.items():
        _check(tensor, wanted[name], shapes[wanted[name].parameter])
    return [(tensor, wanted[name]) for name, tensor in found.items()]


def stored_encodings(placements: Sequence[Placement]) -> dict[str, set[Encoding]]:
    """How the parts of each parameter are stored."""
    found: dict[str, set[Encoding]] = {}
    for tensor, target in placements:
        found.setdefault(target.parameter, set()).add(tensor.encoding)
    return found


def fill(
    body: Body,
    placements: Sequence[Placement],
    *,
    dtype: torch.dtype,
    device: torch.device,
    formats: Mapping[str, QuantisedFormat],
) -> None:
    """Give the body's parameters memory and values, those that `formats` names rounded to its format. A few
    rows are read at a time; nothing else is held.

    Raises WeightsError naming file and tensor for one that is not finite.
    """
    parameters = dict(body.named_parameters())
    filled: dict[str, Tensor] = {}
    zeros = zeros_on(device)
    for name in parameters.keys() - formats.keys():
        # rows that nothing is published for are zero (Whisper's keys have no bias)
        filled[name] = zeros(parameters[name].shape, parameter_dtype(body, name, dtype))
    packed: dict[str, PackedRows] = {}
    for tensor, target in placements:
        name = target.parameter
        if name in formats:
            if name not in packed:
                packed[name] = PackedRows(formats[name], parameters[name].shape, zeros)
            _pack(tensor, target, packed[name])
            continue
        _copy(tensor, target, filled[name][target.start : target.stop])
    for name, value in filled.items():
        module = body.get_submodule(name.rpartition(".")[0])
        setattr(module, name.rpartition(".")[2], nn.Parameter(value, requires_grad=False))
    swap(body, {name: rows.weight for name, rows in packed.items()})


def targets(body: Body, family: Family[Any]) -> dict[str, Target]:
    """Published tensor name → where it goes, for every parameter that this body has."""
    parameters = dict(body.named_parameters())
    found = {}
    for published, ours in _pairs(family):
        transform = family.transforms.get(published)
        template, _, section_template = ours.removesuffix("]").partition("[")
        for parameter, numbers in _matches(template, parameters):
            if not section_template:
                rows = parameters[parameter].shape[0]
                found[_numbered(published, numbers)] = Target(parameter, 0, rows, transform)
                continue
            module = body.get_submodule(parameter.rpartition(".")[0])
            assert isinstance(module, FusedLinear), f"{ours} names a section of what has none"
            for section, more in _matches(section_template, module.sections):
                start, stop = module.sections[section]
                found[_numbered(published, numbers + more)] = Target(parameter, start, stop, transform)
    return found


def ignorable(body: Body, family: Family[Any]) -> re.Pattern[str]:
    """Matches published names that hold nothing this body needs: what the family says, other models in the
    same files, and second names of a parameter that another one is tied to."""
    own = {name for name, _ in body.named_parameters()}
    second = {name for name, _ in body.named_parameters(remove_duplicate=False)} - own
    aliases = [name for name, ours in _pairs(family) if any(_matches(ours, second))]
    patterns = [_pattern(name) for name in (*family.ignored, *aliases)]
    patterns += [re.escape(beginning) + ".*" for beginning in family.left_out]
    return re.compile("|".join(patterns) or r"(?!)")


def parameter_dtype(body: Body, name: str, dtype: torch.dtype) -> torch.dtype:
    """Norms keep float32, which costs nothing and saves a rounding; all else is as asked."""
    module = body.get_submodule(name.rpartition(".")[0])
    return torch.float32 if isinstance(module, RMSNorm | LayerNorm) else dtype


def _pairs(family: Family[Any]) -> Iterator[tuple[str, str]]:
    """Published name and one name of ours for it."""
    for published, ours in family.weights.items():
        for one in (ours,) if isinstance(ours, str) else ours:
            yield published, one


def _pattern(template: str) -> str:
    return re.escape(template).replace(r"\{\}", r"(\d+)")


def _matches(template: str, names: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names that a template with `{}` for numbers stands for, with their numbers."""
    pattern = re.compile(_pattern(template))
    for name in names:
        if match := pattern.fullmatch(name):
            yield name, match.groups()


def _numbered(template: str, numbers: tuple[str, ...]) -> str:
    return template.replace("{}", "%s") % numbers if numbers else template


def _check(tensor: StoredTensor, target: Target, parameter_shape: torch.Size) -> None:
    what = f"{tensor.file}: tensor {tensor.name!r}"
    wanted = (target.stop - target.start, *parameter_shape[1:])
    there = tensor.shape
    if target.transform:
        try:
            there = tuple(target.transform(torch.empty(there, device="meta")).shape)
        except RuntimeError:  # of a shape that it was not made for: said below as it is
            pass
    if there != wanted:
        raise WeightsError(
            f"{what} has shape {list(there)}; the config asks for {list(wanted)}. One of the two belongs to "
            "another model"
        )
    if tensor.encoding.decode is None:
        raise WeightsError(f"{what} holds {tensor.encoding.name}; weights must be floating-point numbers")


def _copy(tensor: StoredTensor, target: Target, rows: Tensor) -> None:
    if target.transform:
        _copy_finite(tensor, rows, target.transform(tensor.whole()))
        return
    as_it_is = tensor.encoding.dtype == rows.dtype and rows.device.type == "cpu"
    for start, stop in tensor.pieces(PIECE_VALUES):
        if as_it_is:
            tensor.read_into(rows[start:stop], start)
            _check_finite(tensor, rows[start:stop], rows[start:stop])
        else:
            _copy_finite(tensor, rows[start:stop], tensor.rows(start, stop))


def _pack(tensor: StoredTensor, target: Target, packed: PackedRows) -> None:
    if packed.takes(tensor.encoding):
        # the transforms of a packed file's tensors move rows, so they can tell where each row goes
        order = torch.arange(tensor.num_rows)
        places = target.start + (target.transform(order) if target.transform else order).argsort()
        for start, stop in tensor.pieces(PIECE_VALUES):
            scales = packed.write_stored(places[start:stop], tensor.blocks(start, stop), tensor.encoding)
            _check_finite(tensor, scales, scales)
        return
    if target.transform:
        values = target.transform(tensor.whole())
        packed.write(target.start, values)
        _check_finite(tensor, values, values)
        return
    for start, stop in tensor.pieces(PIECE_VALUES):
        values = tensor.rows(start, stop)
        packed.write(target.start + start, values)
        _check_finite(tensor, values, values)


def _copy_finite(tensor: StoredTensor, rows: Tensor, values: Tensor) -> None:
    rows.copy_(values)
    _check_finite(tensor, rows, values)


def _check_finite(tensor: StoredTensor, rows: Tensor, values: Tensor) -> None:
    # the sum is one pass that allocates nothing, and any NaN or infinity survives it
    if torch.isfinite(rows.sum()) or torch.isfinite(rows).all():
        return
    what = f"{tensor.file}: tensor {tensor.name!r}"
    if torch.isfinite(values.float()).all():
        kind = str(rows.dtype).removeprefix("torch.")
        raise WeightsError(f"{what} holds numbers too large for {kind}; load it in bfloat16 or float32")
    raise WeightsError(f"{what} holds NaN or infinity; the file is damaged or was saved from a broken run")
