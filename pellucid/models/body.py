"""What loading asks of a body, whichever of the four it is."""

from collections.abc import Callable, Iterator
from typing import Protocol, Self

import torch
from torch import Tensor, nn


class BodyConfig(Protocol):
    """What every body's config says; the rest is the body's own."""

    @property
    def model_type(self) -> str: ...

    @property
    def vocab_size(self) -> int | None:
        """None where the input is no text."""

    @property
    def dtype(self) -> str | None:
        """The dtype the weights were published in, if the config says."""


class Body(Protocol):
    """A network built from a config, whose parameters can be filled; an nn.Module has all but three."""

    @property
    def config(self) -> BodyConfig: ...

    @property
    def logits(self) -> Callable[..., Tensor]:
        """The published head's output for one input, in one pass; its arguments are the body's to say."""

    def tie_weights(self) -> None:
        """Make parameters one that the config says are one."""

    def named_parameters(self, *, remove_duplicate: bool = True) -> Iterator[tuple[str, nn.Parameter]]: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def modules(self) -> Iterator[nn.Module]: ...

    def get_submodule(self, target: str, /) -> nn.Module: ...

    def to(self, device: torch.device, /) -> Self: ...

    def eval(self) -> Self: ...
