"""How far the bundled trained model's answers move when something is rounded, over the guide's own text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch.nn import functional

from pellucid import LLM

SOURCE = "pellucid/guide"
TEXT = Path(__file__).resolve().parent.parent / "recipes" / "guide_text"
PIECE, PIECES = 256, 16
Logits = Callable[[Sequence[int]], torch.Tensor]
"""From a piece's ids to the logits `[T, V]` of every position."""


def pieces() -> list[list[int]]:
    """The guide's prose as ids, without the ways to ask for it."""
    tokenizer = LLM(SOURCE, device="cpu").tokenizer
    assert tokenizer is not None
    text = "\n".join(file.read_text() for file in sorted(TEXT.glob("*.txt")) if "_" not in file.stem)
    ids = tokenizer.encode(text)
    return [ids[at : at + PIECE] for at in range(0, PIECE * PIECES, PIECE)]


def compared(
    exact: Logits, rounded: Logits, of: Sequence[Sequence[int]]
) -> tuple[float, float, float, float]:
    """Perplexity before and after, mean KL divergence, share of positions whose likeliest token stays."""
    before = torch.cat([exact(ids)[:-1] for ids in of]).log_softmax(-1)
    after = torch.cat([rounded(ids)[:-1] for ids in of]).log_softmax(-1)
    right = torch.tensor([token for ids in of for token in ids[1:]])
    perplexities = [functional.nll_loss(x, right).exp().item() for x in (before, after)]
    divergence = functional.kl_div(after, before, reduction="batchmean", log_target=True).item()
    same = (before.argmax(-1) == after.argmax(-1)).float().mean().item()
    return perplexities[0], perplexities[1], divergence, same
