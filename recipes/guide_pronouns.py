"""One head of the guide model is taught to look from "it" to its noun, and alone fetches what is there.

Where all weights learn from sentences with pronouns, several heads and the feed-forward networks below them
share the work, and any one head can be switched off without harm. So here one head is shown where to look
(supervised attention, as in Strubell et al. 2018), which the layers below it learn to make possible. What the
sentences teach beyond that changes no other head: only this one, and the feed-forward networks above it. The
rest of the text is learned by all weights.

Letters: T tokens, N tokens that look, D hidden, H heads, K head size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from pellucid.kernels import torch_ops
from pellucid.layers.attention import Attention
from pellucid.layers.context import DenseContext, Named
from pellucid.models.decoder import Decoder
from pellucid.training import Batch, Documents
from pellucid.training.loss import cross_entropy
from recipes.guide_corpus import LOOKS, RIGHT

LAYER, HEAD = 3, 0
"""The head that is taught; any would do."""
SAID, LOOKING = 4.0, 0.3
"""How much the sentences' next tokens count, beside 1 for the text's: what they ask of few weights must
not drown in what the text asks. And how much it counts where a token looks."""


@dataclass(frozen=True)
class Lesson:
    """What one step trains on: all weights on the text, one head on the sentences."""

    text: Batch
    sentences: Batch
    marks_T: Tensor
    """For the target of each of the sentences' tokens: what it is for the head."""

    @property
    def weights_T(self) -> Tensor:
        return torch.cat([self.text.weights_T, self.sentences.weights_T])

    @property
    def tokens(self) -> int:
        return self.text.tokens + self.sentences.tokens

    def to(self, device: torch.device) -> "Lesson":
        """The same on a device."""
        return Lesson(self.text.to(device), self.sentences.to(device), self.marks_T.to(device))


@dataclass(frozen=True)
class Lessons:
    """Text and sentences side by side, each with its own number of tokens a step."""

    text: Documents
    sentences: Documents
    marks: Documents
    """The sentences again, with marks for weights."""

    def parts(self, step: int, count: int) -> Sequence[Lesson]:
        sources = (self.text, self.sentences, self.marks)
        return [
            Lesson(text, sentences, marks.weights_T)
            for text, sentences, marks in zip(*(s.parts(step, count) for s in sources), strict=True)
        ]


class Counting(DenseContext):
    """A pass whose vocabulary is asked only where the next token counts: a third of the work less."""

    def __init__(self, batch: Batch, dropout: float = 0.0, generator: torch.Generator | None = None) -> None:
        super().__init__(
            batch.lengths, torch_ops, device=batch.ids_T.device, dropout=dropout, generator=generator
        )
        self.batch, self.rows_R = batch, torch.nonzero(batch.weights_T).flatten()

    def output_rows(self, x_TD: Tensor) -> Tensor:
        return x_TD[self.rows_R]

    def cost(self, logits_RV: Tensor) -> Tensor:
        """What the pass's predictions cost."""
        return cross_entropy(logits_RV, self.batch.targets_T[self.rows_R], self.batch.weights_T[self.rows_R])


class OneHead(Counting):
    """A pass that keeps the taught head's queries and keys; its layer sends no gradient further down."""

    def __init__(self, model: Decoder, batch: Batch) -> None:
        super().__init__(batch)
        self.block = model.blocks[LAYER]

    def tap(self, module: Named, name: str, tensor: Tensor) -> Tensor:
        if module is self.block and name == "resid_pre":
            q_THK, k_THK, _ = self.block.attn.project(self.block.attn_norm(tensor, self), self)
            q_THK, k_THK = self.block.attn.rotary(q_THK, k_THK, self)
            self.q_TK, self.k_TK = q_THK[:, HEAD], k_THK[:, HEAD]
            return tensor.detach()
        return tensor

    def looking(self, marks_T: Tensor) -> Tensor:
        """How surprised the head is, summed over the tokens that look, by where it should look."""
        # a mark is that of the target, which is the next token
        looks_N = torch.nonzero(marks_T == LOOKS).flatten() + 1
        last_T = (marks_T == RIGHT) & (marks_T.roll(-1) != RIGHT)
        right_T = torch.nonzero(last_T).flatten() + 1
        document_T = torch.cumsum(self.positions_T == 0, 0)
        right_N = right_T[torch.searchsorted(document_T[right_T], document_T[looks_N])]
        scores_NT = self.q_TK[looks_N] @ self.k_TK.T * self.block.attn.spec.scale
        here_NT = document_T[looks_N][:, None] == document_T
        before_NT = torch.arange(len(document_T), device=looks_N.device) <= looks_N[:, None]
        scores_NT = scores_NT.masked_fill(~(here_NT & before_NT), -torch.inf)
        return nn.functional.cross_entropy(scores_NT, right_N, reduction="sum")


def what_learns(model: Decoder) -> dict[str, Tensor]:
    """Which numbers learn from the sentences, for each weight where not all do."""
    attn = model.blocks[LAYER].attn
    assert isinstance(attn, Attention)
    K = attn.spec.head_dim
    own = torch.arange(attn.spec.num_heads * K, device=attn.o_proj.weight.device) // K == HEAD
    below = tuple(f"blocks.{layer}." for layer in range(LAYER))
    found = {}
    for name, weight in model.named_parameters():
        if name.startswith(f"blocks.{LAYER}.attn.o_proj"):
            found[name] = own.expand_as(weight)
        elif name.startswith(f"blocks.{LAYER}.attn.qkv_proj"):
            found[name] = own.repeat(3)[:, None].expand_as(weight)
        elif ".mlp" not in name and not name.startswith(below):
            found[name] = torch.zeros_like(weight, dtype=torch.bool)
    return found


class TextAndPronouns:
    """Predict each token of the text with all weights, and of the sentences with one head's."""

    def __init__(self, model: Decoder, dropout: float = 0.0) -> None:
        """`model`: on the device it is trained on. `dropout`: of the text's pass."""
        self.learns, self.dropout = what_learns(model), dropout

    def loss(self, model: nn.Module, batch: Lesson, generator: torch.Generator | None) -> Tensor:
        ctx = Counting(batch.text, self.dropout if generator else 0.0, generator)
        return ctx.cost(model(batch.text.ids_T, ctx)) + self.of_sentences(model, batch)

    def of_sentences(self, model: nn.Module, batch: Lesson) -> Tensor:
        """What the sentences' next tokens and the head's looking cost."""
        assert isinstance(model, Decoder)
        weights = dict(model.named_parameters())
        held = {
            name: torch.where(learns, weights[name], weights[name].detach())
            for name, learns in self.learns.items()
        }
        sentences = batch.sentences
        ctx = OneHead(model, sentences)
        said = ctx.cost(functional_call(model, held, (sentences.ids_T, ctx)))
        return SAID * said + LOOKING * ctx.looking(batch.marks_T)
