"""How weights begin and how they change: initialisation, AdamW's groups, schedules, averaging."""

import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from pellucid.errors import ConfigError

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


class Optimizer:
    """One of torch's optimizers or several, each with parameters of its own, all at one learning rate."""

    def __init__(self, *members: torch.optim.Optimizer) -> None:
        self.members = members

    def set_lr(self, lr: float) -> None:
        """The learning rate of the next step."""
        for member in self.members:
            for group in member.param_groups:
                group["lr"] = lr

    def step(self) -> None:
        """Change every parameter by its gradient."""
        for member in self.members:
            member.step()

    def state(self) -> dict[Tensor, dict[str, Tensor]]:
        """What is remembered of each parameter: the same tensors that the steps change."""
        return {p: state for member in self.members for p, state in member.state.items()}

    def restore(self, parameter: Tensor, state: dict[str, Tensor]) -> None:
        """Put back what was remembered of a parameter."""
        for member in self.members:
            if any(parameter is p for group in member.param_groups for p in group["params"]):
                member.state[parameter] = state


class MakeOptimizer(Protocol):
    """`adamw` or `muon`."""

    def __call__(
        self, model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float]
    ) -> Optimizer: ...


def adamw(model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float]) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019). Matrices decay; norms and biases do not."""
    parameters = [parameter for _, parameter in trained(model)]
    return Optimizer(_adamw(parameters, lr=lr, weight_decay=weight_decay, betas=betas))


def muon(model: nn.Module, *, lr: float, weight_decay: float, betas: tuple[float, float]) -> Optimizer:
    """Muon (Jordan et al. 2024) for the blocks' matrices, its steps scaled to AdamW's size (Liu et al. 2025);
    AdamW for tables, norms and biases.

    Raises ConfigError for a model without such matrices.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in trained(model):
        block = parameter.dim() == 2 and ".blocks." in f".{name}"
        (matrices if block else others).append(parameter)
    if not matrices:
        raise ConfigError("muon turns the matrices of a model's blocks, and here none is trained; use adamw")
    return Optimizer(
        torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        _adamw(others, lr=lr, weight_decay=weight_decay, betas=betas),
    )


def _adamw(parameters: list[nn.Parameter], *, weight_decay: float, **settings: Any) -> torch.optim.AdamW:
    groups = [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, fused=True, **settings)


def cosine(steps: int, warmup: int, floor: float = 0.1) -> Schedule:
    """Up in a line over `warmup` steps, then down along half a cosine to `floor`."""

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2

    return factor


def plateau(steps: int, warmup: int, decay: int) -> Schedule:
    """Up in a line, level, and down in a line to nothing over the last `decay` steps: while it is level a run
    may be made longer or shorter (Hägele et al. 2024)."""
    return lambda step: min((step + 1) / warmup, 1.0, (steps - step) / decay)


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
