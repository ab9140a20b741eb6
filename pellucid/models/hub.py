"""From a name to files: a bundled model, a local folder, or a hub id, in that order."""

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pellucid.errors import SourceError

BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
OWNER = "pellucid/"
WANTED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.spm", "*.jinja"]
# of folders only those of the sentence-transformers layout, whose names begin with a number (1_Pooling)
UNWANTED = ["[!0-9]*/*", "*.bin.index.json", "tf_*", "flax_*"]


@dataclass(frozen=True)
class Source:
    """Where a model's files are, and how the name was understood."""

    name: str
    path: Path
    """A checkpoint folder, or a GGUF file."""
    kind: str
    """"bundled", "local folder", "GGUF file" or "hub"."""


def bundled_models() -> dict[str, Path]:
    """The models that ship with the package: `pellucid/guide` → its folder."""
    if not BUNDLED.is_dir():
        return {}
    folders = sorted(path for path in BUNDLED.iterdir() if (path / "config.json").exists())
    return {OWNER + folder.name: folder for folder in folders}


def find(name: str | os.PathLike[str], *, revision: str | None = None, token: str | None = None) -> Source:
    """The folder that a name stands for; a hub id is downloaded into huggingface_hub's cache.

    Raises SourceError saying what was looked for where, and the nearest names there are.
    """
    text = os.fspath(name)
    bundled = bundled_models()
    if text in bundled:
        return Source(text, bundled[text], "bundled")
    path = Path(text).expanduser()
    if path.is_dir():
        if not (path / "config.json").exists():
            raise SourceError(f"{path}: a folder without config.json; a checkpoint folder must have one")
        return Source(text, path, "local folder")
    if path.suffix == ".gguf" and path.is_file():
        return Source(text, path, "GGUF file")
    if path.exists():
        raise SourceError(
            f"{path}: is no GGUF file; give one, a checkpoint folder, a bundled name or a hub id"
        )
    if text.startswith((OWNER, ".", "/", "~")) or text.count("/") != 1:
        raise SourceError(
            f"{text!r} is no bundled model ({', '.join(bundled)}) and no folder here.{_near(text)}"
        )
    return Source(text, _download(text, revision, token), "hub")


def _download(repo: str, revision: str | None, token: str | None) -> Path:
    try:
        return Path(
            snapshot_download(
                repo, revision=revision, token=token, allow_patterns=WANTED, ignore_patterns=UNWANTED
            )
        )
    except GatedRepoError as error:
        raise SourceError(
            f"{repo}: its owner lets people in by request; ask for access on its page, then log in with "
            "`hf auth login` or pass token=..."
        ) from error
    except RevisionNotFoundError as error:
        raise SourceError(f"{repo}: has no revision {revision!r}; look at its branches and tags") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise SourceError(f"{repo}: no such model on the hub, or a private one.{_near(repo)}") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise SourceError(
            f"{repo}: not in the cache, and the hub cannot be reached ({type(error).__name__}); connect, or "
            "give a local folder"
        ) from error


def _near(name: str) -> str:
    near = difflib.get_close_matches(name, bundled_models(), n=3, cutoff=0.4)
    return f" Nearest names: {', '.join(near)}" if near else ""
