"""The tokenizer: text to ids, ids to text, whatever published format it came from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from pellucid.errors import RequestError, TokenizerError
from pellucid.text.byte_tokens import byte_of
from pellucid.text.chat import ChatTemplate
from pellucid.text.decoding import Step, TextStream, clean_up_steps


class Codec(Protocol):
    """What a published tokenizer format amounts to: a vocabulary, how text is cut, how tokens become text."""

    @property
    def size(self) -> int:
        """One more than the highest id; ids below it may be holes."""
        ...

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids that `skip_special_tokens` leaves out of the text."""
        ...

    def encode(self, text: str, add_special_tokens: bool) -> list[int]: ...

    def token(self, id: int) -> str | None:
        """The raw piece of an id below `size`, None for a hole."""
        ...

    def id(self, token: str) -> int | None: ...

    def steps(self) -> list[Step]:
        """Fresh decoding steps for one text."""
        ...

    def piece(self, token: str) -> str:
        """A raw piece as a person would read it: spaces are spaces, stray bytes are `<0xE2>`."""
        ...


@dataclass(frozen=True)
class Tokenizer:
    """Text to ids and back.

    `special_tokens` holds the published roles ("bos_token", "eos_token", "pad_token", "mask_token", ...) and
    their texts. `model_vocab_size` is the number of rows of the checkpoint's embedding: published checkpoints
    often pad it beyond the tokenizer, and a model may then produce an id that stands for no text. Such ids,
    and holes, decode to nothing; ids beyond both sizes are an error.
    """

    codec: Codec
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    chat_template: ChatTemplate | None = None
    clean_up: bool = False
    model_vocab_size: int | None = None
    source: str = "this tokenizer"
    times: frozenset[int] = frozenset()
    """Those that say when something was said (Whisper): no special ones, yet left out of a text with them."""

    @property
    def vocab_size(self) -> int:
        """One more than the highest id that stands for a token."""
        return self.codec.size

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of special tokens, which `skip_special_tokens` leaves out of the text."""
        return self.codec.special_ids

    @cached_property
    def _unspoken(self) -> frozenset[int]:
        return self.special_ids | self.times

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """The ids of `text`; with `add_special_tokens`, also those the published tokenizer puts around it.

        A rendered chat template already holds its special tokens: encode it with `add_special_tokens=False`.
        Raises RequestError for a text that is no valid Unicode.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RequestError(
                f"the text holds half a character (a lone surrogate, {text[error.start]!r}) at position "
                f"{error.start}; repair it first, for instance with "
                "text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')"
            ) from None
        return self.codec.encode(text, add_special_tokens)

    def decode(
        self, ids: Sequence[int], skip_special_tokens: bool = True, clean_up: bool | None = None
    ) -> str:
        """The text of `ids`. Bytes that make no character become �.

        `clean_up` takes the spaces before punctuation out ("it 's ." to "it's."); left open, the checkpoint's
        config decides. Raises TokenizerError for an id that neither the tokenizer nor the checkpoint's
        vocabulary has.
        """
        stream = self.text_stream(clean_up)
        tokens = self.text_tokens(ids, skip_special_tokens)
        return "".join([stream.feed(token) for token in tokens]) + stream.finish()

    def text_stream(self, clean_up: bool | None = None) -> TextStream:
        """A decoder for one text, to be fed its tokens one at a time."""
        wanted = self.clean_up if clean_up is None else clean_up
        return TextStream(self.codec.steps() + (clean_up_steps() if wanted else []))

    def text_tokens(self, ids: Iterable[int], skip_special_tokens: bool) -> Iterable[str]:
        """The raw tokens among `ids` that make text, checked."""
        for id in ids:
            token = self._raw(id)
            if token is not None and not (skip_special_tokens and id in self._unspoken):
                yield token

    def token(self, id: int) -> str:
        """The raw piece of an id ("Ġcat", "▁cat", "##ing"); an id without one reads `<unused 32050>`."""
        token = self._raw(id)
        return f"<unused {id}>" if token is None else token

    def id(self, token: str) -> int | None:
        """The id of a raw piece, None where the vocabulary lacks it."""
        return self.codec.id(token)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """Each token's own text as a person would read it, one for each id.

        A token that starts a word starts with a space, special tokens are as written, bytes that are no whole
        character read `<0xE2>`.
        """
        return [self._piece(id) for id in ids]

    def _piece(self, id: int) -> str:
        token = self.token(id)
        if id in self.special_ids or id >= self.codec.size or byte_of(token) is not None:
            return token
        return self.codec.piece(token)

    def _raw(self, id: int) -> str | None:
        size = self.codec.size
        if 0 <= id < size:
            return self.codec.token(id)
        known = max(size, self.model_vocab_size or 0)
        if 0 <= id < known:
            return None
        raise TokenizerError(
            f"token id {id} is outside the vocabulary of {self.source}: it has ids 0 to {known - 1}; "
            "check that these ids come from the same checkpoint"
        )

    @property
    def bos_token_id(self) -> int | None:
        return self._special("bos_token")

    @property
    def eos_token_id(self) -> int | None:
        return self._special("eos_token")

    @property
    def pad_token_id(self) -> int | None:
        return self._special("pad_token")

    @property
    def unk_token_id(self) -> int | None:
        return self._special("unk_token")

    @property
    def mask_token_id(self) -> int | None:
        return self._special("mask_token")

    def _special(self, role: str) -> int | None:
        token = self.special_tokens.get(role)
        return None if token is None else self.codec.id(token)
