"""Text as it is generated: one token in, the whole characters it completes out."""

from collections.abc import Sequence

from pellucid.text.tokenizer import Tokenizer

CONTEXT = 16  # tokens that decide how a text goes on: is it the first word, is it inside a character


class Detokenizer:
    """The text of one generation, token by token.

    The texts that `add` gives, and `finish`'s after them, are together exactly `tokenizer.decode` of all the
    ids. Half a character is never shown: its bytes wait for the rest of them, and what is still incomplete at
    `finish` is shown as �. A character is a Unicode code point: a combining mark, or the next part of a
    joined emoji, comes when its token does. Token 10,000 costs what token 1 does.

    `after` are the ids of a text that this one goes on from: then the two read as one, and a first word keeps
    the space before it ("The cat" and " sat"). A text of its own, such as a turn of a chat, needs none.
    """

    def __init__(
        self, tokenizer: Tokenizer, skip_special_tokens: bool = True, after: Sequence[int] = ()
    ) -> None:
        self._tokenizer = tokenizer
        self._skip = skip_special_tokens
        self._stream = tokenizer.text_stream()
        for id in after[-CONTEXT:]:
            self.add(id)

    def add(self, id: int) -> str:
        """The characters that are certain now that `id` has come; often one token's text, sometimes empty."""
        return "".join([self._stream.feed(token) for token in self._tokenizer.text_tokens((id,), self._skip)])

    def finish(self) -> str:
        """What was held back, at the end of the text."""
        return self._stream.finish()
