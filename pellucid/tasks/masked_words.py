"""The words that may stand behind a mask.

Letters: T tokens, M masks, V vocabulary.
"""

import torch

from pellucid.engine.encoder_runner import ReadsTexts
from pellucid.errors import RequestError, TokenizerError
from pellucid.models.encoder import Encoder
from pellucid.tasks.outputs import FilledMask, FilledWord
from pellucid.tasks.texts import TextReader
from pellucid.text import Tokenizer


class MaskFiller:
    """An encoder that was published with a head for masked words."""

    def __init__(self, model: Encoder, tokenizer: Tokenizer | None, runner: ReadsTexts) -> None:
        head = model.config.head
        if head is None or head.task != "words":
            has = "no head" if head is None else f"a head for the classes {', '.join(head.labels[:4])}"
            raise RequestError(
                f"this {model.config.model_type} has {has}; fill_mask needs a checkpoint published for "
                "masked words (its `architectures` ends in ForMaskedLM)"
            )
        if tokenizer is None or tokenizer.mask_token_id is None:
            raise TokenizerError("fill_mask needs a tokenizer with a mask token, and this model has none")
        self.model, self.tokenizer, self.runner = model, tokenizer, runner
        self.mask_id = tokenizer.mask_token_id
        self.reader = TextReader(tokenizer, model.config.vocab_size, model.config.max_position_embeddings)

    @torch.inference_mode()
    def fill(self, text: str, top_k: int = 5) -> list[FilledMask]:
        """The `top_k` likeliest words for each mask of the text, best first; masks in the text's order.

        Raises RequestError for a text without a mask.
        """
        ids = self.reader.read(text).token_ids
        at = [i for i, token in enumerate(ids) if token == self.mask_id]
        if not at:
            mask = self.tokenizer.token(self.mask_id)
            raise RequestError(f"the text has no mask; write {mask} where a word is to be found")
        if not 1 <= top_k <= self.model.config.vocab_size:
            raise RequestError(f"top_k is {top_k}; it must be from 1 to {self.model.config.vocab_size}")
        device = self.model.input.embed_tokens.weight.device
        hidden_TD = self.runner.hidden(torch.tensor(ids, device=device), [len(ids)])
        logits_MV = self.model.heads["words"](hidden_TD[at], self.runner.head_context([len(at)]))
        best = logits_MV.float().softmax(-1).topk(top_k)
        return [
            FilledMask(
                position,
                [
                    FilledWord(
                        word, self.tokenizer.pieces([word])[0].strip(), p, self._with(ids, position, word)
                    )
                    for word, p in zip(words, probabilities, strict=True)
                ],
            )
            for position, words, probabilities in zip(
                at, best.indices.tolist(), best.values.tolist(), strict=True
            )
        ]

    def _with(self, ids: list[int], position: int, word: int) -> str:
        """The text with one mask filled; other masks stay as they are."""
        filled = [*ids[:position], word, *ids[position + 1 :]]
        kept = [i for i in filled if i == self.mask_id or i not in self.tokenizer.special_ids]
        return self.tokenizer.decode(kept, skip_special_tokens=False)
