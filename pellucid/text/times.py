"""Whisper's tokens for times: no words, whether a tokenizer's files know them or not."""

import re

import tokenizers

TIME = re.compile(r"<\|\d+\.\d\d\|>")
BEFORE = "<|notimestamps|>"
"""The token that the times follow, and the last one in files that do not know them."""
STEPS = 1501
"""Every fiftieth of a second from 0.00 to 30.00."""


def add_times(backend: tokenizers.Tokenizer) -> frozenset[int]:
    """The ids of the times; a file that does not know them is taught them, for the model writes them."""
    vocabulary = backend.get_vocab(with_added_tokens=True)
    if vocabulary.get(BEFORE) == max(vocabulary.values(), default=-1):
        times = [f"<|{step / 50:.2f}|>" for step in range(STEPS)]
        backend.add_tokens([tokenizers.AddedToken(text, normalized=False) for text in times])
        vocabulary = backend.get_vocab(with_added_tokens=True)
    return frozenset(id for text, id in vocabulary.items() if TIME.fullmatch(text))
