"""What loading asks of a body, whichever of the four it is."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from pellucid.models.config import ModelConfig


class Body(Protocol):
    """A network built from a ModelConfig, whose parameters can be filled; an nn.Module has all but three."""

    @property
    def config(self) -> ModelConfig: ...

    @property
    def logits(self) -> Callable[..., Tensor]:
        """The published head's output for one input, in one pass; its arguments are the body's to say."""

    def tie_weights(self) -> None:
        """Make parameters one that the config says are one."""

    def named_parameters(self, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Parameter]]: ...

    def get_submodule(self, target: str, /) -> nn.Module: ...

    def to(self, device: torch.device, /) -> Self: ...

    def eval(self) -> Self: ...
