"""The models that can be opened by name here: bundled, and in huggingface_hub's cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import PellucidError
from pellucid.models.checkpoint import open_found
from pellucid.models.hub import Source
from pellucid.models.inspect import memory_by_kind
from pellucid.models.names import bundled_models, cached_models


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model and what it needs; sizes are in bytes."""

    name: str
    kind: str
    """"bundled" or "cache"."""
    path: str
    model_type: str | None
    num_parameters: int | None
    memory: dict[str, int]
    """What its weights take, by dtype or quantization; for a GGUF file also as they are stored."""
    problem: str | None
    """Why it cannot be opened."""


def catalog() -> list[Entry]:
    """Every model there is, with what it needs in memory. Reads configs and headers alone."""
    bundled = [Source(name, path, "bundled") for name, path in bundled_models().items()]
    return [_entry(source) for source in (*bundled, *_cached())]


def _cached() -> Iterator[Source]:
    for name, folder in cached_models().items():
        if (folder / "config.json").exists():
            yield Source(name, folder, "cache")
        for file in _first_parts(folder):
            yield Source(f"{name}/{file.relative_to(folder)}", file, "cache")


def _first_parts(folder: Path) -> list[Path]:
    """The folder's GGUF files, of a split one the first part."""
    files = sorted(folder.rglob("*.gguf"))
    return [file for file in files if "-of-" not in file.stem or "-00001-of-" in file.stem]


def _entry(source: Source) -> Entry:
    try:
        checkpoint = open_found(source)
        body = checkpoint.empty_body()
        memory = memory_by_kind(body)
        if source.path.is_file():
            memory["as stored"] = sum(tensor.nbytes for tensor in checkpoint.tensors())
    except PellucidError as error:
        return Entry(
            name=source.name,
            kind=source.kind,
            path=str(source.path),
            model_type=None,
            num_parameters=None,
            memory={},
            problem=str(error),
        )
    return Entry(
        name=source.name,
        kind=source.kind,
        path=str(source.path),
        model_type=checkpoint.family.model_type,
        num_parameters=sum(parameter.numel() for _, parameter in body.named_parameters()),
        memory=memory,
        problem=None,
    )
