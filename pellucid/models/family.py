"""What a family file states: how its config reads, how its weights are called, what they become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

from pellucid.models.body import Body, BodyConfig
from pellucid.models.published import PublishedConfig

Config = TypeVar("Config", bound=BodyConfig)
Ours = str | tuple[str, ...]
"""The name of a parameter, or several of which a body has one."""


@dataclass(frozen=True, kw_only=True)
class Family(Generic[Config]):
    """A mapping from what is published to one of the four bodies.

    `weights` maps published tensor names to ours, `{}` standing for a number (the layer's, an expert's);
    a trailing `[q]` names the section of a fused product that the tensor fills. `transforms` change a tensor
    on its way, by published name; `inverses` change it back when weights are written, given the body's
    config. `ignored` lists published tensors that hold nothing learned, as patterns with `{}`; `left_out` how
    the names of other models in the same files begin. `prefixes` are what some checkpoints of the family put
    before every name but those that begin as `outside` says, `spellings` older forms of the last part of a
    name with the present one. `spares` are other names that a tensor is taken from where it is missing:
    shared tensors are published under one of several names. What is `optional` is zero where it is missing.
    """

    model_type: str
    read_config: Callable[[PublishedConfig], Config]
    build: Callable[[Config], Body]
    weights: Mapping[str, Ours]
    transforms: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    inverses: Mapping[str, Callable[[Tensor, Any], Tensor]] = field(default_factory=dict)
    outside: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    spellings: Mapping[str, str] = field(default_factory=dict)
    spares: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def published_name(self, name: str, wanted: Mapping[str, object]) -> str:
        """The name in a file as `weights` and `ignored` write it."""
        stem, dot, last = name.rpartition(".")
        name = stem + dot + self.spellings.get(last, last)
        if name in wanted:
            return name
        return next((name.removeprefix(p) for p in self.prefixes if name.startswith(p)), name)


def weights_and_biases(modules: Mapping[str, Ours]) -> dict[str, Ours]:
    """For a table of modules the table of their weights and biases, `a: b[q]` → `a.weight: b.weight[q]` and
    `a.bias: b.bias[q]`. A bias that a body does not have is not looked for."""

    def part(ours: str, kind: str) -> str:
        module, bracket, section = ours.partition("[")
        return f"{module}.{kind}{bracket}{section}"

    return {
        f"{published}.{kind}": part(ours, kind)
        if isinstance(ours, str)
        else tuple(part(o, kind) for o in ours)
        for published, ours in modules.items()
        for kind in ("weight", "bias")
    }
