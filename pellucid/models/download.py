"""From a hub id to files in huggingface_hub's cache: only what is read, with every failure said in one
line."""

import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pellucid.device import human_bytes
from pellucid.errors import SourceError
from pellucid.models.names import nearest
from pellucid.models.safetensors_file import INDEX, SINGLE, indexed_files

logger = logging.getLogger("pellucid")

READ = ["*.json", "*.model", "*.txt", "*.spm", "*.jinja", "[0-9]*/*.safetensors"]
"""All that is read of a checkpoint but its weights; of folders only those of the sentence-transformers
layout, whose names begin with a number (1_Pooling)."""
SKIPPED = ["[!0-9]*/*", "*.bin.index.json", "tf_*", "flax_*"]
CONVERTER = "SFconvertbot"
"""The hub's own account that opens pull requests with a repository's weights as safetensors."""

# What the HTTP library raises for a broken connection is no OSError in every version of huggingface_hub.
NETWORK_ERRORS: tuple[type[BaseException], ...] = (OSError, *HfHubHTTPError.__bases__)


def download_checkpoint(repo: str, revision: str | None, token: str | None, *, weights: bool = True) -> Path:
    """The folder of a hub repository in the cache, with config, tokenizer and safetensors weights.

    With `weights=False` what is downloaded leaves those out, if there is a config. Where only pickle weights
    are published, the hub's own conversion is taken if there is one.
    Raises SourceError.
    """
    with hub_errors(repo, revision):
        folder = _fetch(repo, revision, token, weights)
        if _has_weights(folder) or (not weights and (folder / "config.json").exists()):
            return folder
        files = _listed(repo, folder, token)
        _refuse_without_config(repo, files)
        if not any(file.endswith((".bin", ".pt", ".pth")) and "/" not in file for file in files):
            raise SourceError(
                f"{repo}: has no weights that Pellucid reads (safetensors or GGUF); it holds "
                f"{', '.join(sorted(files)[:8])}"
            )
        conversion = _conversion(repo, folder.name, files, token)
        if conversion is None:
            raise SourceError(
                f"{repo}: publishes its weights as pickle files only, which can run code when read; download "
                f"it with `hf download {repo} --local-dir FOLDER`, then `pellucid convert FOLDER` reads only "
                "their tensors and writes safetensors"
            )
        logger.warning("%s publishes pickle weights; taking the hub's conversion, %s", repo, conversion)
        return _fetch(repo, conversion, token, weights)


def download_file(repo: str, file: str, revision: str | None, token: str | None) -> Path:
    """One GGUF file of a repository, with the other parts if it is a split one. Raises SourceError."""
    with hub_errors(repo, revision):
        try:
            first = Path(hf_hub_download(repo, file, revision=revision, token=token))
        except RemoteEntryNotFoundError as error:
            packed = _packed(repo, HfApi(token=token).list_repo_files(repo, revision=revision))
            raise SourceError(
                f"{repo}: has no file {file!r}; its GGUF files are {packed or 'none'}"
            ) from error
        stem, of, count = file.removesuffix(".gguf").rpartition("-of-")
        if of and count.isdecimal() and stem.endswith("-00001"):
            for number in range(2, int(count) + 1):
                part = f"{stem.removesuffix('00001')}{number:05}-of-{count}.gguf"
                hf_hub_download(repo, part, revision=revision, token=token)
        return first


def _fetch(repo: str, revision: str | None, token: str | None, weights: bool) -> Path:
    """First the small files, which say what the weights are called, then those."""
    folder = Path(
        snapshot_download(repo, revision=revision, token=token, allow_patterns=READ, ignore_patterns=SKIPPED)
    )
    if not weights:
        return folder
    wanted = [SINGLE]
    if (folder / INDEX).exists():
        wanted = [file.name for file in indexed_files(folder)]
    # by its commit, so that both are of one state of the repository
    snapshot_download(repo, revision=folder.name, token=token, allow_patterns=wanted)
    return folder


def _has_weights(folder: Path) -> bool:
    return (folder / "config.json").exists() and any(folder.glob("*.safetensors"))


def _listed(repo: str, folder: Path, token: str | None) -> list[str]:
    if constants.HF_HUB_OFFLINE:
        raise SourceError(
            f"{repo}: the cache ({folder}) holds no weights of it, and HF_HUB_OFFLINE is set; unset it, or "
            "give a local folder"
        )
    return HfApi(token=token).list_repo_files(repo, revision=folder.name)


def _refuse_without_config(repo: str, files: list[str]) -> None:
    packed = _packed(repo, files)
    if packed and "config.json" not in files:
        raise SourceError(f"{repo}: holds no checkpoint but GGUF files; give one of them by name: {packed}")
    if "config.json" not in files:
        raise SourceError(
            f"{repo}: has no config.json, so it is no checkpoint; it holds {', '.join(sorted(files)[:8])}"
        )


def _packed(repo: str, files: list[str]) -> str:
    return ", ".join(f"{repo}/{file}" for file in files if file.endswith(".gguf"))


def _conversion(repo: str, commit: str, files: list[str], token: str | None) -> str | None:
    """The revision with the hub's conversion of exactly these weights, if there is one."""
    api = HfApi(token=token)
    pickles = [file for file in files if file.endswith(".bin")]
    for request in api.get_repo_discussions(repo, author=CONVERTER, discussion_type="pull_request"):
        if request.author != CONVERTER or request.status != "open" or request.git_reference is None:
            continue
        same = [
            {
                entry.path: getattr(entry, "blob_id", None)
                for entry in api.get_paths_info(repo, pickles, revision=at)
            }
            for at in (commit, request.git_reference)
        ]
        if same[0] == same[1]:
            return str(request.git_reference)
    return None


@contextmanager
def hub_errors(repo: str, revision: str | None) -> Iterator[None]:
    """What huggingface_hub raises, as a SourceError that says what to do."""
    try:
        yield
    except GatedRepoError as error:
        raise SourceError(
            f"{repo}: gated, its owner lets people in by request; ask for access on its page, then log in "
            "with `hf auth login` or pass token=..."
        ) from error
    except DisabledRepoError as error:
        raise SourceError(f"{repo}: was disabled by the hub; take another one") from error
    except RevisionNotFoundError as error:
        raise SourceError(
            f"{repo}: has no revision {revision!r}; its page lists its branches, tags and commits"
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise SourceError(
            f"{repo}: no such model on the hub, or a private one for which you are not logged in."
            f"{nearest(repo)}"
        ) from error
    except LocalEntryNotFoundError as error:
        raise SourceError(f"{repo}: {_unreachable()}.{nearest(repo)}") from error
    except NETWORK_ERRORS as error:
        raise SourceError(f"{repo}: {_interrupted(error)}") from error


def _unreachable() -> str:
    if constants.HF_HUB_OFFLINE:
        return "not (wholly) in the cache, and HF_HUB_OFFLINE is set; unset it, or give a local folder"
    return (
        f"not (wholly) in the cache, and the hub ({constants.ENDPOINT}) cannot be reached; check the "
        "network, or give a local folder"
    )


def _interrupted(error: BaseException) -> str:
    cache = Path(constants.HF_HUB_CACHE)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        there = next(folder for folder in (cache, *cache.parents) if folder.exists())
        return (
            f"the disk is full: {human_bytes(shutil.disk_usage(there).free)} are free where the cache is "
            f"({cache}); make room, or set HF_HOME to another disk, and run the same again"
        )
    why = str(error).split("\n")[0] or type(error).__name__
    return f"the download was interrupted ({why}); run the same again, it goes on where it stopped"
