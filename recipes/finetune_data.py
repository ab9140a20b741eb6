"""Reads what a decoder is to be fine-tuned on: texts, or prompts with answers, as packed documents."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pellucid.errors import SourceError
from pellucid.text import Tokenizer
from recipes.text import read_texts

PROMPTS, ANSWERS = ("prompt", "instruction", "question"), ("answer", "completion", "output", "response")
SHAPES = (
    '{"prompt": "...", "answer": "..."}, {"messages": [{"role": "user", "content": "..."}, ...]} ending with '
    'the assistant\'s, or {"text": "..."}'
)


class Example(NamedTuple):
    """A text of which the end is learned."""

    given: str
    learned: str
    rendered: bool = False
    """Whether a chat template has put the first token there already."""


def read_examples(file: Path, tokenizer: Tokenizer) -> list[Example]:
    """The examples of a .jsonl or .json file, or the texts of any other file or folder.

    Raises SourceError naming the line that cannot be used.
    """
    if file.suffix not in (".jsonl", ".json"):
        return [Example("", read_texts(file, least=1))]
    try:
        text = file.read_text(encoding="utf-8-sig")
        lines = json.loads(text) if file.suffix == ".json" else _lines(text)
        examples = [as_example(line, tokenizer) for line in lines]
    except (ValueError, TypeError) as error:
        raise SourceError(f"{file}: cannot be used: {error}") from error
    if not examples:
        raise SourceError(f"{file}: is empty; each line is to be {SHAPES}")
    return examples


def _lines(text: str) -> Iterable[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is no JSON ({error})") from error


def as_example(line: Any, tokenizer: Tokenizer) -> Example:
    """One line of a file. Raises ValueError for one that has no known shape."""
    if isinstance(line, Mapping):
        if isinstance(text := line.get("text"), str) and text:
            return Example("", text)
        messages = line.get("messages")
        if isinstance(messages, list) and messages and all(isinstance(turn, Mapping) for turn in messages):
            return conversation(messages, tokenizer)
        prompt = next((line[key] for key in PROMPTS if isinstance(line.get(key), str)), None)
        answer = next((line[key] for key in ANSWERS if isinstance(line.get(key), str)), None)
        if prompt and answer:
            more = line.get("input")  # what the instruction is about, in the format of Alpaca
            prompt = f"{prompt}\n{more}" if isinstance(more, str) and more else prompt
            if tokenizer.chat_template is None:
                return Example(prompt, answer)
            turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
            return conversation(turns, tokenizer)
    raise ValueError(f"{json.dumps(line)[:80]} is none of {SHAPES}")


def conversation(messages: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> Example:
    """A conversation through the chat template; its last turn, the assistant's, is what is learned."""
    if tokenizer.chat_template is None:
        raise ValueError("the model has no chat template, so it is to be given prompts and answers")
    if messages[-1].get("role") != "assistant":
        raise ValueError(
            f"the conversation {json.dumps(messages)[:80]} does not end with the assistant's turn"
        )
    before = tokenizer.chat_template.render(list(messages[:-1]))
    whole = tokenizer.chat_template.render(list(messages), add_generation_prompt=False)
    if whole.startswith(before):
        return Example(before, whole.removeprefix(before), rendered=True)
    # a template that writes the past otherwise than it asks for an answer: learn the answer as it is, and
    # what the template writes after it
    answer = str(messages[-1]["content"]).strip()
    _, found, after = whole.rpartition(answer)
    if not found:
        raise ValueError(f"the model's chat template does not write the answer {answer[:80]!r} as it is")
    return Example(before, answer + after, rendered=True)


def encode(
    examples: Sequence[Example], tokenizer: Tokenizer, context: int, end: int | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Ids and weights of each document, none longer than the context and a target.

    A text is cut into as many documents as it fills; a prompt with its answer keeps its beginning.
    """
    documents = []
    for example in examples:
        ids, given = _ids(example, tokenizer)
        if not example.rendered and end is not None and ids[-1:] != [end]:
            ids = [*ids, end]
        weights = np.arange(len(ids)) >= given
        for start in range(0, 1 if example.given else len(ids), context):
            cut = slice(start, start + context + 1)
            if weights[cut][1:].any():
                documents.append((np.array(ids[cut], np.int32), weights[cut].astype(np.float32)))
    return documents


def _ids(example: Example, tokenizer: Tokenizer) -> tuple[list[int], int]:
    """An example's ids, and how many are given: those that the model is given when it is asked."""
    special = not example.rendered
    given = tokenizer.encode(example.given, add_special_tokens=special) if example.given else []
    whole = tokenizer.encode(example.given + example.learned, add_special_tokens=special)
    if whole[: len(given)] == given:
        return whole, len(given)
    # the last word of the one and the first of the other make other tokens when they are read together
    return given + tokenizer.encode(example.learned, add_special_tokens=False), len(given)
