"""Training states that survive a kill at any moment, and published checkpoints that any tool opens."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from pellucid.errors import WeightsError
from pellucid.models.body import Body
from pellucid.models.family import Family
from pellucid.models.weights import Target, targets
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


def write_atomically(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A file that is there whole or not at all."""
    draft = path.with_name(path.name + ".new")
    save_file(tensors, draft, metadata)
    draft.chmod(0o644)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)


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


def publish(
    folder: Path,
    model: Body,
    family: Family[Any],
    config: Mapping[str, Any],
    values: Mapping[str, Tensor] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """config.json and model.safetensors under the family's published names.

    `config`: the published fields the model was built from. `values`: weights to write in place of the
    model's own, say their average.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parameters: Mapping[str, Tensor] = values or dict(model.named_parameters())
    tensors = {
        name: published_tensor(model, family, name, target, parameters[target.parameter]).to(dtype)
        for name, target in targets(model, family).items()
        if target.parameter in parameters
    }
    if any(name.startswith(family.outside) for name in tensors):
        tensors = {prefixed(family, name): tensor for name, tensor in tensors.items()}
    write_atomically(folder / "model.safetensors", tensors, {"format": "pt"})
    fields = {**config, "dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(fields, indent=2) + "\n")


def publish_text(
    folder: Path,
    tokenizer: Tokenizer,
    settings: Mapping[str, Any],
    generation: Mapping[str, Any] | None = None,
) -> None:
    """tokenizer.json, tokenizer_config.json, and generation_config.json where a model has one: what stands
    beside the weights of a model that reads or writes texts."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    always = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps({**always, **settings}, indent=2) + "\n")
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")


def published_tensor(model: Body, family: Family[Any], name: str, target: Target, value: Tensor) -> Tensor:
    """A copy of the rows of a parameter that are published under a name, as they are published."""
    rows = value[target.start : target.stop].detach().to("cpu", copy=True)
    if target.transform is None:
        return rows.contiguous()
    if template(name) not in family.inverses:
        raise WeightsError(f"{family.model_type}: {name} is stored transformed; train a family without")
    inverse = family.inverses[template(name)]
    return inverse(rows, model.config).contiguous()


def template(name: str) -> str:
    """A published name as a family writes it: `{}` for each number."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "{}", name)


def prefixed(family: Family[Any], name: str) -> str:
    """A published name with what the family's models with a head put before it."""
    outside = not family.prefixes or name.startswith(family.outside)
    return name if outside else family.prefixes[0] + name
