"""Whisper's times are no words: left out of a text, written as they are where special tokens are asked for."""

import json
import shutil

import pytest

from pellucid.text import load_tokenizer

SPOKEN = [50258, 50259, 50359, 50364, 2425, 11, 1002, 0, 50464, 50464, 2425, 50514, 50257]
WRITTEN = "<|startoftranscript|><|en|><|transcribe|><|0.00|>{0}<|2.00|><|2.00|>{1}<|3.00|><|endoftext|>"


@pytest.fixture(params=["as published now", "as older files are"])
def tokenizer(request, test_data, tmp_path):
    folder = tmp_path / "whisper"
    shutil.copytree(test_data / "tokenizers" / "whisper.tiny", folder)
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", "vocab_size": 51865}))
    if request.param.startswith("as older"):
        for name, key in (
            ("tokenizer.json", "added_tokens"),
            ("tokenizer_config.json", "added_tokens_decoder"),
        ):
            fields = json.loads((folder / name).read_text())
            if key == "added_tokens":
                fields[key] = [token for token in fields[key] if token["id"] <= 50363]
                fields["model"]["vocab"] = {t: i for t, i in fields["model"]["vocab"].items() if i <= 50363}
            else:
                fields[key] = {id: token for id, token in fields[key].items() if int(id) <= 50363}
            (folder / name).write_text(json.dumps(fields))
    return load_tokenizer(folder)


def test_times_are_left_out_and_written_where_asked(tokenizer) -> None:
    first, second = tokenizer.decode(SPOKEN[4:8]), tokenizer.decode(SPOKEN[10:11])
    assert tokenizer.decode(SPOKEN) == first + second
    assert tokenizer.decode(SPOKEN, skip_special_tokens=False) == WRITTEN.format(first, second)
    assert tokenizer.vocab_size == 51865
    assert tokenizer.id("<|30.00|>") == 51864 and tokenizer.encode("<|0.02|>", add_special_tokens=False) == [
        50365
    ]


def test_other_tokenizers_are_left_alone(test_data) -> None:
    tokenizer = load_tokenizer(test_data / "tokenizers" / "phi-2")
    assert tokenizer.id("<|0.00|>") is None
