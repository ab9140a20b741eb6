"""translate and summarize: a text in, a text out, asked for as the checkpoint was published to be asked."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, overload

from pellucid.errors import RequestError
from pellucid.llm import LLM
from pellucid.models.encoder_decoder_config import EncoderDecoderConfig
from pellucid.models.json_file import read_json
from pellucid.sampling.params import BeamSearchParams
from pellucid.tasks.writing import source_reader

Model = LLM | str | os.PathLike[str]
BUNDLED = "pellucid/en-fr"
"""The translator that ships."""
MAX_TOKENS = 256
"""How long an answer may be where neither the caller nor the checkpoint says."""


@overload
def translate(  # type: ignore[overload-overlap]  # a str is one text, though it is a sequence of str too
    text: str, model: Model = BUNDLED, *, source: str | None = None, target: str | None = None
) -> str: ...


@overload
def translate(
    text: Sequence[str], model: Model = BUNDLED, *, source: str | None = None, target: str | None = None
) -> list[str]: ...


def translate(
    text: str | Sequence[str], model: Model = BUNDLED, *, source: str | None = None, target: str | None = None
) -> str | list[str]:
    """The text in another language, a list for a list.

    `model`: an LLM, or what LLM opens; the one that ships goes from English to French. `source`, `target`:
    language codes as the checkpoint has them ("en", "de"; ">>fra<<" is "fra"): needed where it knows several
    pairs or several target languages. The search and the prefix are the checkpoint's published ones. Raises
    RequestError.
    """
    llm = opened(model)
    tasks = {name: task for name, task in task_settings(llm).items() if name.startswith("translation")}
    settings: Mapping[str, Any] = {}
    if tasks:
        wanted = [n for n in tasks if _fits(n, source, target)]
        if len(wanted) != 1:
            raise RequestError(
                f"{llm.name} translates {', '.join(sorted(tasks))}: give the source and target of one of them"
            )
        settings = tasks[wanted[0]]
    prefix = str(settings.get("prefix", "")) if tasks else _language_token(llm, target)
    return write(llm, text, prefix, settings)


@overload
def summarize(text: str, model: Model) -> str: ...  # type: ignore[overload-overlap]  # as above


@overload
def summarize(text: Sequence[str], model: Model) -> list[str]: ...


def summarize(text: str | Sequence[str], model: Model) -> str | list[str]:
    """The text in short, a list for a list, searched for and prefixed as the checkpoint was published."""
    llm = opened(model)
    settings = task_settings(llm).get("summarization", {})
    return write(llm, text, str(settings.get("prefix", "")), settings)


def opened(model: Model) -> LLM:
    """The LLM. Raises RequestError for one that is no encoder-decoder of texts."""
    llm = model if isinstance(model, LLM) else LLM(model)
    if not isinstance(llm.config, EncoderDecoderConfig) or llm.config.encoder.vocab_size is None:
        raise RequestError(
            f"{llm.name}: a {llm.config.model_type} is no encoder-decoder of texts (T5, BART, Marian), which "
            "this needs"
        )
    return llm


def task_settings(llm: LLM) -> Mapping[str, Mapping[str, Any]]:
    """`task_specific_params` of the folder's config.json: what each task's prefix and search are."""
    path = llm.folder / "config.json"
    found = read_json(path).get("task_specific_params") if path.exists() else None
    return found if isinstance(found, dict) else {}


def write(llm: LLM, text: str | Sequence[str], prefix: str, task: Mapping[str, Any]) -> str | list[str]:
    """The best text found for each input, with one task's settings over generation_config.json's."""
    settings = {**llm.generation, **task}
    assert isinstance(llm.config, EncoderDecoderConfig)  # opened() has seen to it
    reader = source_reader(llm.config, llm.tokenizer, settings)
    texts = [text] if isinstance(text, str) else list(text)
    reads = [reader.read(prefix + one) for one in texts]
    begins = len(reader.decoder_begins)
    length = settings.get("max_new_tokens") or (settings.get("max_length") or MAX_TOKENS) - begins
    params = BeamSearchParams(
        beam_width=settings.get("num_beams") or 1,
        max_tokens=max(1, min(length, llm.engine.max_model_len - begins)),
        length_penalty=float(settings.get("length_penalty", 1.0)),
        early_stopping=settings.get("early_stopping") or False,
    )
    outputs = llm.search(reads, params)
    if failed := [output.error for output in outputs if output.error]:
        raise RequestError(f"{llm.name}: {failed[0]}")
    written = [output.sequences[0].tokens[begins:] for output in outputs]
    if llm.tokenizer is None:
        raise RequestError(
            f"{llm.name} was opened without its tokenizer, so there is no text to be had of it"
        )
    found = [llm.tokenizer.decode(ids).strip() for ids in written]
    return found[0] if isinstance(text, str) else found


def _fits(name: str, source: str | None, target: str | None) -> bool:
    """Whether `translation_en_to_de` goes from the source, if one is given, to the target, if one is."""
    languages = name.removeprefix("translation_").split("_to_")
    if len(languages) != 2:
        return False
    return source in (None, languages[0]) and target in (None, languages[1])


def _language_token(llm: LLM, target: str | None) -> str:
    """`>>xx<<`, which says the target to a Marian of several; nothing for a model of one language pair."""
    if target is None or llm.tokenizer is None:
        return ""
    token = f">>{target}<<"
    if llm.tokenizer.id(token) is None:
        raise RequestError(
            f"{llm.name} has no token {token}: it knows one target only, or calls it otherwise"
        )
    return token + " "
