"""What questions mean goes with the right question, reaches the layers below alone, and is learned from words."""

import json
import random
import sys

import numpy as np
import pytest
import torch
from guide_models import guide_tokenizer, untrained
from tasks.encoder_folders import add_sentence_layout, make_folder

from pellucid import LLM
from pellucid.errors import SourceError
from pellucid.training import Documents
from recipes import guide_meaning
from recipes.guide import lessons
from recipes.guide_corpus import Writer
from recipes.guide_facts import Facts, Topic, read_facts
from recipes.guide_meaning import (
    LAYERS,
    AndMeaning,
    LessonsAndMeanings,
    Meanings,
    Student,
    Understood,
    misunderstood,
    own_sentences,
    read_meanings,
)
from recipes.guide_pronouns import TextAndPronouns
from recipes.guide_writing import documents, encode, everyday_questions, everyday_sentences, sentences

VECTOR = 8


@pytest.fixture(scope="module")
def tokenizer():
    return guide_tokenizer()


@pytest.fixture
def model(tokenizer):
    return untrained(tokenizer)


def student_of(model, seed=0):
    torch.manual_seed(seed)
    return Student(model, VECTOR)


def meanings(tokenizer, texts, vectors_NE, tokens=60):
    asked = [
        [("<|begin|><|user|>", 0.0), (text, 0.0), ("<|end|><|assistant|><|end|>", 0.0)] for text in texts
    ]
    return Meanings(Documents(*encode(tokenizer, asked), tokens, 0), vectors_NE)


def test_each_question_goes_with_its_own_vector_in_every_part(tokenizer):
    texts = [f"What is number {n}?" for n in range(40)]
    vectors_NE = np.repeat(np.arange(40.0)[:, None], VECTOR, axis=1)
    source = meanings(tokenizer, texts, vectors_NE)
    seen = set()
    for step in range(8):
        for meant in source.parts(step, 2):
            begin = 0
            for length, vector_E in zip(meant.asked.lengths, meant.vectors_NE, strict=True):
                ids = meant.asked.ids_T[begin : begin + length].tolist()
                text = tokenizer.decode(ids, skip_special_tokens=False)
                assert text == f"<|begin|><|user|>{texts[int(vector_E[0])]}<|end|><|assistant|>"
                seen.add(text)
                begin += length
    assert len(seen) > 20


def test_a_meaning_is_read_after_the_lower_layers_and_teaches_no_other(tokenizer, model):
    student = student_of(model)
    source = meanings(tokenizer, ["What is AI?", "Why?"], np.ones((2, VECTOR)))
    (meant,) = source.parts(0, 1)
    misunderstood(student.meanings(meant.asked), meant).backward()
    for name, parameter in model.named_parameters():
        taught = parameter.grad is not None and parameter.grad.any().item()
        below = name.startswith(("embed_tokens", *(f"blocks.{layer}." for layer in range(LAYERS))))
        assert taught == below, name
    assert student.proj.weight.grad.any()


def test_what_was_meant_is_learned_beside_the_text(tokenizer, model):
    texts = [f"What is number {n}?" for n in range(10)]
    rng = np.random.default_rng(0)
    text = encode(tokenizer, documents(10, 0))
    asked = meanings(tokenizer, texts, rng.normal(size=(10, VECTOR)))
    both = LessonsAndMeanings(
        lessons(tokenizer, text, sentences(10, 0), 300, 0, share=0.3), asked, asked.of_tokens(100)
    )
    student, task = student_of(model), AndMeaning(TextAndPronouns(model))
    optimizer = torch.optim.Adam(student.parameters(), lr=1e-3)
    (first,) = both.parts(0, 1)
    assert first.tokens == first.lesson.tokens + first.meant.tokens
    alone = task.loss(student, Understood(first.lesson), None)
    assert task.loss(student, first, None) > alone

    def missed():
        return misunderstood(student.meanings(first.meant.asked), first.meant).item()

    before = missed()
    for step in range(50):
        optimizer.zero_grad()
        task.loss(student, both.parts(step, 1)[0], None).backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
    assert missed() < 0.75 * before


def test_words_learn_what_the_sentences_they_stand_in_mean(tokenizer, model):
    rng = np.random.default_rng(0)
    words = ["cat", "dog", "mat", "model", "token", "layer", "word", "text"]
    true = {word: rng.normal(size=VECTOR) for word in words}
    true["dog"] = true["cat"] + 0.1 * true["dog"]
    chosen = [rng.choice(words, 3, replace=False) for _ in range(400)]
    vectors_NE = np.array([sum(true[word] for word in three) for three in chosen])
    source = meanings(tokenizer, [" " + " ".join(three) for three in chosen], vectors_NE, tokens=1000)
    student = student_of(model)
    optimizer = torch.optim.Adam(student.parameters(), lr=5e-3)
    for step in range(80):
        (batch,) = source.parts(step, 1)
        loss = misunderstood(student.of_words(batch.asked), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * len(batch.asked.lengths)
    assert all(parameter.grad is None for parameter in model.blocks.parameters())
    ids = [tokenizer.encode(f" {word}", add_special_tokens=False).ids for word in ("cat", "dog", "mat")]
    cat, dog, mat = (model.embed_tokens.weight[token] for (token,) in ids)
    near = torch.nn.functional.cosine_similarity
    assert near(cat, dog, dim=0) > near(cat, mat, dim=0) + 0.1


def test_a_bag_of_words_is_their_weighted_mean(tokenizer, model):
    student = student_of(model)
    (batch,) = meanings(tokenizer, ["a cat", "a mat sat"], np.ones((2, VECTOR))).parts(0, 1)
    found = student.of_words(batch.asked)
    begin = 0
    for length, found_E in zip(batch.asked.lengths, found, strict=True):
        rows = model.embed_tokens.weight[batch.asked.ids_T[begin : begin + length]]
        x_TD = torch.nn.functional.rms_norm(rows, rows.shape[1:])
        share_T = torch.softmax(student.word_weight(x_TD).flatten(), 0)
        assert torch.allclose(found_E, student.word_proj(share_T @ x_TD), atol=1e-5)
        begin += length


def test_the_vectors_written_are_the_encoder_s_and_go_with_roughened_questions(
    tmp_path, tokenizer, monkeypatch
):
    make_folder(tmp_path / "encoder")
    add_sentence_layout(tmp_path / "encoder", {"pooling_mode_mean_tokens": True})
    (tmp_path / "lines.txt").write_text("one sentence\n\nanother one\none sentence\n")
    monkeypatch.setattr(guide_meaning, "own_sentences", lambda writer: ["What is a cat?"])
    arguments = [str(tmp_path / part) for part in ("encoder", "made", "lines.txt")]
    monkeypatch.setattr(sys, "argv", ["guide_meaning", *arguments])
    guide_meaning.main()

    texts = json.loads((tmp_path / "made" / "sentences.json").read_text())
    assert texts == {"own": ["What is a cat?"], "others": ["one sentence", "another one"]}
    embedded = LLM(str(tmp_path / "encoder")).embed(texts["own"] + texts["others"])
    expected_NE = np.array([output.outputs.embedding for output in embedded])
    source = read_meanings(tmp_path / "made", tokenizer, 10_000, seed=0)
    assert len(source.vectors_NE) == guide_meaning.WORDINGS + 2
    assert np.allclose(source.vectors_NE[[0, -2, -1]], expected_NE, atol=1e-3)
    last = tokenizer.decode(source.asked.document(len(source.vectors_NE) - 1)[0].tolist())
    assert last.lower().startswith("another")


def test_a_folder_without_vectors_is_refused_with_what_to_do(tmp_path, tokenizer):
    with pytest.raises(SourceError, match="guide_meaning writes them"):
        read_meanings(tmp_path, tokenizer, 100, seed=0)


def test_own_sentences_are_questions_of_each_topic_and_all_answers(monkeypatch):
    monkeypatch.setattr(guide_meaning, "OF_TOPICS", 20)
    topic = Topic([("a cat", False)], {"what": "A cat is an animal."})
    facts = Facts([topic], [(["[Do/Can] cats sit?", "Never asked"], "Yes, on mats.")])
    found = own_sentences(Writer(facts, random.Random(0), frozenset({"never asked"})))
    assert {"A cat is an animal.", "Yes, on mats."} <= set(found)
    assert {"Do cats sit?", "Can cats sit?"} & set(found) and "Never asked" not in found
    assert any("cat" in each for each in found[1:-2])


def test_everyday_questions_are_not_about_the_guide_or_its_subject(tmp_path):
    lines = ["Where is the old station?", "Is your name Tom?", "What is a language model?", "Tom left early."]
    (tmp_path / "lines.txt").write_text("\n".join([*lines, lines[0]]))
    read = everyday_sentences(tmp_path / "lines.txt")
    assert read == lines
    assert everyday_questions(read) == lines[:1]
    with pytest.raises(SourceError, match="not a text file"):
        everyday_sentences(tmp_path)


def test_everyday_questions_are_answered_with_not_knowing():
    writer = Writer(read_facts(), random.Random(0), everyday=["Where is the station?"])
    answers = {answer for question, answer in (writer.unknown() for _ in range(60)) if "station" in question}
    assert len(answers) == 1 and answers.pop().startswith("I do not know")
