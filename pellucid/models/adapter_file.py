"""Loads a published LoRA adapter: which product of a body each of its tensors changes, and the tensors.

Letters: R rank, I inputs, O outputs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pellucid.errors import ConfigError, WeightsError
from pellucid.layers.adapter import Adapter, LowRank
from pellucid.layers.linear import Linear
from pellucid.models.adapter_config import CONFIG, AdapterConfig, read_adapter_config
from pellucid.models.body import Body
from pellucid.models.family import Family
from pellucid.models.quantising import HEAD, ROUTER
from pellucid.models.safetensors_file import read_header
from pellucid.models.stored import StoredTensor
from pellucid.models.weights import targets

WEIGHTS = "adapter_model.safetensors"
FACTOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True)
class Product:
    """A product of a body, or a section of one: `outputs` rows from `start` on of module `path`."""

    path: str
    start: int
    outputs: int
    inputs: int


@dataclass(frozen=True)
class Adaptable:
    """The products of a body that adapters may change, by their published names."""

    family: Family[Any]
    products: Mapping[str, Product]
    refused: Mapping[str, str]
    """What else multiplies, with the reason why no adapter may change it."""

    def name(self, module: str) -> str:
        """A module's name in a file as the family writes it."""
        return self.family.published_name(f"{module}.weight", self._weights).removesuffix(".weight")

    @cached_property
    def _weights(self) -> dict[str, None]:
        return dict.fromkeys(f"{name}.weight" for name in (*self.products, *self.refused))


def adaptable(body: Body, family: Family[Any]) -> Adaptable:
    """What can be adapted of a body as it was built, before any of its weights were packed."""
    products, refused = {}, {}
    for published, target in targets(body, family).items():
        name, _, kind = published.rpartition(".")
        path = target.parameter.rpartition(".")[0]
        module = body.get_submodule(path)
        if kind != "weight":
            continue
        if not isinstance(module, Linear) or target.parameter == HEAD:
            refused[name] = "is not a product inside of a block"
        elif path.endswith(ROUTER) or ".experts." in path:
            refused[name] = "belongs to a mixture of experts, whose tokens are reordered"
        else:
            inputs = module.weight.shape[1]
            products[name] = Product(path, target.start, target.stop - target.start, inputs)
    return Adaptable(family, products, refused)


def load_adapter(
    folder: Path, name: str, body: nn.Module, of: Adaptable, dtype: torch.dtype, device: torch.device
) -> Adapter:
    """An adapter for a body that has its weights. Raises ConfigError or WeightsError, naming the tensor."""
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder}: no {CONFIG}; give the folder of a LoRA adapter that was saved by peft")
    config = read_adapter_config(folder)
    factors = _factors(folder, of, config)
    parts: dict[nn.Module, list[LowRank]] = {}
    for module, (a, b) in factors.items():
        product, rank = of.products[of.name(module)], config.rank_of(module)
        _check_shape(a, (rank, product.inputs), config)
        _check_shape(b, (product.outputs, rank), config)
        scaled_OR = _values(b) * config.scale_of(module)
        low_rank = LowRank(
            _as(a, _values(a), dtype).to(device),
            _as(b, scaled_OR, dtype).to(device),
            product.start,
            product.start + product.outputs,
        )
        parts.setdefault(body.get_submodule(product.path), []).append(low_rank)
    return Adapter(name, parts)


def _factors(
    folder: Path, of: Adaptable, config: AdapterConfig
) -> dict[str, tuple[StoredTensor, StoredTensor]]:
    """A and B of each module, by its name in the file; none is missing and none is strange."""
    file = folder / WEIGHTS
    if not file.is_file():
        others = ", ".join(sorted(path.name for path in folder.glob("*.bin"))) or "no weights at all"
        raise WeightsError(
            f"{folder}: no {WEIGHTS}, but {others}; save the adapter as safetensors, the only format opened"
        )
    found: dict[str, dict[str, StoredTensor]] = {}
    for tensor in read_header(file):
        match = FACTOR.fullmatch(tensor.name)
        if match is None:
            raise WeightsError(
                f"{file}: tensor {tensor.name!r} is neither lora_A nor lora_B of a product; trained "
                "embeddings, biases, magnitudes and whole modules are not supported"
            )
        module, factor = match.groups()
        _check_place(tensor, module, of, config)
        found.setdefault(module, {})[factor] = tensor
    if not found:
        raise WeightsError(f"{file}: holds no tensors, so it adapts nothing")
    halves = sorted(module for module, pair in found.items() if len(pair) < 2)
    if halves:
        lacks = "B" if "A" in found[halves[0]] else "A"
        raise WeightsError(f"{file}: {halves[0]} has no lora_{lacks}; the file is incomplete")
    there = {of.name(module) for module in found}
    if len(there) < len(found):
        raise WeightsError(f"{file}: adapts a module under two names; the file is damaged")
    ends = tuple(f".{target}" for target in config.targets)
    missing = (
        [name for name in of.products if f".{name}".endswith(ends) and name not in there] if ends else []
    )
    if missing:
        raise WeightsError(
            f"{file}: nothing for {', '.join(missing[:3])}, which `target_modules` in {CONFIG} names; the "
            "file is incomplete"
        )
    return {module: (pair["A"], pair["B"]) for module, pair in found.items()}


def _check_place(tensor: StoredTensor, module: str, of: Adaptable, config: AdapterConfig) -> None:
    name, what = of.name(module), f"{tensor.file}: tensor {tensor.name!r}"
    if name in of.products:
        return
    if name in of.refused or ".experts" in name:
        why = of.refused.get(name, "belongs to a mixture of experts, whose tokens are reordered")
        raise WeightsError(f"{what} adapts {name}, which {why}; Pellucid does not serve such adapters")
    raise WeightsError(f"{what} has no place in this {of.family.model_type}; {_trained_on(config)}")


def _check_shape(tensor: StoredTensor, wanted: tuple[int, int], config: AdapterConfig) -> None:
    what = f"{tensor.file}: tensor {tensor.name!r}"
    if tensor.shape != wanted:
        raise WeightsError(
            f"{what} has shape {list(tensor.shape)}; the model and the rank in {CONFIG} ask for "
            f"{list(wanted)}; {_trained_on(config)}"
        )
    if tensor.encoding.decode is None:
        raise WeightsError(f"{what} holds {tensor.encoding.name}; weights must be floating-point numbers")


def _trained_on(config: AdapterConfig) -> str:
    base = (
        f"trained on {config.base!r}" if config.base else "trained on a model that its config does not name"
    )
    return f"the adapter was {base}, and serves that model alone"


def _values(tensor: StoredTensor) -> Tensor:
    return tensor.whole().float()


def _as(tensor: StoredTensor, values: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers in the model's dtype. Raises WeightsError where one is not finite in it."""
    what, values = f"{tensor.file}: tensor {tensor.name!r}", values.to(dtype)
    if torch.isfinite(values).all():
        return values.contiguous()
    if torch.isfinite(_values(tensor)).all():
        kind = str(dtype).removeprefix("torch.")
        raise WeightsError(
            f"{what} holds numbers too large for {kind}; load the model in bfloat16 or float32"
        )
    raise WeightsError(f"{what} holds NaN or infinity; the file is damaged or was saved from a broken run")
