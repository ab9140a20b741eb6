"""Turns a folder's pickle weights into safetensors, without running anything that they bring."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pellucid.device import human_bytes
from pellucid.errors import WeightsError
from pellucid.models import pickle_worker
from pellucid.models.json_file import read_json
from pellucid.models.safetensors_file import INDEX, SINGLE

PICKLE_INDEX = "pytorch_model.bin.index.json"
PICKLE_SINGLE = "pytorch_model.bin"
KINDS = ("*.bin", "*.pt", "*.pth")
NOT_WEIGHTS = ("training_args.bin", "optimizer.bin", "optimizer.pt", "scheduler.bin", "scheduler.pt")
BESIDE = ("*.json", "*.model", "*.txt", "*.spm", "*.jinja")
"""What of a checkpoint folder is copied where the target is another one."""


@dataclass(frozen=True)
class Conversion:
    """What was written."""

    folder: Path
    files: tuple[Path, ...]
    num_tensors: int
    nbytes: int
    left_out: tuple[str, ...]
    """What the files held beside tensors."""


def convert(
    folder: Path, target: Path | None = None, *, on_file: Callable[[Path], None] = lambda file: None
) -> Conversion:
    """Write the tensors of a folder's pickle files as safetensors, into the same folder or another.

    Each file is read by a process of its own that takes tensors only; a file is in place when it is whole, or
    not at all. `on_file` hears of each before it is read. Raises WeightsError naming the file.
    """
    sources = pickle_files(folder)
    target = target or folder
    present = [target / name for name in (SINGLE, INDEX) if (target / name).exists()]
    if present:
        raise WeightsError(f"{present[0]}: is there already; there is nothing to convert")
    _check_room(sources, target)
    names = [SINGLE]
    if len(sources) > 1:
        names = [f"model-{i:05}-of-{len(sources):05}.safetensors" for i in range(1, len(sources) + 1)]
    partial = [target / f".{name}.partial" for name in names]
    written = []
    try:
        target.mkdir(parents=True, exist_ok=True)
        for source, file in zip(sources, partial, strict=True):
            on_file(source)
            written.append(_run(source, file))
        weight_map = _weight_map(sources, names, written)
        for file, name in zip(partial, names, strict=True):
            os.replace(file, target / name)
        if len(names) > 1:
            _write_index(target, weight_map, sum(each["nbytes"] for each in written))
        _copy_beside(folder, target)
    except OSError as error:
        raise WeightsError(no_room(target, error.errno, error.strerror or str(error))) from error
    finally:
        for file in partial:
            file.unlink(missing_ok=True)
    return Conversion(
        folder=target,
        files=tuple(target / name for name in names),
        num_tensors=len(weight_map),
        nbytes=sum(each["nbytes"] for each in written),
        left_out=tuple(name for each in written for name in each["left_out"]),
    )


def pickle_files(folder: Path) -> list[Path]:
    """The pickle weight files of a checkpoint folder. Raises WeightsError naming what is missing."""
    if not folder.is_dir():
        raise WeightsError(f"{folder}: no such folder; give the checkpoint folder that holds the weights")
    index = folder / PICKLE_INDEX
    if index.exists():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(
            isinstance(s, str) and "/" not in s for s in shards.values()
        ):
            raise WeightsError(f"{index}: `weight_map` must map tensor names to files beside it")
        files = [folder / name for name in sorted(set(shards.values()))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise WeightsError(
                f"{folder}: {len(missing)} of {len(files)} shards are missing: {', '.join(missing[:3])}; "
                "download the checkpoint again"
            )
        return files
    if (folder / PICKLE_SINGLE).exists():
        return [folder / PICKLE_SINGLE]
    others = sorted(f for kind in KINDS for f in folder.glob(kind) if f.name not in NOT_WEIGHTS)
    if len(others) == 1:
        return others
    raise WeightsError(
        f"{folder}: no {PICKLE_SINGLE} and no {PICKLE_INDEX}"
        + (f"; of {', '.join(f.name for f in others[:4])} none is named as the weights" if others else "")
    )


def _run(source: Path, target: Path) -> dict[str, Any]:
    """Convert one file in a process of its own."""
    program = Path(pickle_worker.__file__)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-P", str(program), str(source), str(target)],
        capture_output=True,
        text=True,
        env=environment,
    )
    try:
        said = json.loads(done.stdout)
    except ValueError as error:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        last = done.stderr.strip().rpartition("\n")[2]
        raise WeightsError(
            f"{source}: the process that read it ended ({how}{': ' + last if last else ''}); there may not "
            "be enough memory for it"
        ) from error
    if "damaged" in said:
        raise WeightsError(f"{source}: {said['damaged']}")
    if "os_error" in said:
        raise WeightsError(no_room(target.parent, said["errno"], said["os_error"]))
    return dict(said)


def _weight_map(
    sources: Sequence[Path], names: Sequence[str], written: Sequence[dict[str, Any]]
) -> dict[str, str]:
    weight_map: dict[str, str] = {}
    for source, file, each in zip(sources, names, written, strict=True):
        for name in each["names"]:
            if name in weight_map:
                raise WeightsError(f"{source}: tensor {name!r} is in another file too")
            weight_map[name] = file
    return weight_map


def _write_index(target: Path, weight_map: dict[str, str], nbytes: int) -> None:
    file = target / f".{INDEX}.partial"
    file.write_text(json.dumps({"metadata": {"total_size": nbytes}, "weight_map": weight_map}, indent=2))
    os.replace(file, target / INDEX)


def _copy_beside(folder: Path, target: Path) -> None:
    if folder.resolve() == target.resolve():
        return
    for kind in BESIDE:
        for file in folder.glob(kind):
            if file.name != PICKLE_INDEX:
                shutil.copyfile(file, target / file.name)


def _check_room(sources: Sequence[Path], target: Path) -> None:
    needed = sum(source.stat().st_size for source in sources)
    place = next(folder for folder in (target, *target.resolve().parents) if folder.exists())
    there = shutil.disk_usage(place).free
    if needed > there:
        raise WeightsError(
            f"{target}: {human_bytes(needed)} are needed on its disk and {human_bytes(there)} are free; make "
            "room, or name a folder on another disk"
        )


def no_room(target: Path, number: int | None, why: str) -> str:
    """Why nothing could be written to a folder, in a line."""
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{target}: the disk is full ({why}), so nothing was kept; make room or name another folder"
    return f"{target}: cannot be written ({why})"
