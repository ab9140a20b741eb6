"""What a caller may give as a prompt, and the token ids it becomes, checked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pellucid.engine.memory import Source
from pellucid.errors import RequestError
from pellucid.sampling.rules import Rule
from pellucid.text import Tokenizer

Prompt = str | Sequence[int] | np.ndarray | torch.Tensor | Mapping[str, Any]
"""A text, its token ids, or `{"prompt": text}` or `{"prompt_token_ids": ids}`. Ids are a list or an array."""


Message = Mapping[str, Any]
"""`{"role": "user", "content": "..."}`, with whatever else the checkpoint's template reads."""


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt as text, where it was one, and as ids."""

    text: str | None
    token_ids: list[int]
    continues: bool
    """Whether the answer goes on from its last word, or begins a text of its own (a turn of a chat)."""
    source: Source | None = None
    """What the encoder reads, where there is one; `token_ids` are then how the decoder begins."""
    rules: tuple[Rule, ...] = ()
    """What the checkpoint forbids and forces."""
    last_token_id: int | None = None
    """What an answer that reaches its longest length ends with."""


@dataclass(frozen=True)
class PromptReader:
    """Reads prompts for one model. Every refusal is a RequestError that says what would do."""

    tokenizer: Tokenizer | None
    vocab_size: int
    max_model_len: int

    def read(self, prompt: Prompt, *, rendered: bool = False) -> ReadPrompt:
        """The prompt's ids; a text is encoded with the special tokens its tokenizer was published with, one
        that a chat template `rendered` has them already."""
        text, ids = self._split(prompt)
        if text is not None:
            if not text:
                raise RequestError("the prompt is empty; give at least one character")
            if self.tokenizer is None:
                raise RequestError(
                    "this LLM has no tokenizer (skip_tokenizer_init), so it takes {'prompt_token_ids': [...]}"
                )
            ids = self.tokenizer.encode(text, add_special_tokens=not rendered)
        return ReadPrompt(text, self._checked(ids), continues=not rendered)

    def _split(self, prompt: Prompt) -> tuple[str | None, Sequence[Any]]:
        if isinstance(prompt, str):
            return prompt, ()
        if isinstance(prompt, Mapping):
            ids, text = as_list(prompt.get("prompt_token_ids")), prompt.get("prompt")
            if isinstance(ids, list | tuple):
                return None, ids
            if isinstance(text, str):
                return text, ()
        elif isinstance(ids := as_list(prompt), list | tuple):
            return None, ids
        raise RequestError(
            f"a prompt of type {type(prompt).__name__} cannot be read; give a text, or "
            "{'prompt_token_ids': [1, 2, 3]}"
        )

    def _checked(self, ids: Sequence[Any]) -> list[int]:
        if not ids:
            raise RequestError("the prompt has no tokens; give at least one")
        plain = set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) < self.vocab_size
        for at, token in enumerate(() if plain else ids):
            if not _is_whole(token) or not 0 <= token < self.vocab_size:
                raise RequestError(
                    f"prompt token {at} is {token!r}; this model's token ids are whole numbers from 0 to "
                    f"{self.vocab_size - 1}"
                )
        if len(ids) >= self.max_model_len:
            raise RequestError(
                f"the prompt has {len(ids)} tokens; prompt and answer together may have "
                f"{self.max_model_len}, so give at most {self.max_model_len - 1}, or raise max_model_len if "
                "the model allows it"
            )
        return list(ids) if plain else [int(token) for token in ids]


@dataclass(frozen=True)
class SourceReader:
    """Reads prompts for an encoder-decoder: its encoder's input, while the decoder begins as published."""

    reader: PromptReader
    """What checks them: the encoder's vocabulary and length."""
    decoder_begins: tuple[int, ...]
    rules: tuple[Rule, ...]
    last_token_id: int | None

    def read(self, prompt: Prompt, *, rendered: bool = False) -> ReadPrompt:
        """The prompt as a source."""
        read = self.reader.read(prompt, rendered=rendered)
        return ReadPrompt(
            read.text,
            list(self.decoder_begins),
            continues=False,
            source=Source(read.token_ids, len(read.token_ids), tuple(read.token_ids)),
            rules=self.rules,
            last_token_id=self.last_token_id,
        )


def as_prompts(given: Prompt | Sequence[Prompt]) -> Sequence[Prompt]:
    """One prompt as a list of one. A list of ids is one prompt; a list of anything else is many.

    Raises RequestError for what is neither.
    """
    listed = as_list(given)
    if isinstance(listed, str | Mapping):
        return [listed]
    if not isinstance(listed, list | tuple):
        raise RequestError(
            f"prompts of type {type(given).__name__} cannot be read; give one prompt or a list of prompts, "
            "each a text or {'prompt_token_ids': [1, 2, 3]}"
        )
    return [listed] if listed and isinstance(listed[0], int | float | np.integer) else listed


def as_conversations(given: Sequence[Message] | Sequence[Sequence[Message]]) -> list[Sequence[Message]]:
    """One conversation as a list of one. Raises RequestError for what is no list of messages."""
    many = (
        [given]
        if not isinstance(given, list | tuple) or not given or isinstance(given[0], Mapping)
        else given
    )
    for messages in many:
        listed = isinstance(messages, list | tuple) and len(messages) > 0
        if not listed or not all(isinstance(message, Mapping) for message in messages):
            raise RequestError(
                f"the conversation {messages!r} cannot be read; give messages, at least one, like "
                "[{'role': 'user', 'content': 'What is AI?'}]"
            )
        for at, message in enumerate(messages):
            if not isinstance(message.get("role"), str):
                raise RequestError(
                    f"message {at} of the conversation has no role: give one, like 'user' or 'assistant'"
                )
    return list(many)  # what else it could be was ruled out


def as_list(given: Any) -> Any:
    """An array or tensor as (nested) lists; anything else as it is."""
    return given.tolist() if isinstance(given, np.ndarray | torch.Tensor) else given


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
