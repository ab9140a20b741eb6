"""The names of models that are here: bundled with the package, and in huggingface_hub's cache."""

import difflib
from pathlib import Path

from huggingface_hub import constants

BUNDLED = Path(__file__).resolve().parent.parent / "bundled"
OWNER = "pellucid/"


def bundled_models() -> dict[str, Path]:
    """The models that ship with the package: `pellucid/guide` → its folder."""
    if not BUNDLED.is_dir():
        return {}
    folders = sorted(path for path in BUNDLED.iterdir() if (path / "config.json").exists())
    return {OWNER + folder.name: folder for folder in folders}


def cached_models() -> dict[str, Path]:
    """Hub id → the folder of its main revision, for every model of which the cache has one.

    The layout is documented: huggingface.co/docs/huggingface_hub/guides/manage-cache.
    """
    found = {}
    for ref in sorted(Path(constants.HF_HUB_CACHE).glob("models--*/refs/main")):
        repository = ref.parent.parent
        snapshot = repository / "snapshots" / ref.read_text().strip()
        if snapshot.is_dir():
            found[repository.name.removeprefix("models--").replace("--", "/", 1)] = snapshot
    return found


def nearest(name: str) -> str:
    """A sentence with the names that are most like this one, or nothing."""
    known = [*bundled_models(), *cached_models()]
    by_last = {each.rpartition("/")[2]: each for each in known}
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    near += [by_last[n] for n in difflib.get_close_matches(name.rpartition("/")[2], by_last, n=3, cutoff=0.6)]
    near = list(dict.fromkeys(near))[:3]
    return f" Nearest names here: {', '.join(near)}" if near else ""
