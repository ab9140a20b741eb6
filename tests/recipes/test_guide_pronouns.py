"""The sentences with pronouns teach no other head than the chosen one, and the marks point at the right noun."""

import pytest
import torch
from guide_models import guide_tokenizer, untrained

from pellucid.kernels import reference
from recipes.guide import lessons
from recipes.guide_corpus import LOOKS, RIGHT
from recipes.guide_heads import Watched
from recipes.guide_pronouns import HEAD, LAYER, OneHead, TextAndPronouns
from recipes.guide_writing import documents, encode, sentences


@pytest.fixture(scope="module")
def tokenizer():
    return guide_tokenizer()


@pytest.fixture(scope="module")
def lesson(tokenizer):
    text = encode(tokenizer, documents(10, 0))
    (lesson,) = lessons(tokenizer, text, sentences(40, 0), 600, 0, share=0.4).parts(0, 1)
    return lesson


@pytest.fixture(scope="module")
def model(tokenizer):
    return untrained(tokenizer)


def test_it_and_the_answer_look_at_the_right_noun(tokenizer, lesson):
    looking = tokenizer.encode_batch([" it", "The"], add_special_tokens=False)
    looking = {encoded.ids[0] for encoded in looking}
    targets = lesson.sentences.targets_T
    assert set(targets[lesson.marks_T == LOOKS].tolist()) == looking
    begin = 0
    for length in lesson.sentences.lengths:
        part = slice(begin, begin + length)
        noun = tokenizer.decode(targets[part][lesson.marks_T[part] == RIGHT].tolist())
        text = tokenizer.decode(targets[part].tolist(), skip_special_tokens=False)
        assert noun in text.partition("because")[0]
        if "?" in text:
            assert text.endswith(f"The{noun}.<|end|>")
        begin += length


def test_the_head_is_surprised_by_what_its_own_pattern_gives_the_right_noun(model, lesson):
    ctx = OneHead(model, lesson.sentences)
    with torch.no_grad():
        model(lesson.sentences.ids_T, ctx)
        surprise = ctx.looking(lesson.marks_T).item()
        expected, begin = 0.0, 0
        for length in lesson.sentences.lengths:
            watched = Watched(length)
            model(lesson.sentences.ids_T[begin : begin + length], watched)
            pattern = reference.attention_pattern(
                watched.q[LAYER], watched.k[LAYER], model.attentions[LAYER].spec
            )[HEAD]
            marks = lesson.marks_T[begin : begin + length]
            right = int(torch.nonzero(marks == RIGHT).max()) + 1
            for looks in (torch.nonzero(marks == LOOKS).flatten() + 1).tolist():
                expected -= pattern[looks, right].log().item()
            begin += length
    assert surprise == pytest.approx(expected, rel=1e-4)


def test_no_other_head_learns_from_the_sentences(model, lesson):
    model.zero_grad()
    TextAndPronouns(model).of_sentences(model, lesson).backward()
    moved = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    moved = {name: grad for name, grad in moved.items() if grad.any()}
    below = tuple(f"blocks.{layer}." for layer in range(LAYER))
    assert {name for name in moved if not name.startswith(below) and ".mlp" not in name} == {
        f"blocks.{LAYER}.attn.qkv_proj.weight",
        f"blocks.{LAYER}.attn.o_proj.weight",
    }
    assert f"blocks.{LAYER}.mlp_norm.weight" in moved
    width = model.attentions[LAYER].spec.head_dim
    own = slice(HEAD * width, (HEAD + 1) * width)
    out = moved[f"blocks.{LAYER}.attn.o_proj.weight"].clone()
    assert out[:, own].any()
    out[:, own] = 0
    assert not out.any()
    assert moved["blocks.0.attn.qkv_proj.weight"].any()
