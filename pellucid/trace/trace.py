"""Trace: one run of any body, every number of it: a stack's values and maps, and what its head says of them.

Letters: T tokens that were run, D hidden, L layers, N of the best, R rows of the head, V its outputs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pellucid.errors import RequestError
from pellucid.kernels import reference
from pellucid.layers.context import Attends, DenseContext, ForwardContext
from pellucid.trace.maps import at_most, check
from pellucid.trace.record import Record
from pellucid.trace.stack import StackTrace

Names = Callable[[Sequence[int]], list[str]]
"""How a person reads ids: the text of each."""
Viewer = Callable[..., None]
"""Shows a trace to a person: `viewer(trace, layer=..., head=...)`."""


def probabilities(logits_RV: Tensor) -> Tensor:
    """Each row's share of every output."""
    return torch.softmax(logits_RV, dim=-1)


@dataclass(frozen=True)
class Head:
    """A body's published head, and how a person reads what it says."""

    apply: Callable[[Tensor, ForwardContext], Tensor]
    """From any residual stream `[T, D]` to logits `[R, V]`."""
    device: torch.device
    names_of: Names
    """What outputs stand for: tokens, labels."""
    each_token: bool = True
    """Whether it answers every token for itself; else all of them with one row."""
    scores: Callable[[Tensor], Tensor] = probabilities
    """How logits become what it was published to give."""


@dataclass(frozen=True)
class LogitLens:
    """What the head would have said after every layer (nostalgebraist 2020).

    `ids_LTN` and `probabilities_LTN` hold the N likeliest answers after each of the L layers at each of the T
    tokens (or in one row, where the head looks at a whole text or picture); `texts_LTN` their texts.
    """

    ids_LTN: Tensor
    probabilities_LTN: Tensor
    texts_LTN: list[list[list[str]]]


class Trace(StackTrace):
    """Every number of one run, from the very run that made the answer.

    Layers and heads count from 0, heads are query heads, rows are queries.
    """

    def __init__(
        self,
        record: Record,
        attentions: Sequence[Attends],
        tokens: Sequence[str],
        head: Head | None,
        viewer: Viewer,
        *,
        within: str = "",
    ) -> None:
        """`head` is None where a model was published without; `viewer` shows the whole to a person."""
        super().__init__(record, attentions, tokens, within=within)
        self._head = head
        self._viewer = viewer

    @property
    def has_head(self) -> bool:
        """Whether the model was published with a head, so that `logits` and `logit_lens` are to be had."""
        return self._head is not None

    @property
    def answers_each_token(self) -> bool:
        """Whether the head answers every token for itself; else all of them with one row."""
        return self._published_head().each_token

    @torch.inference_mode()
    def logits(self, layer: int | None = None, rows: Sequence[int] | None = None) -> Tensor:
        """What the head says of the residual stream after a layer (the last by default), `[R, V]` float32: at
        every token or at the given ones; or one row, where it looks at a whole text or picture.

        Raises RequestError for a layer or row that is not there, and where there is no head.
        """
        head = self._published_head()
        layer = self.num_layers - 1 if layer is None else layer
        check("layer", layer, self.num_layers)
        x_TD = self[f"blocks.{layer}.resid_post"].to(head.device)
        if rows is not None:
            for row in rows:
                check("row", row, len(x_TD) if head.each_token else 1)
            x_TD = x_TD[list(rows)] if head.each_token else x_TD
        ctx = DenseContext([len(x_TD)], reference, device=head.device)
        return head.apply(x_TD, ctx).float().cpu()

    def logit_lens(self, top: int = 1, rows: Sequence[int] | None = None) -> LogitLens:
        """The `top` likeliest answers after every layer, at every token or at the given ones."""
        head = self._published_head()
        ids, scores = [], []
        for layer in range(self.num_layers):
            scores_RV = head.scores(self.logits(layer, rows))
            best = scores_RV.topk(at_most(top, scores_RV.shape[-1]), dim=-1)
            ids.append(best.indices)
            scores.append(best.values)
        ids_LTN = torch.stack(ids)
        texts = [[head.names_of(row) for row in layer] for layer in ids_LTN.tolist()]
        return LogitLens(ids_LTN, torch.stack(scores), texts)

    def show(self, layer: int | None = None, head: int = 0) -> None:
        """Print the maps of one head (of the last layer by default) and what each layer would have said."""
        self._viewer(self, layer=layer, head=head)

    def _published_head(self) -> Head:
        if self._head is None:
            raise RequestError(
                "this model was published without a head, so no logits are to be had; what each layer made "
                f"is there as trace['blocks.{self.num_layers - 1}.resid_post']"
            )
        return self._head
