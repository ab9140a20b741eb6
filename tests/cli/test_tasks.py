"""The commands of encoders and encoder-decoders: each does its work, and a mistake is one clear line."""

import json

import tokenizers
from audio_files import as_file
from parity.whisper_cases import SPOKEN, TINY, make, sound
from tasks.encoder_folders import make_folder
from typer.testing import CliRunner

from pellucid.cli import app
from pellucid.cli.tasks import clock


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


def test_transcribe(tmp_path) -> None:
    make(TINY, SPOKEN, tmp_path)
    words = {f"w{i}": i for i in range(120)}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0"))
    backend.save(str(tmp_path / "tokenizer.json"))
    files = [tmp_path / name for name in ("a.wav", "b.flac")]
    for seed, file in enumerate(files):
        file.write_bytes(as_file(sound(0.9, seed), format=file.suffix[1:].upper()))
    first = pellucid("transcribe", files[0], "-m", tmp_path, "--language", "fr")
    assert first.startswith("w") and len(first.splitlines()) == 1
    both = pellucid("transcribe", *files, "-m", tmp_path, "--language", "fr")
    assert both.splitlines()[0] == f"{files[0]} (fr):" and first.strip() in both
    timed = pellucid(
        "transcribe", files[0], "-m", tmp_path, "--language", "fr", "--timestamps", "--translate"
    )
    assert timed.startswith("[00:00.")
    (found,) = json.loads(pellucid("transcribe", files[0], "-m", tmp_path, "--json"))
    assert found["file"] == str(files[0]) and found["language"] in ("en", "fr", "haw")
    assert {"start", "end", "text", "token_ids", "avg_logprob", "no_speech_prob"} <= found["segments"][
        0
    ].keys()
    assert (clock(3723.456), clock(59.999)) == ("1:02:03.46", "01:00.00")


def test_fill(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    assert len(pellucid("fill", "the [MASK] sat", "--top-k", 3, "-m", tmp_path).splitlines()) == 3
