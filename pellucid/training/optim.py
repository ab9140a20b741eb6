"""How weights begin and how they change: initialisation, AdamW's groups, schedules, averaging."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Schedule = Callable[[int], float]
"""Step → the learning rate's factor."""
WRITERS = ("o_proj.weight", "down_proj.weight")
"""What the products that write into the residual stream are called."""


def initialise(model: nn.Module, *, seed: int, std: float = 0.02) -> None:
    """Normal weights of the given deviation; those that write into the residual stream are smaller by the
    root of how many do (Radford et al. 2019); norms one, biases zero."""
    generator = torch.Generator().manual_seed(seed)
    writers = sum(name.endswith(WRITERS) for name, _ in model.named_parameters())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
                continue
            writes = name.endswith(WRITERS)
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(drawn * std / (math.sqrt(writers) if writes else 1.0))


def trained(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters that training changes, by name; the others are frozen."""
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def adamw(
    model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019). Matrices decay; norms and biases do not."""
    parameters = [parameter for _, parameter in trained(model)]
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)


def cosine(steps: int, warmup: int, floor: float = 0.1) -> Schedule:
    """Up in a line over `warmup` steps, then down along half a cosine to `floor`."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return factor


def inverse_square_root(warmup: int) -> Schedule:
    """The paper's: up in a line, then down with the root of the step (Vaswani et al. 2017, section 5.3)."""
    return lambda step: min((step + 1) / warmup, math.sqrt(warmup / (step + 1)))


class Average:
    """An exponential moving average of the weights, often better than the last ones."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in trained(model)}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move toward the present weights; quickly at first, so that the beginning is forgotten."""
        decay = min(self.decay, (step + 1) / (step + 10))
        for name, parameter in trained(model):
            self.values[name].lerp_(parameter, 1 - decay)

    @torch.no_grad()
    def swap(self, model: nn.Module) -> None:
        """Exchange the model's weights and the average, for an evaluation between two calls."""
        for name, parameter in trained(model):
            kept: Tensor = parameter.detach().clone()
            parameter.copy_(self.values[name])
            self.values[name].copy_(kept)
