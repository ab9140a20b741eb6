"""Writes a checkpoint as its family publishes it, so that any tool opens it."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from pellucid.errors import WeightsError
from pellucid.models.body import Body
from pellucid.models.family import Family
from pellucid.models.weights import Target, targets


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
    check_publishable(model, family)
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


def check_publishable(model: Body, family: Family[Any]) -> None:
    """Raises WeightsError for a model whose weights, once changed, could not be published any more."""
    if family.left_out:
        raise WeightsError(
            f"a {family.model_type} is opened without a part of it, so it could not be written whole; train "
            "the text model of this family"
        )
    for name, target in targets(model, family).items():
        if target.transform is not None and template(name) not in family.inverses:
            raise WeightsError(f"{family.model_type}: {name} is stored transformed; train a family without")


def published_tensor(model: Body, family: Family[Any], name: str, target: Target, value: Tensor) -> Tensor:
    """A copy of the rows of a parameter that are published under a name, as they are published."""
    rows = value[target.start : target.stop].detach().to("cpu", copy=True)
    if target.transform is None:
        return rows.contiguous()
    return family.inverses[template(name)](rows, model.config).contiguous()


def template(name: str) -> str:
    """A published name as a family writes it: `{}` for each number."""
    return re.sub(r"(?<=\.)\d+(?=\.)", "{}", name)


def prefixed(family: Family[Any], name: str) -> str:
    """A published name with what the family's models with a head put before it."""
    outside = not family.prefixes or name.startswith(family.outside)
    return name if outside else family.prefixes[0] + name


def write_atomically(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A file that is there whole or not at all."""
    # each rank of torchrun has its own
    draft = path.with_name(f"{path.name}.new{os.environ.get('RANK', '')}")
    save_file(tensors, draft, metadata)
    draft.chmod(0o644)
    with draft.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(draft, path)
