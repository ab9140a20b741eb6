"""Pickle weights become safetensors: every tensor as it was, nothing run, nothing left half-written."""

import json
import os
import resource
import shutil

import pytest
import torch
from llama_folder import llama_tensors, write_llama
from safetensors.torch import load_file

from pellucid.errors import WeightsError
from pellucid.models import convert as convert_module
from pellucid.models.convert import convert
from pellucid.models.loading import load_model


@pytest.fixture
def folder(tmp_path):
    """A checkpoint with pickle weights alone."""
    write_llama(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    return tmp_path


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_single_file(folder) -> None:
    torch.save({**llama_tensors(), "version": 3}, folder / "pytorch_model.bin")
    done = convert(folder)
    assert (done.files, done.num_tensors, done.left_out) == (
        (folder / "model.safetensors",),
        21,
        ("version",),
    )
    written = load_file(folder / "model.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in llama_tensors().items())
    assert done.nbytes == (folder / "model.safetensors").stat().st_size
    load_model(folder, device="cpu")


def test_shards_and_another_folder(folder, tmp_path_factory) -> None:
    tensors = llama_tensors()
    weight_map = {name: f"pytorch_model-0000{1 + i % 2}-of-00002.bin" for i, name in enumerate(tensors)}
    for file in sorted(set(weight_map.values())):
        torch.save({name: tensors[name] for name in tensors if weight_map[name] == file}, folder / file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    target = tmp_path_factory.mktemp("target") / "new"
    seen = []
    convert(folder, target, on_file=lambda file: seen.append(file.name))
    assert seen == sorted(set(weight_map.values()))
    assert names(target) == [
        "config.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    assert load_model(target, device="cpu").logits([1, 2]).shape == (2, 48)


class RunsCode:
    def __reduce__(self):
        return os.system, ("touch ran",)


def test_code_in_a_pickle_is_refused_and_not_run(folder, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    torch.save({"weight": torch.ones(2), "evil": RunsCode()}, folder / "pytorch_model.bin")
    with pytest.raises(
        WeightsError, match=r"pytorch_model\.bin: holds more than tensors \(it asks for \w+\.system\)"
    ):
        convert(folder)
    assert names(folder) == ["config.json", "pytorch_model.bin"]


def test_a_disk_too_small_is_said_before_anything_is_read(folder, monkeypatch) -> None:
    torch.save(llama_tensors(), folder / "pytorch_model.bin")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 8, 1))
    with pytest.raises(WeightsError, match=r"are needed on its disk and 1 B are free"):
        convert(folder)


def test_a_disk_that_fills_up_leaves_nothing_behind(folder, monkeypatch) -> None:
    torch.save(llama_tensors(), folder / "pytorch_model.bin")
    run = convert_module.subprocess.run

    def with_small_files(*args, **options):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
        return run(*args, **options, preexec_fn=limit)

    monkeypatch.setattr(convert_module.subprocess, "run", with_small_files)
    with pytest.raises(WeightsError, match=r"the disk is full .*nothing was kept"):
        convert(folder)
    assert names(folder) == ["config.json", "pytorch_model.bin"]


def test_a_process_that_dies(folder, monkeypatch) -> None:
    torch.save(llama_tensors(), folder / "pytorch_model.bin")
    monkeypatch.setattr(convert_module.sys, "executable", "/bin/false")
    with pytest.raises(WeightsError, match=r"ended \(exit code 1\)"):
        convert(folder)


def test_what_there_is_nothing_to_convert_in(folder, tmp_path) -> None:
    with pytest.raises(WeightsError, match=r"no pytorch_model\.bin"):
        convert(folder)
    with pytest.raises(WeightsError, match="no such folder"):
        convert(folder / "nowhere")
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError, match="is there already"):
        convert(folder)
