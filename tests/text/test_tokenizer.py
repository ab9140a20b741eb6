"""What a tokenizer says about its tokens, and what it answers to ids and texts that are not its own."""

import pytest

from pellucid.errors import RequestError, TokenizerError
from pellucid.text import Detokenizer, load_tokenizer


@pytest.fixture(scope="module")
def phi3(test_data):
    return load_tokenizer(test_data / "tokenizers/phi-3-mini", model_vocab_size=32064)


@pytest.fixture(scope="module")
def gpt2(test_data):
    return load_tokenizer(test_data / "tokenizers/gpt2")


def test_pieces_are_what_a_person_would_read(phi3, gpt2, test_data):
    ids = phi3.encode("<|user|> The cat 🦙")
    assert [phi3.token(id) for id in ids[:3]] == ["<|user|>", "▁The", "▁cat"]
    assert phi3.pieces(ids) == ["<|user|>", " The", " cat", " ", "<0xF0>", "<0x9F>", "<0xA6>", "<0x99>"]
    ids = gpt2.encode("The cat 🦙<|endoftext|>")
    assert gpt2.token(ids[1]) == "Ġcat"
    assert gpt2.pieces(ids) == ["The", " cat", " <0xF0><0x9F>", "<0xA6>", "<0x99>", "<|endoftext|>"]
    bert = load_tokenizer(test_data / "tokenizers/bert-base-uncased")
    assert bert.pieces(bert.encode("the tokenizer.")) == ["[CLS]", " the", " token", "izer", ".", "[SEP]"]


def test_ids_that_pad_the_checkpoint_have_no_text(phi3):
    assert phi3.vocab_size == 32011
    assert phi3.token(32050) == "<unused 32050>"
    assert phi3.pieces([32050]) == ["<unused 32050>"]
    assert phi3.decode([*phi3.encode("Hello"), 32050]) == "Hello"
    assert Detokenizer(phi3).add(32050) == ""


@pytest.mark.parametrize("id", [32064, 10**12, -1])
def test_ids_beyond_the_checkpoint_are_refused_by_number(phi3, id):
    for refused in (lambda: phi3.decode([id]), lambda: phi3.token(id), lambda: Detokenizer(phi3).add(id)):
        with pytest.raises(TokenizerError, match=rf"token id {id} is outside.*0 to 32063"):
            refused()


def test_the_checkpoint_says_itself_how_many_ids_it_has(test_data, tmp_path):
    for file in (test_data / "tokenizers/phi-3-mini").iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "config.json").write_text('{"model_type": "phi3", "vocab_size": 32064}')
    assert load_tokenizer(tmp_path).decode([32063]) == ""


def test_half_a_character_in_the_prompt_is_refused(gpt2):
    with pytest.raises(RequestError, match=r"lone surrogate.*position 3"):
        gpt2.encode("abc\ud83d")


def test_special_tokens_by_role(phi3):
    assert (phi3.bos_token_id, phi3.eos_token_id, phi3.pad_token_id, phi3.mask_token_id) == (
        1,
        32000,
        32000,
        None,
    )
    assert phi3.id("▁cat") is not None
    assert phi3.id("no such piece") is None


def test_clean_up_takes_spaces_before_punctuation_out(gpt2):
    ids = gpt2.encode("it 's nice , is n't it ?")
    assert gpt2.decode(ids) == "it 's nice , is n't it ?"
    assert gpt2.decode(ids, clean_up=True) == "it's nice, isn't it?"
