"""From a name to files: a bundled model, a local folder, a GGUF file, or a hub id, in that order."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import SourceError
from pellucid.models.download import download_checkpoint, download_file
from pellucid.models.names import OWNER, bundled_models, nearest

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
HUB_FILE = re.compile(r"([\w.-]+/[\w.-]+)/(.+\.gguf)")


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and how the name was understood."""

    name: str
    path: Path
    """A checkpoint folder, or a GGUF file."""
    kind: str
    """"bundled", "local folder", "GGUF file" or "hub"."""


def find(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | None = None,
    weights: bool = True,
) -> Source:
    """Where the files are that a name stands for; a hub id is downloaded into huggingface_hub's cache.

    `owner/name/file.gguf` is one file of a hub repository. With `weights=False` a repository's config and
    tokenizer alone are downloaded. Raises SourceError saying what was looked for
    where, and the nearest names there are.
    """
    text = os.fspath(name)
    bundled = bundled_models()
    if text in bundled:
        return Source(text, bundled[text], "bundled")
    path = Path(text).expanduser()
    if path.is_dir():
        return Source(text, _checkpoint_folder(path), "local folder")
    if path.is_file():
        if path.suffix != ".gguf":
            folder = f"its folder, {path.parent}," if (path.parent / "config.json").is_file() else "a folder"
            raise SourceError(
                f"{path}: is no GGUF file; give {folder} a GGUF file, a bundled name or a hub id"
            )
        return Source(text, path, "GGUF file")
    if path.is_symlink():
        raise SourceError(f"{path}: a symbolic link that leads nowhere; give what it should have led to")
    if not text.startswith((OWNER, ".", "/", "~")):
        if HUB_ID.fullmatch(text):
            return Source(text, download_checkpoint(text, revision, token, weights=weights), "hub")
        if match := HUB_FILE.fullmatch(text):
            return Source(text, download_file(match[1], match[2], revision, token), "hub")
    raise SourceError(
        f"{text!r} is no bundled model ({', '.join(bundled)}), no folder here, no GGUF file, and no hub id."
        f"{nearest(text)}"
    )


def _checkpoint_folder(path: Path) -> Path:
    if (path / "config.json").exists():
        return path
    packed = sorted(path.glob("*.gguf"))
    if packed:
        raise SourceError(f"{path}: a folder of GGUF files; give one of them: {packed[0]}")
    if (path / "adapter_config.json").exists():
        raise SourceError(
            f"{path}: holds a LoRA adapter, no model; open the model it was made for, and run with this "
            'by `pellucid run --lora FOLDER` or lora_request=LoRARequest("name", 1, FOLDER)'
        )
    within = sorted(file.parent for file in path.glob("*/config.json"))
    hint = f"; {within[0]} has one" if within else ""
    raise SourceError(f"{path}: a folder without config.json; a checkpoint folder must have one{hint}")
