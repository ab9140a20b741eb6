"""Training states that survive a kill at any moment, and are taken up by the same run alone."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pellucid.errors import WeightsError
from pellucid.models.publishing import write_atomically
from pellucid.training.optim import Average, Optimizer, trained

STATE = "state.safetensors"
OTHERS = {"model", "average", "step"}
"""What a state says of each parameter, or of all, beside the moments that its optimizer remembers."""


@dataclass
class Progress:
    """How far a run is."""

    step: int = 0
    """Steps done."""
    best: float = float("inf")
    """The best evaluation so far."""
    last: float = float("inf")
    """The last evaluation."""
    worse: int = 0
    """Evaluations since the best."""


def identity(model: nn.Module, data: object, **settings: object) -> dict[str, str]:
    """What must be the same for a run to go on from a state: settings, the data of a step, and the weights
    that it began with (64 numbers of each tensor)."""
    begun = [tensor.detach().flatten()[:64] for tensor in chain(model.parameters(), model.buffers())]
    named = {name: str(value) for name, value in settings.items()}
    return named | {"data": digest(tensors_in(data)), "model to begin with": digest(begun)}


def tensors_in(value: object) -> Iterator[Tensor]:
    """Every tensor of a batch, whatever it is made of."""
    if isinstance(value, Tensor):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def digest(tensors: Iterable[Tensor]) -> str:
    """A short number for the bytes of tensors."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def save_state(
    folder: Path,
    model: nn.Module,
    optimizer: Optimizer,
    average: Average | None,
    at: Progress,
    of: Mapping[str, str],
) -> None:
    """Everything that the next step depends on, in one file."""
    tensors, remembered = {}, optimizer.state()
    for name, parameter in trained(model):
        tensors[f"model.{name}"] = parameter.detach()
        for kind, value in remembered[parameter].items():
            if kind not in OTHERS:
                tensors[f"{kind}.{name}"] = value
        if average is not None:
            tensors[f"average.{name}"] = average.values[name]
    metadata = {field.name: repr(getattr(at, field.name)) for field in fields(at)}
    write_atomically(folder / STATE, tensors, {**metadata, "of": json.dumps(of)})


def load_state(
    folder: Path, model: nn.Module, optimizer: Optimizer, average: Average | None, of: Mapping[str, str]
) -> Progress:
    """Put a saved state back; a run that has none begins at step 0. `of`: the run's identity.

    Raises WeightsError if it belongs to another model or another run, or is damaged.
    """
    if not (folder / STATE).exists():
        return Progress()
    try:
        return _load(folder / STATE, model, optimizer, average, of)
    except SafetensorError as error:
        raise WeightsError(
            f"{folder / STATE} is damaged ({error}); delete it to begin anew, or put a copy in its place"
        ) from error


def _load(
    path: Path, model: nn.Module, optimizer: Optimizer, average: Average | None, of: Mapping[str, str]
) -> Progress:
    with safe_open(path, framework="pt") as file, torch.no_grad():
        meta, saved = file.metadata(), set(file.keys())
        shapes = {name: list(parameter.shape) for name, parameter in trained(model)}
        known = {key.removeprefix("model."): key for key in saved if key.startswith("model.")}
        if differ := sorted(shapes.keys() ^ known) or [
            name for name in shapes if file.get_slice(known[name]).get_shape() != shapes[name]
        ]:
            raise WeightsError(
                f"{path} is the state of another model ({differ[0]} differs); train into an empty "
                "folder, or delete the file"
            )
        before = json.loads(meta.get("of", "{}"))
        if other := [name for name in of if before.get(name) != of[name]]:
            raise WeightsError(
                f"{path} is the state of a run with another {' and another '.join(other)}; train into "
                "another folder, or delete the file to begin anew"
            )
        for name, parameter in trained(model):
            parameter.copy_(file.get_tensor(f"model.{name}"))
            parts = (key.partition(".") for key in saved)
            kinds = {kind for kind, _, whose in parts if whose == name} - OTHERS
            moments = {kind: file.get_tensor(f"{kind}.{name}").to(parameter.device) for kind in kinds}
            step = torch.tensor(float(meta["step"]), device=parameter.device)
            optimizer.restore(parameter, {"step": step, **moments})
            if average is not None:
                average.values[name].copy_(file.get_tensor(f"average.{name}"))
    return Progress(int(meta["step"]), float(meta["best"]), float(meta["last"]), int(meta["worse"]))
