"""Bad words as the token sequences that spell them."""

from typing import Protocol

from pellucid.errors import RequestError
from pellucid.sampling.params import SamplingParams


class Encodes(Protocol):
    """What is needed of a tokenizer."""

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]: ...


def bad_word_ids(params: SamplingParams, tokenizer: Encodes | None) -> tuple[tuple[int, ...], ...]:
    """For `SamplingState`: the bad words as spelt at the beginning of a text and after a space, as in vLLM.

    A word that the model spells with other tokens still passes, as it does there. Raises RequestError where
    texts are asked to be watched for and there is no tokenizer.
    """
    if tokenizer is None:
        for name in ("bad_words", "stop"):
            if getattr(params, name):
                raise RequestError(
                    f"{name}={getattr(params, name)!r} needs a tokenizer, and there is none "
                    "(skip_tokenizer_init): use token ids, stop_token_ids or logit_bias"
                )
        return ()
    spellings = [
        tuple(tokenizer.encode(space + (word.lstrip(" ") or word), add_special_tokens=False))
        for word in params.bad_words
        for space in ("", " ")
    ]
    return tuple(dict.fromkeys(ids for ids in spellings if ids))
