"""From what a caller gives an encoder to checked token ids, cut to length where that is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pellucid.errors import RequestError
from pellucid.prompts import Prompt, PromptReader, ReadPrompt
from pellucid.text import Tokenizer


@dataclass(frozen=True)
class TextReader:
    """Reads texts or ids for one encoder. Every refusal is a RequestError that says what would do."""

    tokenizer: Tokenizer | None
    vocab_size: int
    max_length: int
    """The longest input in tokens, special ones included."""

    def read(self, prompt: Prompt, truncate: int | None = None) -> ReadPrompt:
        """The ids; a text longer than `truncate` tokens loses its end, not the special tokens around it."""
        # an encoder writes nothing, so the whole length is the prompt's
        limit = self.max_length + 1 if truncate is None else max(self.max_length, 2**31)
        read = PromptReader(self.tokenizer, self.vocab_size, limit).read(prompt)
        if truncate is None or len(read.token_ids) <= truncate:
            return read
        if read.text is None or self.tokenizer is None:
            return replace(read, token_ids=read.token_ids[:truncate])
        words = self.tokenizer.encode(read.text, False)
        return replace(read, token_ids=cut(read.token_ids, words, truncate))


def cut(whole: Sequence[int], plain: Sequence[int], length: int) -> list[int]:
    """`whole` is `plain` with special tokens around it: the same with `plain` cut, `length` long in all."""
    extra = len(whole) - len(plain)
    if length <= extra:
        raise RequestError(
            f"a text cannot be cut to {length} tokens: the tokenizer alone puts {extra} around it; allow at "
            f"least {extra + 1}"
        )
    before = next(i for i in range(extra + 1) if list(whole[i : i + len(plain)]) == list(plain))
    return [*whole[:before], *plain[: length - extra], *whole[before + len(plain) :]]
