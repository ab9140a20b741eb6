"""The commands about models: inspect, models, convert, for people and for machines."""

import json

import pytest
import torch
from gguf_writing import write_gguf
from llama_folder import llama_tensors, write_llama
from parity.checkpoints import make
from parity.decoder_cases import CASES
from typer.testing import CliRunner

from pellucid.cli import app
from pellucid.models import convert as convert_module
from pellucid.models import pickle_worker


def run(*arguments) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_inspect(tmp_path) -> None:
    said = run("inspect", write_llama(tmp_path))
    for part in (
        "num_hidden_layers",
        "attention",
        "model.layers.{}.mlp.down_proj.weight",
        "each token in the cache",
    ):
        assert part in said


def test_inspect_says_what_would_not_load(tmp_path) -> None:
    write_llama(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert "would not load" in run("inspect", tmp_path)


@pytest.mark.parametrize("kind", ["folder", "gguf"])
def test_inspect_as_json(tmp_path, kind) -> None:
    if kind == "folder":
        source = write_llama(tmp_path)
    else:
        source = write_gguf(make("llama", CASES["llama-1"].fields), tmp_path / "m.gguf")
    found = json.loads(run("inspect", source, "--json"))
    assert found["model_type"] == "llama" and found["memory"]["bfloat16"] > 0


def test_models(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    bundled = {"pellucid/digits", "pellucid/en-fr", "pellucid/guide", "pellucid/sentiment"}
    said = run("models")
    assert all(name in said for name in bundled), "whole names, however narrow the terminal"
    assert {entry["name"] for entry in json.loads(run("models", "--json"))} == bundled


def test_convert(tmp_path, monkeypatch) -> None:
    in_this_process = lambda source, target: pickle_worker.main(str(source), str(target))  # noqa: E731
    monkeypatch.setattr(convert_module, "_run", in_this_process)
    write_llama(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({**llama_tensors(), "epoch": 2}, tmp_path / "pytorch_model.bin")
    said = run("convert", tmp_path)
    assert (
        "wrote 21 tensors" in said
        and "model.safetensors" in said
        and "left out, as no tensors: epoch" in said
    )
