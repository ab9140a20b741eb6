"""Tokenizers give the ids, special tokens and texts that transformers' AutoTokenizer gives for the same folder."""

import json
import shutil

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from text_folders import folder, llama2_model, marian_folder, metadata

from pellucid.text import load_tokenizer

transformers = pytest.importorskip("transformers")

TEXTS = [
    "Hello world", " Hello", "  two  spaces ", "", "don't , stop . it 's", "🦙 Führer\n\n\t x", "a<s>b</s> c",
    "<|user|>\nhi<|end|>\n<|assistant|>", "<|endoftext|> x", "<mask> is <pad>.", "<extra_id_0> foo <extra_id_99>",
    "the [MASK] sat [SEP] Down.", ">>fr<< The king", "x </s> the king <unk> king", "\u3000ﬁne ①",
]  # fmt: skip
JSON_FILES = {
    "phi-3-mini": "phi3", "phi-2": "phi", "t5-small": "t5", "roberta-base": "roberta", "whisper.tiny": "whisper",
    "clip": "clip",
}  # fmt: skip
FOLDERS = [
    *JSON_FILES,
    "gpt2",
    "bert",
    "bert-cased",
    "t5-spiece",
    "marian",
    "phi-3 with more tokens",
    "gpt2 with BOS",
]
MAKERS = {
    "gpt2": ({"vocab.json": "gpt2/encoder.json", "merges.txt": "gpt2/vocab.bpe"}, "gpt2", None),
    "gpt2 with BOS": (
        {"vocab.json": "gpt2/encoder.json", "merges.txt": "gpt2/vocab.bpe"},
        "gpt2",
        {"add_bos_token": True},
    ),
    "bert": ({"vocab.txt": "bert-base-uncased/vocab.txt"}, "bert", None),
    "bert-cased": ({"vocab.txt": "bert-base-cased-vocab.txt"}, "bert", {"do_lower_case": False}),
    "t5-spiece": ({"spiece.model": "t5-spiece/spiece.model"}, "t5", None),
}


@pytest.fixture(scope="module", params=FOLDERS)
def pair(request, test_data, tmp_path_factory):
    """Our tokenizer and the published one, from one folder."""
    name, shared = request.param, test_data / "tokenizers"
    path = tmp_path_factory.mktemp("parity") / "folder"
    if name in JSON_FILES:
        shutil.copytree(shared / name, path)
        (path / "config.json").write_text(json.dumps({"model_type": JSON_FILES[name]}))
    elif name == "marian":
        marian_folder(path, test_data)
    elif name == "phi-3 with more tokens":
        config = json.loads((shared / "phi-3-mini/tokenizer_config.json").read_text())
        # with a tokenizer.json the published implementation takes no notice of add_bos_token
        config |= {"add_bos_token": True, "pad_token": "<|pad|>", "additional_special_tokens": ["<|tool|>"]}
        folder(path, {"tokenizer.json": shared / "phi-3-mini/tokenizer.json"}, {"model_type": "phi3"}, config)
    else:
        files, kind, config = MAKERS[name]
        folder(path, {to: shared / source for to, source in files.items()}, {"model_type": kind}, config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        if name == "marian":  # it warns that a normaliser it never calls is not installed
            with pytest.warns(UserWarning, match="sacremoses"):
                return load_tokenizer(path), transformers.AutoTokenizer.from_pretrained(path)
        return load_tokenizer(path), transformers.AutoTokenizer.from_pretrained(path)


def test_ids_and_texts(pair):
    ours, published = pair
    for text in TEXTS:
        for add in (True, False):
            ids = published.encode(text, add_special_tokens=add)
            assert ours.encode(text, add_special_tokens=add) == ids, text
            for skip in (True, False):
                assert ours.decode(ids, skip) == published.decode(ids, skip_special_tokens=skip), text


def test_special_tokens(pair):
    ours, published = pair
    named = {role: token for role, token in published.special_tokens_map.items() if isinstance(token, str)}
    assert dict(ours.special_tokens) == named
    assert ours.special_ids == set(published.all_special_ids) | {
        id for id, token in published.added_tokens_decoder.items() if token.special
    }
    assert ours.vocab_size == len(published)
    assert (ours.bos_token_id, ours.eos_token_id) == (published.bos_token_id, published.eos_token_id)


def test_any_text_and_any_ids(pair):
    ours, published = pair
    # Whisper's class leaves its time stamps out of every text, CLIP's strips every kind of white space
    ids = {"WhisperTokenizer": 50363, "CLIPTokenizer": 0}.get(type(published).__name__, ours.vocab_size - 1)

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=30), st.lists(st.integers(0, ids), max_size=10))
    def check(text, ids):
        assert ours.encode(text) == published.encode(text)
        assert ours.decode(ids, False) == published.decode(ids)

    check()


def test_llama_tokenizer_model_equals_sentencepiece_itself(test_data, tmp_path):
    """transformers 5 drops the doubled space of " Hello"; the published vectors, and SentencePiece, keep it."""
    import sentencepiece

    fields = metadata(test_data / "vectors/gguf-vocab/ggml-vocab-phi-3.gguf")
    (tmp_path / "tokenizer.model").write_bytes(llama2_model(fields))
    ours = load_tokenizer(tmp_path)
    published = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))

    @settings(max_examples=300, deadline=None)
    @given(st.text(max_size=30))
    def check(text):
        assume(not any(token in text for token in ("<s>", "</s>", "<unk>")))  # text to SentencePiece
        ids = ours.encode(text, add_special_tokens=False)
        if "\0" not in text:  # SentencePiece ends there
            assert ids == published.encode(text)
        assert ours.decode(ids) == text

    check()
