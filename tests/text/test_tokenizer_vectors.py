"""Every tokenizer whose files are in the shared data gives the published ids and texts."""

import json

import pytest
from text_folders import folder, llama2_model, metadata

from pellucid.text import load_tokenizer, tokenizer_from_gguf


@pytest.fixture(scope="module")
def opened(test_data, tmp_path_factory):
    """Every tokenizer by the name of its format."""
    tmp, shared = tmp_path_factory.mktemp("tokenizers"), test_data / "tokenizers"
    gpt2 = {"vocab.json": shared / "gpt2/encoder.json", "merges.txt": shared / "gpt2/vocab.bpe"}
    t5 = {"spiece.model": shared / "t5-spiece/spiece.model"}
    cased = {"vocab.txt": shared / "bert-base-cased-vocab.txt"}
    llama = folder(tmp / "llama", {}, {"model_type": "llama"})
    ggufs = {
        name: test_data / f"vectors/gguf-vocab/ggml-vocab-{name}.gguf"
        for name in ("phi-3", "gpt-2", "bert-bge")
    }
    fields = {name: metadata(file) for name, file in ggufs.items()}
    (llama / "tokenizer.model").write_bytes(llama2_model(fields["phi-3"]))
    places = {
        "phi-3 tokenizer.json": shared / "phi-3-mini",
        "llama tokenizer.model": llama,
        "gpt-2 vocab.json": folder(tmp / "gpt2", gpt2, {"model_type": "gpt2"}),
        "gpt-2 encoder.json": shared / "gpt2",
        "bert vocab.txt": shared / "bert-base-uncased",
        "cased bert vocab.txt": folder(tmp / "cased", cased),
        "roberta tokenizer.json": shared / "roberta-base",
        "t5 tokenizer.json": shared / "t5-small",
        "t5 spiece.model": folder(tmp / "t5", t5, {"model_type": "t5"}),
        "whisper tokenizer.json": shared / "whisper.tiny",
    }
    tokenizers = {name: load_tokenizer(place) for name, place in places.items()}
    return tokenizers | {f"{name} gguf": tokenizer_from_gguf(fields[name], name) for name in fields}


LLAMA_CPP = {
    "phi-3": ["phi-3 tokenizer.json", "llama tokenizer.model", "phi-3 gguf"],
    "gpt-2": ["gpt-2 vocab.json", "gpt-2 encoder.json", "gpt-2 gguf"],
    "bert-bge": ["bert vocab.txt", "bert-bge gguf"],
    "roberta-bpe": ["roberta tokenizer.json"],
}


@pytest.mark.parametrize(("vectors", "name"), [(v, name) for v, names in LLAMA_CPP.items() for name in names])
def test_the_47_texts_of_llama_cpp(opened, test_data, vectors, name):
    stem = test_data / f"vectors/gguf-vocab/ggml-vocab-{vectors}.gguf"
    texts = stem.with_name(stem.name + ".inp").read_text(encoding="utf-8").split("\n__ggml_vocab_test__\n")
    lines = stem.with_name(stem.name + ".out").read_text().split("\n")
    assert len(texts) == len(lines) == 47
    for text, line in zip(texts, lines, strict=True):
        ids = [int(id) for id in line.split()]
        assert opened[name].encode(text, add_special_tokens=False) == ids, repr(text)
        if "bert" not in vectors:  # WordPiece keeps no record of spaces and case
            assert opened[name].decode(ids, skip_special_tokens=False) == text


# The decoded texts were made by transformers 4, where a config that does not ask gets clean-up; Llama's asks for none.
ENCODINGS = {
    "bert-base-uncased": [("bert vocab.txt", True)],
    "google-bert/bert-base-uncased": [("bert vocab.txt", True)],
    "distilgpt2": [("gpt-2 vocab.json", True), ("gpt-2 encoder.json", True)],
    "coreml-projects/Llama-2-7b-chat-coreml": [("llama tokenizer.model", None)],
    "openai/whisper-large-v2": [("whisper tokenizer.json", True)],
    "t5-base": [("t5 spiece.model", True), ("t5 tokenizer.json", None)],
}


@pytest.mark.parametrize(
    ("model", "name", "clean_up"),
    [(model, *entry) for model, entries in ENCODINGS.items() for entry in entries],
)
def test_the_encodings_of_transformers(opened, test_data, model, name, clean_up):
    tok = opened[name]
    for case in json.loads((test_data / "vectors/encodings/tokenizer_tests.json").read_text())[model]:
        ids = case["encoded"]["input_ids"]
        assert tok.encode(case["input"]) == ids, case["input"]
        assert tok.decode(ids, False, clean_up) == case["decoded_with_special"]
        assert tok.decode(ids, True, clean_up) == case["decoded_without_special"]


LONG = {
    "gpt2_encoded_tokens": ("gpt-2 vocab.json", None),
    "t5_base_encoded": ("t5 spiece.model", None),
    "llama_encoded": ("llama tokenizer.model", None),
    "bert_uncased_encoded": ("bert vocab.txt", True),
    "whisper_large_v2_encoded": ("whisper tokenizer.json", None),
}


@pytest.mark.parametrize("file", LONG)
def test_the_long_text(opened, test_data, file):
    name, clean_up = LONG[file]
    case, tok = json.loads((test_data / f"vectors/encodings/{file}.json").read_text()), opened[name]
    assert tok.encode(case["text"]) == case["token_ids"]
    assert [tok.token(id) for id in tok.encode(case["text"], False)] == case["bpe_tokens"]
    assert case["decoded_text"] in (tok.decode(case["token_ids"], skip, clean_up) for skip in (True, False))


def test_a_cased_vocabulary_keeps_its_capitals_even_where_no_config_says_so(opened):
    tok = opened["cased bert vocab.txt"]
    assert tok.decode(tok.encode("The Cat sat.")) == "The Cat sat."
    assert opened["bert vocab.txt"].decode(opened["bert vocab.txt"].encode("The Cat sat.")) == "the cat sat."
