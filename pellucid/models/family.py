"""What a family file states: how its config reads, how its weights are called, what they become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from pellucid.models.body import Body
from pellucid.models.config import ModelConfig
from pellucid.models.published import PublishedConfig


@dataclass(frozen=True, kw_only=True)
class Family:
    """A mapping from what is published to one of the four bodies.

    `weights` maps published tensor names to ours, `{}` standing for a number (the layer's, an expert's);
    a trailing `[q]` names the section of a fused product that the tensor fills. `transforms` change a tensor
    on its way, by published name. `ignored` lists published tensors that hold nothing learned, as patterns
    with `{}`. `prefixes` are what some checkpoints of the family put before every name.
    """

    model_type: str
    read_config: Callable[[PublishedConfig], ModelConfig]
    build: Callable[[ModelConfig], Body]
    weights: Mapping[str, str]
    transforms: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
