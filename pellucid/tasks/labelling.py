"""Classes of texts and of their tokens, with the scores the checkpoint was published to give.

Letters: T tokens, N sequences, V labels.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.engine.encoder_runner import ReadsTexts
from pellucid.errors import RequestError
from pellucid.models.encoder import Encoder
from pellucid.models.head_config import HeadConfig
from pellucid.prompts import Prompt, as_prompts
from pellucid.tasks.outputs import (
    ClassificationOutput,
    ClassificationRequestOutput,
    TokenClass,
    TokenClassificationRequestOutput,
)
from pellucid.tasks.packing import run_packed
from pellucid.tasks.texts import TextReader
from pellucid.text import Tokenizer


def scores(logits_NV: Tensor, head: HeadConfig) -> Tensor:
    """The scores `[N, V]` of a head's outputs: probabilities of one label or of each, or plain numbers."""
    logits_NV = logits_NV.float()
    if head.scores == "softmax":
        return logits_NV.softmax(-1)
    return logits_NV.sigmoid() if head.scores == "sigmoid" else logits_NV


def labelled(scores_V: Tensor, head: HeadConfig) -> ClassificationOutput:
    """A row of scores with the names of its labels."""
    return ClassificationOutput(scores_V.tolist(), head.labels[int(scores_V.argmax())], head.labels)


class TextClassifier:
    """An encoder that was published with a head for classes."""

    def __init__(self, model: Encoder, tokenizer: Tokenizer | None, runner: ReadsTexts) -> None:
        head = model.config.head
        if head is None or head.task == "words":
            has = "no head" if head is None else "a head for masked words, for fill_mask"
            raise RequestError(
                f"this {model.config.model_type} has {has}; classify needs a checkpoint published for "
                "sequence or token classification"
            )
        self.model, self.tokenizer, self.runner, self.head = model, tokenizer, runner, head
        self.reader = TextReader(tokenizer, model.config.vocab_size, model.config.max_position_embeddings)

    def classify(
        self, prompts: Prompt | Sequence[Prompt], *, truncate_prompt_tokens: int | None = None
    ) -> list[ClassificationRequestOutput] | list[TokenClassificationRequestOutput]:
        """The class of each text, or of each token of each text, in the order given.

        `truncate_prompt_tokens`: cut longer texts; a text longer than the model is refused without it.
        """
        read = [self.reader.read(prompt, truncate_prompt_tokens) for prompt in as_prompts(prompts)]
        each = self.scores([r.token_ids for r in read])
        if self.head.task == "sequence":
            return [
                ClassificationRequestOutput(str(i), r.text, r.token_ids, labelled(scores_1V[0], self.head))
                for i, (r, scores_1V) in enumerate(zip(read, each, strict=True))
            ]
        return [
            TokenClassificationRequestOutput(
                str(i), r.text, r.token_ids, self._tokens(r.token_ids, scores_LV)
            )
            for i, (r, scores_LV) in enumerate(zip(read, each, strict=True))
        ]

    def scores(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        """The scores of texts that are token ids already: `[1, V]` a text, or `[L, V]`, a row a token."""

        head = self.model.heads[self.head.task]

        def forward(ids_T: Tensor, lengths: list[int]) -> list[Tensor]:
            logits_RV = head(self.runner.hidden(ids_T, lengths), self.runner.head_context(lengths))
            scores_RV = scores(logits_RV, self.head)
            whole = self.head.task == "sequence"
            return list(torch.split(scores_RV, [1] * len(lengths) if whole else lengths))

        return run_packed(sequences, forward, self.model.input.embed_tokens.weight.device)

    def _tokens(self, ids: list[int], scores_LV: Tensor) -> list[TokenClass]:
        best = scores_LV.max(-1)
        pieces = self.tokenizer.pieces(ids) if self.tokenizer else [str(i) for i in ids]
        return [
            TokenClass(token, piece, self.head.labels[label], score)
            for token, piece, label, score in zip(
                ids, pieces, best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]
