"""What the converting process reads: tensors of every kind and layout; anything else it refuses in words."""

import pickle
import re

import pytest
import torch
from safetensors.torch import load_file

from pellucid.models.pickle_worker import main

WHOLE = torch.arange(12.0).reshape(3, 4)
TENSORS = {
    "half": WHOLE.bfloat16(), "turned": WHOLE.t(), "some": WHOLE[1:], "ids": torch.arange(3), "alone": torch.tensor(2.0),
    "mask": torch.tensor([True, False]), "none": torch.empty(0, 4), "tied": WHOLE,
}  # fmt: skip


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_every_kind_of_tensor(tmp_path, zipped, wrapper) -> None:
    state = TENSORS if wrapper is None else {wrapper: TENSORS, "epoch": 3}
    torch.save(state, tmp_path / "in.bin", _use_new_zipfile_serialization=zipped)
    said = main(str(tmp_path / "in.bin"), str(tmp_path / "out.safetensors"))
    assert said == {
        "names": list(TENSORS),
        "nbytes": (tmp_path / "out.safetensors").stat().st_size,
        "left_out": [],
    }
    written = load_file(tmp_path / "out.safetensors")
    assert written.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(written[name], tensor) and written[name].dtype == tensor.dtype


class AsksForCode:
    def __reduce__(self):
        return print, ("ran",)


def saved(value):
    return lambda path: torch.save(value, path)


DAMAGED = {
    "nothing": (lambda path: path.write_bytes(b""), "damaged"),
    "a pickle that torch.save did not write": (
        lambda path: path.write_bytes(b"\x80\x02\x95" + bytes(8)),
        r"more than tensors, or is no file of torch\.save, so reading it could run code: refused$",
    ),
    "no pickle": (lambda path: path.write_bytes(b"not a pickle"), "damaged|more than tensors"),
    "a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps([1, 2], protocol=2)),
        "damaged|more than tensors",
    ),
    "a broken archive": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "damaged"),
    "code": (
        saved({"w": torch.ones(2), "evil": AsksForCode()}),
        r"more than tensors \(it asks for print\)",
    ),
    "a list": (saved([torch.ones(2)]), "holds a list"),
    "no tensors": (saved({"epoch": 3}), "holds no tensors"),
    "more than it has": (
        saved({"w": torch.ones(1).expand(2**40)}),
        "'w' claims 4398046511104 bytes and has 4",
    ),
    "sparse": (saved({"w": torch.eye(3).to_sparse()}), "'w' is torch.float32, torch.sparse_coo"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damage_and_code_are_refused(tmp_path, what, capsys) -> None:
    write, words = DAMAGED[what]
    write(tmp_path / "in.bin")
    said = main(str(tmp_path / "in.bin"), str(tmp_path / "out.safetensors"))
    assert said.keys() == {"damaged"} and "\n" not in said["damaged"]
    assert re.search(words, said["damaged"])
    assert "ran" not in capsys.readouterr().out


def test_a_target_that_cannot_be_written(tmp_path) -> None:
    torch.save(TENSORS, tmp_path / "in.bin")
    assert main(str(tmp_path / "in.bin"), str(tmp_path / "no" / "folder"))["os_error"]
