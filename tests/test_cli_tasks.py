"""The commands of encoders and encoder-decoders: each does its work, and a mistake is one clear line."""

import json

from tasks.encoder_folders import make_folder
from typer.testing import CliRunner

from pellucid.cli import app


def pellucid(*arguments, stdin: str = "") -> str:
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], input=stdin, catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def test_embed(tmp_path) -> None:
    make_folder(tmp_path)
    near = pellucid("embed", "the cat", "the cat", "a dog ran", "-m", tmp_path).splitlines()
    assert [line.split()[0] for line in near[:2]] == ["1.000", "1.000"]
    outputs = json.loads(pellucid("embed", "-m", tmp_path, "--json", stdin="the cat\na dog\n"))
    assert [len(output["outputs"]["embedding"]) for output in outputs] == [32, 32]


def test_classify(tmp_path) -> None:
    make_folder(tmp_path, "BertForSequenceClassification", id2label={0: "bad", 1: "good"})
    assert pellucid("classify", "the cat sat", "-m", tmp_path).split()[1] in ("bad", "good")


def test_classes_of_tokens(tmp_path) -> None:
    make_folder(tmp_path, "BertForTokenClassification", id2label={0: "O", 1: "NAME"})
    assert pellucid("classify", "the cat", "-m", tmp_path).count("/") == 4


def test_fill(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    assert len(pellucid("fill", "the [MASK] sat", "--top-k", 3, "-m", tmp_path).splitlines()) == 3
