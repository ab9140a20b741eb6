"""A folder's tokenizer opens in every published format, or one error says which file is at fault."""

import json
import shutil

import pytest
from text_folders import folder, train_sentencepiece

from pellucid.errors import TokenizerError
from pellucid.text import load_tokenizer

WORDS = ["<s>", "</s>", "<unk>", "a", "b", "ab"]


def tiny_bpe(path, **tokenizer_config):
    """A byte-level BPE folder small enough to write by hand."""
    path.mkdir(exist_ok=True)
    (path / "vocab.json").write_text(json.dumps({word: id for id, word in enumerate(WORDS)}))
    (path / "merges.txt").write_text("#version: 0.2\na b\n")
    (path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return path


def test_bos_and_eos_are_added_as_the_config_says(tmp_path):
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert load_tokenizer(tiny_bpe(tmp_path, **names)).encode("ab") == [5]
    assert load_tokenizer(tiny_bpe(tmp_path, **names, add_bos_token=True)).encode("ab") == [0, 5]
    both = load_tokenizer(tiny_bpe(tmp_path, **names, add_bos_token=True, add_eos_token=True))
    assert both.encode("ab") == [0, 5, 1]
    assert both.encode("ab", add_special_tokens=False) == [5]


def test_tokens_the_config_adds_are_known_and_special(tmp_path):
    extra = {"6": {"content": "<tool>", "special": True}, "7": {"content": "word", "special": False}}
    tok = load_tokenizer(tiny_bpe(tmp_path, added_tokens_decoder=extra, additional_special_tokens=["<end>"]))
    ids = tok.encode("a<tool>word<end>")
    assert ids == [3, 6, 7, 8]
    assert tok.decode(ids) == "aword"


def test_special_tokens_may_stand_in_a_file_of_their_own(tmp_path):
    tiny_bpe(tmp_path)
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": {"content": "</s>"}}))
    assert load_tokenizer(tmp_path).eos_token_id == 1


def test_padding_and_truncation_baked_into_the_file_are_off(test_data, tmp_path):
    record = json.loads((test_data / "tokenizers/torchtitan-small/tokenizer.json").read_text())
    record["truncation"] = {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}
    record["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None,
                         "pad_id": 0, "pad_type_id": 0, "pad_token": "!"}  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(record))
    assert len(load_tokenizer(tmp_path).encode("abcd")) == 4


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_tokenizer_model_of_either_kind_equals_sentencepiece(test_data, tmp_path, kind):
    import sentencepiece

    file = train_sentencepiece(
        tmp_path / "sp",
        test_data,
        vocab_size=600,
        model_type=kind,
        byte_fallback=True,
        user_defined_symbols="<sep>",
    )
    tok = load_tokenizer(folder(tmp_path / "checkpoint", {"tokenizer.model": file}))
    published = sentencepiece.SentencePieceProcessor(model_file=str(file))
    for text in ["The king's daughter", "  two  spaces ", "🦙 ﬁne", ""]:
        ids = tok.encode(text)
        assert ids == [published.bos_id(), *published.encode(text)]
        assert tok.decode(ids) == published.decode(ids)
    assert tok.token(tok.encode("x<sep>")[-1]) == "<sep>"


BREAK = {
    "tokenizer.json": ("tokenizers/torchtitan-small/tokenizer.json", "tokenizer.json"),
    "tokenizer.model": ("tokenizers/t5-spiece/spiece.model", "tokenizer.model"),
    "spiece.model": ("tokenizers/t5-spiece/spiece.model", "spiece.model"),
}


@pytest.mark.parametrize("name", BREAK)
@pytest.mark.parametrize("damage", ["truncated", "garbage", "empty"])
def test_a_damaged_file_is_named(test_data, tmp_path, name, damage):
    data = (test_data / BREAK[name][0]).read_bytes()
    broken = {"truncated": data[: len(data) // 2], "garbage": b"\xff\xfe{]" * 50, "empty": b""}[damage]
    (tmp_path / name).write_bytes(broken)
    with pytest.raises(TokenizerError, match=rf"{tmp_path}/{name} is damaged"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"vocab.json": "[1]", "merges.txt": "a b"}, "vocab.json"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "a b"}, "merges.txt"),
        ({"vocab.json": '{"a": 0}', "merges.txt": "abc"}, "merges.txt"),
        ({"vocab.txt": "the\ncat"}, "vocab.txt"),
        ({"vocab.json": "{}", "source.spm": "", "target.spm": ""}, "vocab.json"),
        ({"vocab.json": '{"<unk>": 0, "</s>": 1}', "source.spm": "x", "target.spm": ""}, "source.spm"),
        ({"tokenizer_config.json": "{", "vocab.txt": ""}, "tokenizer_config.json"),
        (
            {"tokenizer_config.json": '{"chat_template": 3}', "vocab.txt": "[UNK]\n[CLS]\n[SEP]"},
            "tokenizer_config.json",
        ),
        ({"config.json": "nonsense", "vocab.txt": ""}, "config.json"),
        ({"tokenizer_config.json": "[" * 100_000, "vocab.txt": ""}, "tokenizer_config.json"),
        ({"added_tokens.json": '{"<a>": "' + "9" * 5000 + '"}', "vocab.txt": ""}, "added_tokens.json"),
    ],
)
def test_a_file_that_holds_something_else_is_named(tmp_path, files, named):
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(TokenizerError, match=rf"{named} is damaged"):
        load_tokenizer(tmp_path)


ODD = [5, -1, "", [], {}, "x", True, 1.5, [1], {"a": 1}, "\ud800", [["a"]], [{"name": {}}], {"content": 3}]
FIELDS = ["tokenizer_class", "bos_token", "added_tokens_decoder", "additional_special_tokens", "chat_template", "add_bos_token"]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
def test_odd_values_in_the_config_open_or_are_named(tmp_path, field):
    for value in ODD:
        tiny_bpe(tmp_path, **{field: value})
        try:
            load_tokenizer(tmp_path).encode("ab")
        except TokenizerError as error:
            assert "tokenizer_config.json" in str(error) or field == "tokenizer_class"


def test_an_unknown_class_without_tokenizer_json_says_what_to_do(tmp_path):
    tiny_bpe(tmp_path, tokenizer_class="StrangeTokenizer")
    with pytest.raises(TokenizerError, match=r"'strange'.*known are .*gpt2.*save_pretrained"):
        load_tokenizer(tmp_path)


def test_no_tokenizer_at_all_lists_what_would_be_one(tmp_path):
    shutil.copy(__file__, tmp_path / "notes.py")
    with pytest.raises(TokenizerError, match=r"holds no tokenizer.*vocab\.json \+ merges\.txt.*notes\.py"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="there is no folder"):
        load_tokenizer(tmp_path / "missing")
