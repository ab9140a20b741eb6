"""Commands that understand or rewrite: `pellucid embed | classify | fill | translate | summarize |
transcribe`."""

import dataclasses
import sys
from typing import Annotated

import typer

from pellucid.cli.options import Inputs, Json, Model, print_json
from pellucid.errors import RequestError
from pellucid.llm import LLM
from pellucid.tasks.outputs import ClassificationRequestOutput
from pellucid.text_to_text import BUNDLED as BUNDLED_TRANSLATOR
from pellucid.text_to_text import summarize as write_summary
from pellucid.text_to_text import translate as write_translation


def embed(model: Model, texts: Inputs = None, as_json: Json = False) -> None:
    """Turn texts into vectors; for several, show how near each is to the first."""
    outputs = LLM(model).embed(given(texts))
    if as_json:
        print_json([dataclasses.asdict(output) for output in outputs])
        return
    first = outputs[0].outputs.embedding
    for output in outputs:
        vector = output.outputs.embedding
        print(f"{nearness(first, vector):6.3f}  {len(vector)} numbers  {output.prompt}")


def classify(model: Model, inputs: Inputs = None, as_json: Json = False) -> None:
    """Name the class of texts, of their tokens, or of picture files, as the model was published for."""
    outputs = LLM(model).classify(given(inputs))
    if as_json:
        print_json([dataclasses.asdict(output) for output in outputs])
        return
    for output in outputs:
        if isinstance(output, ClassificationRequestOutput):
            best = output.outputs
            print(f"{max(best.probs):6.3f}  {best.label}  {output.prompt}")
        else:
            print("  ".join(f"{token.text}/{token.label}" for token in output.outputs))


def fill(
    model: Model,
    text: Annotated[str, typer.Argument(help="A text with the model's mask token in it.")],
    top_k: Annotated[int, typer.Option(help="How many words for each mask.")] = 5,
    as_json: Json = False,
) -> None:
    """Find the likeliest words for the masks of a text."""
    masks = LLM(model).fill_mask(text, top_k)
    if as_json:
        print_json([dataclasses.asdict(mask) for mask in masks])
        return
    for mask in masks:
        for word in mask.words:
            print(f"{word.probability:6.3f}  {word.token}  {word.text}")


def translate(
    texts: Inputs = None,
    model: Model = BUNDLED_TRANSLATOR,
    source: Annotated[str | None, typer.Option(help="Its language, where the model knows several.")] = None,
    target: Annotated[str | None, typer.Option(help="The language wanted, likewise.")] = None,
    as_json: Json = False,
) -> None:
    """Translate texts, searched for and prefixed as the model was published."""
    show_texts(write_translation(given(texts), model, source=source, target=target), as_json)


def summarize(model: Model, texts: Inputs = None, as_json: Json = False) -> None:
    """Summarize texts, searched for and prefixed as the model was published."""
    show_texts(write_summary(given(texts), model), as_json)


def transcribe(
    model: Model,
    sounds: Annotated[list[str], typer.Argument(help="WAV or FLAC files of any length.")],
    language: Annotated[
        str | None, typer.Option(help="What is spoken: fr, french; heard by default.")
    ] = None,
    translate: Annotated[bool, typer.Option("--translate", help="Write it in English.")] = False,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="When each part of it is said.")] = False,
    as_json: Json = False,
) -> None:
    """Write down what is said in recordings, all of them in one batch."""
    task = "translate" if translate else None
    heard = LLM(model).transcribe(sounds, language=language, task=task, timestamps=timestamps)
    if as_json:
        print_json(
            [{"file": file, **dataclasses.asdict(one)} for file, one in zip(sounds, heard, strict=True)]
        )
        return
    for file, one in zip(sounds, heard, strict=True):
        if len(sounds) > 1:
            print(f"{file} ({one.language}):" if one.language else f"{file}:")
        if timestamps:
            for part in one.segments:
                print(f"[{clock(part.start)} - {clock(part.end)}] {part.text}")
        else:
            print(one.text)


def given(arguments: list[str] | None) -> list[str]:
    """The arguments, or the lines of standard input. Raises RequestError where there are none."""
    if not arguments and not sys.stdin.isatty():
        arguments = [line for line in sys.stdin.read().splitlines() if line]
    if not arguments:
        raise RequestError("there is nothing to work on; give it as an argument or on standard input")
    return arguments


def nearness(a: list[float], b: list[float]) -> float:
    """The cosine of the angle between two vectors."""
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return float(product / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5)


def clock(seconds: float) -> str:
    """A time as people read it, 1:02:03.45."""
    minutes, rest = divmod(round(seconds * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:" if hours else "") + f"{minutes:02d}:{rest // 100:02d}.{rest % 100:02d}"


def show_texts(texts: list[str], as_json: bool) -> None:
    """A line a text, or a JSON list."""
    if as_json:
        print_json(texts)
        return
    for text in texts:
        print(text)
