"""Text comes one token at a time, never half a character, and adds up to the decoded text."""

import functools
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.text import Detokenizer, load_tokenizer

NAMES = ["phi-3-mini", "phi-2", "t5-small", "roberta-base", "whisper.tiny", "torchtitan-small"]
AWKWARD = "Führer 🦙🦙 👨‍👩‍👧 e\u0301 ကျွန် 日本語 \u200d\ufeff don't , . ' 's"


@functools.cache
def tokenizer(name):
    folder = os.environ.get("PELLUCID_TEST_DATA")
    if not folder:
        pytest.skip("PELLUCID_TEST_DATA is not set: this test needs the shared tokenizers")
    return load_tokenizer(f"{folder}/tokenizers/{name}")


def deltas(tok, ids, skip=True):
    stream = Detokenizer(tok, skip_special_tokens=skip)
    return [*(stream.add(id) for id in ids), stream.finish()]


@functools.cache
def byte_tokens(name):
    """Ids whose pieces are stray bytes: what random ids seldom hit."""
    tok = tokenizer(name)
    return [id for id in range(tok.vocab_size) if "<0x" in tok.pieces([id])[0]]


@pytest.mark.parametrize("name", NAMES)
def test_deltas_add_up_to_the_published_text(name):
    tok = tokenizer(name)
    # clean-up is not part of the library's decode: it is transformers' own, tested below
    published = load_tokenizer(tok.source).codec.backend.decode
    some_id = st.integers(0, tok.vocab_size - 1) | st.sampled_from(byte_tokens(name) or [0])

    @settings(max_examples=150, deadline=None)
    @given(
        st.lists(some_id, max_size=12) | st.text(max_size=20).map(lambda text: tok.encode(text)),
        st.booleans(),
    )
    def check(ids, skip):
        together = "".join(deltas(tok, ids, skip))
        assert together == tok.decode(ids, skip_special_tokens=skip)
        if not tok.clean_up:
            # the library knows nothing of times, which are no words
            words = [id for id in ids if not (skip and id in tok.times)]
            assert together == published(words, skip_special_tokens=skip)

    check()


@pytest.mark.parametrize("name", NAMES)
def test_half_a_character_is_never_shown(name):
    tok = tokenizer(name)
    ids = tok.encode(AWKWARD, add_special_tokens=False)
    if "\ufffd" in tok.decode(ids):
        pytest.skip("this tokenizer cannot write all of the text")
    shown = ""
    for delta in deltas(tok, ids):
        shown += delta
        assert "\ufffd" not in shown
        assert tok.clean_up or tok.decode(ids).startswith(shown)


def test_an_emoji_of_four_byte_tokens_comes_whole_and_at_once():
    tok = tokenizer("phi-3-mini")
    ids = tok.encode("🦙!", add_special_tokens=False)
    assert tok.pieces(ids)[1:5] == ["<0xF0>", "<0x9F>", "<0xA6>", "<0x99>"]
    assert deltas(tok, ids)[1:] == ["", "", "", "", "🦙!", ""]


def test_bytes_that_never_become_a_character_are_shown_at_the_end():
    tok = tokenizer("phi-3-mini")
    ids = tok.encode("a🦙", add_special_tokens=False)[:-1]
    assert deltas(tok, ids)[-1] == "\ufffd" * 3
    tok = tokenizer("phi-2")
    ids = tok.encode("a🦙", add_special_tokens=False)[:-1]
    assert deltas(tok, ids) == ["a", "", "", "\ufffd"]


def test_endless_broken_bytes_are_not_hoarded():
    tok = tokenizer("phi-3-mini")
    stream = Detokenizer(tok)
    lone = tok.id("<0xE2>")
    shown = [stream.add(lone) for _ in range(1000)]
    assert sum(map(len, shown)) == 1000


def test_the_space_before_the_first_word_is_left_out_as_published():
    tok = tokenizer("phi-3-mini")
    assert deltas(tok, tok.encode("Hello world"))[:2] == ["Hello", " world"]


@pytest.mark.parametrize("name", NAMES)
def test_a_text_that_goes_on_from_another_reads_on(name):
    tok = tokenizer(name)
    ids = tok.encode("The cat sat on the mat 🦙 yes.", add_special_tokens=False)
    for cut in range(1, len(ids)):
        before, stream = Detokenizer(tok), Detokenizer(tok, after=ids[:cut])
        prompt = "".join(before.add(id) for id in ids[:cut])  # whole characters only
        assert prompt + "".join(map(stream.add, ids[cut:])) + stream.finish() == tok.decode(ids)


def test_token_ten_thousand_costs_what_token_one_does():
    tok = tokenizer("phi-2")
    ids = tok.encode("The cat sat on the mat, 🦙 and so on. " * 1000)[:12000]
    stream = Detokenizer(tok)

    def cost(part):
        start = time.perf_counter()
        for id in part:
            stream.add(id)
        return time.perf_counter() - start

    cost(ids[:500])
    blocks = [cost(ids[i : i + 500]) for i in range(500, 12000, 500)]
    assert min(blocks[-5:]) < 2 * min(blocks[:5])
