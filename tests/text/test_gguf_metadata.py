"""The tokenizer and the chat template of a GGUF file, from its metadata."""

import pytest
from text_folders import metadata

from pellucid.errors import TokenizerError
from pellucid.text import load_tokenizer, tokenizer_from_gguf

BYTES = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "gpt-2", "general.architecture": "gpt2",
         "tokenizer.ggml.tokens": ["<s>", "a", "b", "ab", "<|x|>"], "tokenizer.ggml.token_type": [3, 1, 1, 1, 4],
         "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.bos_token_id": 0}  # fmt: skip


def test_phi3_equals_its_published_files(test_data):
    gguf = tokenizer_from_gguf(metadata(test_data / "vectors/gguf-vocab/ggml-vocab-phi-3.gguf"))
    published = load_tokenizer(test_data / "tokenizers/phi-3-mini")
    text = "<|user|>\n What is  AI?<|end|>\n<|assistant|>\n</s> x"
    assert gguf.encode(text, add_special_tokens=False) == published.encode(text)
    assert (
        gguf.encode(text)[0] == gguf.bos_token_id == 1
    )  # the file asks for BOS, the published config does not
    assert gguf.eos_token_id == 32000
    prompt = gguf.chat_template.render([{"role": "user", "content": "hi"}])
    assert prompt == "<s><|user|>\nhi<|end|>\n<|assistant|>\n"


def test_special_and_user_defined_tokens_are_kept_whole():
    tok = tokenizer_from_gguf(BYTES)
    assert tok.encode("ab<s><|x|>") == [3, 0, 4]
    assert tok.decode([3, 0, 4]) == "ab<|x|>"
    assert tokenizer_from_gguf(BYTES | {"tokenizer.ggml.add_bos_token": True}).encode("ab") == [0, 3]


def test_named_templates():
    named = {"tokenizer.chat_template": "plain", "tokenizer.chat_templates": ["tool_use"],
             "tokenizer.chat_template.tool_use": "with tools"}  # fmt: skip
    template = tokenizer_from_gguf(BYTES | named).chat_template
    assert (template.render([]), template.render([], tools=[])) == ("plain", "with tools")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.ggml.model": "rwkv"}, r"tokenizer\.ggml\.model is 'rwkv'; known are bert, gpt2, llama"),
        ({"tokenizer.ggml.model": None}, r"tokenizer\.ggml\.model is missing"),
        ({"tokenizer.ggml.pre": "martian"}, r"tokenizer\.ggml\.pre is 'martian'"),
        ({"tokenizer.ggml.tokens": None}, r"tokenizer\.ggml\.tokens is missing"),
        ({"tokenizer.ggml.tokens": ["a", "a", "b", "c", "d"]}, r"tokens repeats 1"),
        ({"tokenizer.ggml.token_type": [1]}, r"token_type has 1 entries for 5"),
        ({"tokenizer.ggml.merges": ["a z"]}, r"merges do not fit"),
        ({"tokenizer.ggml.merges": ["az"]}, r"merges do not fit"),
        ({"tokenizer.ggml.bos_token_id": 99}, r"bos_token_id is 99, beyond the 5 tokens"),
        ({"tokenizer.ggml.model": "llama"}, r"scores is missing"),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.scores": [0.0]}, r"scores has 1 entries for 5"),
        ({"tokenizer.ggml.model": "bert"}, r"lacks \[UNK\]"),
    ],
)
def test_damaged_or_unknown_metadata_is_named_by_its_key(change, message):
    with pytest.raises(TokenizerError, match=message):
        tokenizer_from_gguf(BYTES | change, "model.gguf")
