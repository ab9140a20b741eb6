"""Bad words as the token sequences that spell them."""

from collections.abc import Sequence
from typing import Protocol


class Encodes(Protocol):
    """What is needed of a tokenizer."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]: ...


def bad_word_ids(words: Sequence[str], tokenizer: Encodes) -> tuple[tuple[int, ...], ...]:
    """For `SamplingState`: each word as it is spelt at the beginning of a text and after a space, as in vLLM.

    A word that the model spells with other tokens still passes, as it does there.
    """
    spellings = [
        tuple(tokenizer.encode(space + word.lstrip(), add_special_tokens=False))
        for word in words
        for space in ("", " ")
    ]
    return tuple(dict.fromkeys(ids for ids in spellings if ids))
