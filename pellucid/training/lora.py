"""LoRA: a frozen model, and beside each of its products two thin matrices that are trained (Hu et al. 2021).

Letters: T tokens, R rank, I inputs, O outputs.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pellucid.errors import ConfigError
from pellucid.layers.adapter import Adapted, AdaptedContext, Adapter, LowRank
from pellucid.layers.context import ForwardContext
from pellucid.layers.linear import Linear
from pellucid.models.adapter_config import CONFIG
from pellucid.models.adapter_file import WEIGHTS, Adaptable, Product
from pellucid.models.decoder import Decoder
from pellucid.models.publishing import prefixed, template, write_atomically


@dataclass(frozen=True, kw_only=True)
class LoRAConfig:
    """Which products are adapted, and how strongly."""

    rank: int = 8
    alpha: float = 16.0
    """What `B A` is multiplied by, times the rank."""
    targets: tuple[str, ...] = ()
    """How the published names of the adapted products end, `q_proj`; none: all products of the blocks."""

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 < self.alpha < math.inf:
            raise ConfigError(
                f"rank={self.rank}, alpha={self.alpha}: a rank is 1 or more, and alpha a number above 0"
            )


class LoRA(nn.Module):
    """`W x + alpha / R · B A x` in place of `W x`: the sum that the engine serves, here with gradients."""

    def __init__(self, base: Decoder, of: Adaptable, config: LoRAConfig, seed: int = 0) -> None:
        """`of`: what of the base can be adapted. Raises ConfigError for a target that it has not."""
        super().__init__()
        self.base = base.requires_grad_(False)
        self.config, self.family = config, of.family
        self.products = chosen(of, config)
        self.scale: Tensor
        self.register_buffer("scale", torch.tensor(config.alpha / config.rank), persistent=False)
        generator, R = torch.Generator().manual_seed(seed), config.rank
        device = next(base.parameters()).device
        self.a = nn.ParameterList()
        self.b = nn.ParameterList()
        for product in self.products.values():
            bound = 1 / math.sqrt(product.inputs)
            drawn_RI = torch.empty(R, product.inputs).uniform_(-bound, bound, generator=generator)
            self.a.append(nn.Parameter(drawn_RI.to(device)))
            self.b.append(
                nn.Parameter(torch.zeros(product.outputs, R, device=device))
            )  # so nothing changes yet

    def forward(self, ids_T: Tensor, ctx: ForwardContext) -> Tensor:
        """The logits of the adapted model, `[T, V]`."""
        everyone = Adapted(self.adapter(), torch.arange(len(ids_T), device=ids_T.device))
        return self.base(ids_T, AdaptedContext(ctx, [everyone]))

    def adapter(self) -> Adapter:
        """What has been learned so far, as a forward takes it."""
        parts: dict[nn.Module, list[LowRank]] = {}
        for (path, start, stop), a_RI, b_OR in self._factors():
            low_rank = LowRank(a_RI, b_OR * self.scale, start, stop)
            parts.setdefault(self.base.get_submodule(path), []).append(low_rank)
        return Adapter("in training", parts)

    @torch.no_grad()
    def merge(self) -> Decoder:
        """The base with all that was learned added to its weights; nothing is then left to add."""
        for (path, start, stop), a_RI, b_OR in self._factors():
            module = self.base.get_submodule(path)
            assert isinstance(module, Linear)
            module.weight[start:stop] += b_OR @ a_RI * self.scale
            b_OR.zero_()
        return self.base

    def save(self, folder: Path, base_name: str) -> None:
        """adapter_config.json and adapter_model.safetensors, as peft writes and reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {}
        for name, a_RI, b_OR in zip(self.products, self.a, self.b, strict=True):
            full = f"base_model.model.{prefixed(self.family, name)}"
            tensors[f"{full}.lora_A.weight"] = a_RI.detach().cpu().contiguous()
            tensors[f"{full}.lora_B.weight"] = b_OR.detach().cpu().contiguous()
        write_atomically(folder / WEIGHTS, tensors, {"format": "pt"})
        fields = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base_name,
            "r": self.config.rank,
            "lora_alpha": self.config.alpha,
            "lora_dropout": 0.0,
            "target_modules": sorted({name.rpartition(".")[2] for name in self.products}),
            # GPT-2's products, which are published on their side
            "fan_in_fan_out": any(
                f"{template(name)}.weight" in self.family.inverses for name in self.products
            ),
            "bias": "none",
            "inference_mode": True,
        }
        (folder / CONFIG).write_text(json.dumps(fields, indent=2) + "\n")

    def _factors(self) -> list[tuple[tuple[str, int, int], Tensor, Tensor]]:
        places = [(p.path, p.start, p.start + p.outputs) for p in self.products.values()]
        return list(zip(places, self.a, self.b, strict=True))


def chosen(of: Adaptable, config: LoRAConfig) -> dict[str, Product]:
    """The products that the config names, by their published names. Raises ConfigError."""
    if of.family.left_out:
        raise ConfigError(
            f"a {of.family.model_type} is opened without a part of it, so an adapter would not have its "
            "published names; fine-tune the text model of this family"
        )
    last = {name.rpartition(".")[2] for name in of.products}
    # a name that other modules end with too would adapt those as well when peft reads it
    usable = sorted(last - {name.rpartition(".")[2] for name in of.refused})
    for target in config.targets:
        if target not in usable:
            raise ConfigError(
                f"target {target!r}: no product that can be adapted alone is called so in this "
                f"{of.family.model_type}; there are {', '.join(usable)}"
            )
    ends = config.targets or usable
    return {name: product for name, product in of.products.items() if name.rpartition(".")[2] in ends}
