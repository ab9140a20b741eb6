"""Training states that survive a kill at any moment."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn

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
    worse: int = 0
    """Evaluations since then."""


def save_state(
    folder: Path, model: nn.Module, optimizer: Optimizer, average: Average | None, at: Progress
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
    metadata = {"step": str(at.step), "best": repr(at.best), "worse": str(at.worse)}
    write_atomically(folder / STATE, tensors, metadata)


def load_state(folder: Path, model: nn.Module, optimizer: Optimizer, average: Average | None) -> Progress:
    """Put a saved state back; a run that has none begins at step 0.

    Raises WeightsError if it belongs to another model.
    """
    if not (folder / STATE).exists():
        return Progress()
    with safe_open(folder / STATE, framework="pt") as file, torch.no_grad():
        meta, saved = file.metadata(), set(file.keys())
        for name, parameter in trained(model):
            if f"model.{name}" not in saved or file.get_slice(f"model.{name}").get_shape() != list(
                parameter.shape
            ):
                raise WeightsError(
                    f"{folder / STATE} is the state of another model ({name} differs); train into an empty "
                    "folder, or delete the file"
                )
            parameter.copy_(file.get_tensor(f"model.{name}"))
            kinds = {kind for kind, _, of in (key.partition(".") for key in saved) if of == name} - OTHERS
            moments = {kind: file.get_tensor(f"{kind}.{name}").to(parameter.device) for kind in kinds}
            step = torch.tensor(float(meta["step"]), device=parameter.device)
            optimizer.restore(parameter, {"step": step, **moments})
            if average is not None:
                average.values[name].copy_(file.get_tensor(f"average.{name}"))
    return Progress(int(meta["step"]), float(meta["best"]), int(meta["worse"]))
