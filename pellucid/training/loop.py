"""The training loop: step by step, logged, saved, resumed exactly where it was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from pellucid.training.checkpoint import Progress, load_state, save_state
from pellucid.training.data import P, Source
from pellucid.training.loss import Task, evaluate
from pellucid.training.optim import Average, MakeOptimizer, Optimizer, Schedule, adamw, cosine
from pellucid.training.ranks import Ranks
from pellucid.training.record import Record, plot


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how boldly to train."""

    steps: int
    lr: float
    schedule: Schedule | None = None
    """None: warm-up over 2 % of the steps, at most 200, then a cosine."""
    optimizer: MakeOptimizer = adamw
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    """The longest gradient; a longer one is shortened to it (Pascanu et al. 2013)."""
    parts: int = 1
    """Parts that a step's batch is computed in, one after another or by several ranks."""
    average: float | None = None
    """The decay of the weights' moving average; None keeps none."""
    save_every: int = 100
    evaluate_every: int = 200
    patience: int | None = None
    """Evaluations without a better one after which training stops; None never does."""
    autocast: torch.dtype | None = None
    """What products are carried out in: `device.half_precision` says where bfloat16 pays."""
    seed: int = 0


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
    """Train a model in place, its weights becoming their average at the end where one is kept.

    A folder that holds a state goes on from it, and the same losses follow as if it had never stopped (bit
    for bit on a CPU). `on_evaluation(step)` is called on rank 0 with the weights as they were evaluated.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranks = Ranks()
    if config.parts % ranks.world:
        raise ValueError(
            f"parts={config.parts} cannot be shared by {ranks.world} ranks; use a multiple of {ranks.world}"
        )
    optimizer = config.optimizer(model, lr=config.lr, weight_decay=config.weight_decay, betas=config.betas)
    average = Average(model, config.average) if config.average is not None else None
    at = load_state(folder, model, optimizer, average)
    schedule = config.schedule or cosine(config.steps, min(200, config.steps // 50 + 1))
    record = Record(folder, at.step, config.steps) if ranks.rank == 0 else None
    try:
        if record:
            record.__enter__()
        while at.step < config.steps and not _out_of_patience(at, config):
            lr = config.lr * schedule(at.step)
            loss, norm, tokens = train_step(model, source, task, config, optimizer, ranks, at.step, lr)
            if average is not None:
                average.update(model, at.step)
            if record:
                record.step(at.step, loss, tokens, lr=lr, gradient=norm)
            at.step += 1
            if at.step % config.evaluate_every == 0 or at.step == config.steps:
                _evaluate(model, task, average, held_out, at, record, on_evaluation)
            if record and (at.step % config.save_every == 0 or at.step == config.steps):
                save_state(folder, model, optimizer, average, at)
    finally:
        if record:
            record.__exit__(None, None, None)
        ranks.close()
    if record:
        plot(folder)
    if average is not None:
        average.swap(model)
    return at


def train_step(
    model: nn.Module,
    source: Source[P],
    task: Task[P],
    config: TrainConfig,
    optimizer: Optimizer,
    ranks: Ranks,
    step: int,
    lr: float,
) -> tuple[float, float, int]:
    """One change of the weights: the loss before it, the gradient's length, the tokens read."""
    device = next(model.parameters()).device
    parts = source.parts(step, config.parts)
    weight = sum(part.weights_T.sum().item() for part in parts)
    model.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    for index in range(ranks.rank, config.parts, ranks.world):
        # what dropout draws depends on step and part alone, whoever computes it and whenever
        generator = torch.Generator(device).manual_seed(hash((config.seed, step, index)) & 0x7FFFFFFF)
        with torch.autocast(device.type, config.autocast, enabled=config.autocast is not None):
            loss = task.loss(model, parts[index].to(device), generator) / weight
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    ranks.add_up([total])
    ranks.add_up_gradients(model)
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
    optimizer.set_lr(lr)
    optimizer.step()
    return total.item(), norm.item(), sum(part.tokens for part in parts)


def _out_of_patience(at: Progress, config: TrainConfig) -> bool:
    return config.patience is not None and at.worse > config.patience


def _evaluate(
    model: nn.Module,
    task: Task[P],
    average: Average | None,
    held_out: Sequence[P],
    at: Progress,
    record: Record | None,
    on_evaluation: Callable[[int], None] | None,
) -> None:
    """Measure the weights that would be kept, on data that training never sees."""
    if average is not None:
        average.swap(model)
    if held_out:
        found = evaluate(model, task, held_out)
        at.worse = 0 if found < at.best else at.worse + 1
        at.best = min(at.best, found)
        if record:
            record.line(step=at.step - 1, evaluation=found)
    if record and on_evaluation:
        on_evaluation(at.step)
    if average is not None:
        average.swap(model)
