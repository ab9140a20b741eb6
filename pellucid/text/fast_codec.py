"""A codec over the `tokenizers` library, which holds every published kind but Marian's."""

import json
from functools import cached_property
from typing import Any

import tokenizers
from tokenizers.models import BPE

from pellucid.text.byte_tokens import bytes_of
from pellucid.text.decoding import Replaced, Step, StripEnds, TextStream, Utf8Bytes, steps_of


class FastCodec:
    """A `tokenizers.Tokenizer`, as a `Codec`. Padding and truncation baked into the file are switched off."""

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        backend.no_padding()
        backend.no_truncation()
        self.backend = backend
        self._decoder: Any = json.loads(backend.decoder.__getstate__()) if backend.decoder else None

    @cached_property
    def size(self) -> int:
        return max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @cached_property
    def special_ids(self) -> frozenset[int]:
        added = self.backend.get_added_tokens_decoder()
        return frozenset(id for id, token in added.items() if token.special)

    @cached_property
    def _added(self) -> frozenset[str]:
        return frozenset(token.content for token in self.backend.get_added_tokens_decoder().values())

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        ids: list[int] = self.backend.encode(text, add_special_tokens=add_special_tokens).ids
        return ids

    def token(self, id: int) -> str | None:
        token: str | None = self.backend.id_to_token(id)
        return token

    def id(self, token: str) -> int | None:
        id: int | None = self.backend.token_to_id(token)
        return id

    def steps(self) -> list[Step]:
        if self._suffix:  # a word's end is a space, except at the text's
            return [Utf8Bytes(), Replaced(self._suffix, " "), StripEnds(" ", start=10**9, stop=10**9)]
        return steps_of(self._decoder, self._decode_tokens)

    @cached_property
    def _suffix(self) -> str:
        """The end of a word in byte-level BPE, "</w>" for CLIP, empty for nearly everything else."""
        model = self.backend.model
        return (model.end_of_word_suffix or "") if self._byte_level and isinstance(model, BPE) else ""

    def _decode_tokens(self, tokens: list[str]) -> str:
        text: str = self.backend.decoder.decode(tokens)
        return text

    @cached_property
    def _byte_level(self) -> bool:
        return '"ByteLevel"' in json.dumps(self._decoder)

    def piece(self, token: str) -> str:
        if token in self._added:
            return token
        if self._byte_level:
            ends = bool(self._suffix) and token.endswith(self._suffix)
            return readable(bytes_of(token.removesuffix(self._suffix))) + " " * ends
        # behind another token, where it keeps the space it starts with
        return self._text(["x", token]).removeprefix(self._text(["x"]))

    def _text(self, tokens: list[str]) -> str:
        stream = TextStream(self.steps())
        return "".join([stream.feed(token) for token in tokens]) + stream.finish()


def readable(data: bytes) -> str:
    """Bytes as text, those that make no character as `<0xE2>`."""
    text = data.decode("utf-8", "surrogateescape")  # a stray byte 0xE2 becomes U+DCE2
    return "".join(f"<0x{ord(c) - 0xDC00:02X}>" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)
