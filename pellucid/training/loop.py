"""The training loop: step by step, logged, saved, resumed exactly where it was."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from pellucid.errors import TrainingError
from pellucid.models.publishing import write_atomically
from pellucid.training.checkpoint import Progress, identity, load_state, save_state
from pellucid.training.data import P, Source
from pellucid.training.loss import Task, evaluate
from pellucid.training.optim import Average, MakeOptimizer, Optimizer, Schedule, adamw, cosine, trained
from pellucid.training.ranks import Ranks
from pellucid.training.record import Record, plot

BEST = "best.safetensors"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how boldly to train. Raises TrainingError for what is out of range."""

    steps: int
    lr: float
    schedule: Schedule | None = None
    """None: warm-up over 2 % of the steps, at most 200, then a cosine."""
    optimizer: MakeOptimizer = adamw
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    """The longest gradient; a longer one is shortened to it (Pascanu et al. 2013)."""
    parts: int | None = None
    """Parts that a step's batch is computed in, one after another or by several ranks; None: one a rank."""
    average: float | None = None
    """The decay of the weights' moving average; None keeps none."""
    save_every: int = 100
    evaluate_every: int = 200
    patience: int | None = None
    """Evaluations without a better one after which training stops, with the weights of the best; None never
    does, and the last weights stay."""
    autocast: torch.dtype | None = None
    """What products are carried out in: `device.half_precision` says where bfloat16 pays."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "parts", "save_every", "evaluate_every", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise TrainingError(f"{name}={value}: 1 is the least there is")
        if not 0 <= (self.average or 0.0) < 1 or not (self.lr >= 0 and math.isfinite(self.lr)):
            raise TrainingError(
                f"lr={self.lr} and average={self.average}: the rate must be a number from 0 up, the decay of "
                "the average one from 0 to below 1"
            )

    def loss_kept(self, at: Progress) -> float:
        """What was measured of the weights that stay."""
        return at.best if self.patience else at.last


def train(
    model: nn.Module,
    source: Source[P],
    task: Task[P],
    config: TrainConfig,
    folder: Path,
    *,
    held_out: Sequence[P] = (),
    on_evaluation: Callable[[int], None] | None = None,
) -> Progress:
    """Train a model in place, its weights becoming their average at the end where one is kept, or with
    `patience` those that were evaluated best.

    A folder that holds a state goes on from it, and the same losses follow as if it had never stopped (bit
    for bit on a CPU). `on_evaluation(step)` is called on rank 0 with the weights as they were evaluated.

    Raises TrainingError for data or settings that cannot be trained with, and where the loss is no number any
    more; WeightsError for a folder with the state of another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranks = Ranks()
    parts = config.parts or ranks.world
    if parts % ranks.world:
        raise TrainingError(
            f"parts={parts} cannot be shared by {ranks.world} ranks; use a multiple of {ranks.world}"
        )
    optimizer = config.optimizer(model, lr=config.lr, weight_decay=config.weight_decay, betas=config.betas)
    average = Average(model, config.average) if config.average is not None else None
    (first,) = source.parts(0, 1)
    optimizer_name = getattr(config.optimizer, "__name__", "")
    of = identity(model, first, optimizer=optimizer_name, average=average is not None, seed=config.seed)
    at = load_state(folder, model, optimizer, average, of)
    best = folder / BEST if config.patience and ranks.rank == 0 else None
    schedule = config.schedule or cosine(config.steps, min(200, config.steps // 50 + 1))
    record = Record(folder, at.step, config.steps) if ranks.rank == 0 else None
    try:
        if record:
            record.__enter__()
        while at.step < config.steps and not _out_of_patience(at, config):
            lr = config.lr * schedule(at.step)
            batch = source.parts(at.step, parts)
            loss, norm, tokens = train_step(model, batch, task, config, optimizer, ranks, at.step, lr)
            if average is not None:
                average.update(model, at.step)
            if record:
                record.step(at.step, loss, tokens, lr=lr, gradient=norm)
            at.step += 1
            if at.step % config.evaluate_every == 0 or at.step == config.steps:
                _evaluate(model, task, average, held_out, at, record, on_evaluation, best)
            done = at.step == config.steps or _out_of_patience(at, config)
            if record and (done or at.step % config.save_every == 0):
                save_state(folder, model, optimizer, average, at, of)
        ranks.wait(next(model.parameters()).device)
    finally:
        if record:
            record.__exit__(None, None, None)
        ranks.close()
    if record:
        plot(folder)
    if config.patience and (folder / BEST).exists():
        kept = load_file(folder / BEST)
        with torch.no_grad():
            for name, parameter in trained(model):
                parameter.copy_(kept[name])
    elif average is not None:
        average.swap(model)
    return at


def train_step(
    model: nn.Module,
    parts: Sequence[P],
    task: Task[P],
    config: TrainConfig,
    optimizer: Optimizer,
    ranks: Ranks,
    step: int,
    lr: float,
) -> tuple[float, float, int]:
    """One change of the weights: the loss before it, the gradient's length, the tokens read."""
    device = next(model.parameters()).device
    weight = sum(part.weights_T.sum().item() for part in parts)
    model.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    for index in range(ranks.rank, len(parts), ranks.world):
        if not parts[index].tokens:
            continue
        # what dropout draws depends on step and part alone, whoever computes it and whenever
        generator = torch.Generator(device).manual_seed(hash((config.seed, step, index)) & 0x7FFFFFFF)
        with torch.autocast(device.type, config.autocast, enabled=config.autocast is not None):
            loss = task.loss(model, parts[index].to(device), generator) / weight
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    ranks.add_up([total])
    for _, parameter in trained(model):
        if parameter.grad is None:  # an expert that no token met
            parameter.grad = torch.zeros_like(parameter)
    ranks.add_up_gradients(model)
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    if not math.isfinite(norm):
        raise TrainingError(
            f"step {step}: the loss is {total.item()} and the gradient's length {norm.item()}, at a rate of "
            f"{lr:.1e}, the batch weighing {weight}; the last saved state is as it was. Give a lower lr, or "
            "data in which something is to be learned, and run again"
        )
    optimizer.set_lr(lr)
    optimizer.step()
    return total.item(), norm.item(), sum(part.tokens for part in parts)


def _out_of_patience(at: Progress, config: TrainConfig) -> bool:
    return config.patience is not None and at.worse >= config.patience


def _evaluate(
    model: nn.Module,
    task: Task[P],
    average: Average | None,
    held_out: Sequence[P],
    at: Progress,
    record: Record | None,
    on_evaluation: Callable[[int], None] | None,
    best: Path | None,
) -> None:
    """Measure the weights that would be kept, on data that training never sees; `best` is where they go if
    they are better than all before."""
    if average is not None:
        average.swap(model)
    if held_out:
        found = evaluate(model, task, held_out)
        if found < at.best and best is not None:
            write_atomically(best, {name: parameter.detach() for name, parameter in trained(model)}, {})
        at.worse = 0 if found < at.best else at.worse + 1
        at.best, at.last = min(at.best, found), found
        if record:
            record.line(step=at.step - 1, evaluation=found)
    if record and on_evaluation:
        on_evaluation(at.step)
    if average is not None:
        average.swap(model)
