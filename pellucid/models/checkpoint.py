"""A published model, opened but not loaded: its config, what its files hold, how to get its tokenizer."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pellucid.errors import SourceError, TokenizerError, one_line
from pellucid.models import hub
from pellucid.models.body import Body, BodyConfig
from pellucid.models.family import Family
from pellucid.models.gguf_checkpoint import open_gguf
from pellucid.models.json_file import read_json
from pellucid.models.registry import read_config
from pellucid.models.safetensors_file import read_header, weight_files
from pellucid.models.stored import StoredTensor
from pellucid.text import Tokenizer, load_tokenizer, tokenizer_from_gguf

logger = logging.getLogger("pellucid")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a name stands for, in whichever format it is published. Opening one reads no weights."""

    source: hub.Source
    family: Family[Any]
    config: BodyConfig
    published: Mapping[str, Any]
    """The fields of config.json, or a GGUF file's metadata without its long arrays."""
    generation: Mapping[str, Any]
    """What generation_config.json says, empty where there is none."""
    tensors: Callable[[], list[StoredTensor]]
    """Where every tensor lies. Raises WeightsError if a file is missing or damaged."""
    tokenizer: Callable[[], Tokenizer]
    """Raises TokenizerError if there is none, or it is damaged, or it has more tokens than the model."""

    def empty_body(self) -> Body:
        """The body with shapes and without memory."""
        with torch.device("meta"):
            return self.family.build(self.config)


def open_checkpoint(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | None = None,
    weights: bool = True,
) -> Checkpoint:
    """Find a model by bundled name, local folder, GGUF file or hub id, and read its config.

    With `weights=False` none are downloaded for a hub id. Raises SourceError or ConfigError.
    """
    if not isinstance(source, str | os.PathLike):
        raise SourceError(f"the model is {source!r}; give a bundled name, a local folder or a hub id")
    with readable(str(source)):
        return open_found(hub.find(source, revision=revision, token=token, weights=weights))


def open_found(found: hub.Source) -> Checkpoint:
    """The checkpoint of files that are here. Raises ConfigError, or WeightsError for a GGUF file."""
    return _open_gguf(found) if found.path.is_file() else _open_folder(found)


def _open_folder(source: hub.Source) -> Checkpoint:
    folder = source.path
    fields = read_json(folder / "config.json")
    family, config = read_config(fields, str(folder / "config.json"))
    _say_code_is_ignored(folder, fields, family)
    if family.left_out:
        what = ", ".join(beginning.removesuffix(".") for beginning in family.left_out)
        logger.warning("%s: opened as a text model, without its %s", folder, what)
    generation = folder / "generation_config.json"
    return Checkpoint(
        source=source,
        family=family,
        config=config,
        published=fields,
        generation=read_json(generation) if generation.exists() else {},
        tensors=lambda: _tensors(folder),
        tokenizer=lambda: _folder_tokenizer(folder, config),
    )


def _tensors(folder: Path) -> list[StoredTensor]:
    with readable(str(folder)):
        return [tensor for file in weight_files(folder) for tensor in read_header(file)]


def _folder_tokenizer(folder: Path, config: BodyConfig) -> Tokenizer:
    with readable(str(folder)):
        return _agreeing(load_tokenizer(folder, config.vocab_size), config, str(folder))


@contextmanager
def readable(where: str) -> Iterator[None]:
    """What the file system refuses (a folder that is not ours, a name too long), as a SourceError."""
    try:
        yield
    except OSError as error:
        what = f" ({one_line(error.filename, 80)})" if error.filename else ""
        raise SourceError(
            f"{one_line(where, 200)}: cannot be read: {error.strerror or error}{what}"
        ) from error


def _open_gguf(source: hub.Source) -> Checkpoint:
    opened = open_gguf(source.path)
    return Checkpoint(
        source=source,
        family=opened.family,
        config=opened.config,
        published=opened.header.in_brief(),
        generation=opened.generation,
        tensors=lambda: opened.tensors,
        tokenizer=lambda: _agreeing(
            tokenizer_from_gguf(opened.header.metadata, str(source.path)), opened.config, str(source.path)
        ),
    )


def _agreeing(tokenizer: Tokenizer, config: BodyConfig, where: str) -> Tokenizer:
    """The tokenizer, if the model has a row for each of its tokens (it may have more: many are padded)."""
    if tokenizer.vocab_size > (config.vocab_size or 0):
        raise TokenizerError(
            f"{where}: the tokenizer has ids up to {tokenizer.vocab_size - 1}, `vocab_size` in the config is "
            f"{config.vocab_size}: one of them belongs to another model; to go on with token ids alone, pass "
            "skip_tokenizer_init=True"
        )
    return tokenizer


def _say_code_is_ignored(folder: Path, fields: Mapping[str, Any], family: Family[Any]) -> None:
    programs = sorted(path.name for path in folder.glob("*.py"))
    if programs or "auto_map" in fields:
        what = ", ".join([*(["auto_map in config.json"] if "auto_map" in fields else []), *programs])
        logger.warning(
            "%s carries code (%s): ignored, Pellucid runs %s with its own", folder, what, family.model_type
        )
