"""The guide's text keeps its promises: no question of the examination, no guessable pronouns."""

import random
import re
from itertools import islice

import pytest

from recipes.guide_corpus import Writer, plain, read_facts
from recipes.guide_exam import FILES, passes, questions
from recipes.guide_sentences import (
    ANIMAL_AND_THING,
    ANIMALS,
    SIMPLE,
    THINGS,
    TWO_ANIMALS,
    agreement,
    exchanged,
    held_out,
    many,
    pronoun,
)

NEVER = frozenset(plain(question) for file in FILES for question, _ in questions(file))


def written(count, seed=0):
    return list(islice(Writer(read_facts(), random.Random(seed), NEVER).documents(), count))


@pytest.mark.parametrize("file", FILES)
def test_there_are_100_questions_with_something_to_say(file):
    exam = questions(file)
    assert len(exam) == 100
    assert len(NEVER) == 100 * len(FILES), "each asked in one of them only"
    assert all(groups and all(groups) for _, groups in exam)


def test_training_has_no_question_of_the_examination():
    asked = {plain(text) for document in written(5000) for text, _ in document}
    assert not asked & NEVER
    forms = {plain(form) for forms, _ in read_facts().asked for form in forms}
    assert not {form for form in forms if form in NEVER}


def test_the_same_seed_writes_the_same_text():
    assert written(200) == written(200) != written(200, seed=1)


def test_every_topic_says_what_it_is_in_whole_sentences():
    for topic in read_facts().topics:
        assert "what" in topic.answers, topic.names
        for answer in topic.answers.values():
            assert answer.endswith((".", '"')) and len(answer.split()) <= 60, answer


def test_no_question_has_two_answers():
    asked = read_facts().asked
    assert len(asked) > 700 and sum(len(forms) for forms, _ in asked) > 5000
    answers = {}
    for forms, answer in asked:
        for form in forms:
            assert answers.setdefault(plain(form), answer) == answer, form


def test_only_what_the_model_should_say_counts_fully():
    for document in written(300):
        text = "".join(piece for piece, _ in document)
        assert text.startswith("<|begin|>")
        assert text.endswith(("<|end|>", "<|endoftext|>"))
        for piece, weight in document:
            if piece.startswith("<|"):
                assert weight == 0.0


def test_neither_the_first_nor_the_nearest_noun_is_a_good_guess():
    rng = random.Random(0)
    first = 0
    for _ in range(1000):
        sentence = pronoun(rng)
        first += place(sentence.text, sentence.right) < place(sentence.text, sentence.other)
    assert 450 < first < 550


def place(sentence, noun):
    return re.search(rf"\b{noun}\b", sentence).start()


@pytest.mark.parametrize("kinds", [TWO_ANIMALS, ANIMAL_AND_THING])
def test_the_same_two_nouns_stand_in_exchanged_places(kinds):
    rng = random.Random(0)
    for _ in range(200):
        one, two = exchanged(rng, kinds)
        assert (one.right, one.other, one.reason) == (two.right, two.other, two.reason)
        assert place(one.text, one.right) < place(one.text, one.other)
        assert place(two.text, two.right) > place(two.text, two.other)
        assert held_out(one.right, one.other) or {one.right, one.other} == {"cat", "mat"}


def test_pairs_of_nouns_for_testing_never_stand_together_in_training():
    rng = random.Random(0)
    for _ in range(2000):
        seen, unseen = pronoun(rng), pronoun(rng, test=True)
        assert not held_out(seen.right, seen.other) and {seen.right, seen.other} != {"cat", "mat"}
        assert held_out(unseen.right, unseen.other) or {unseen.right, unseen.other} == {"cat", "mat"}


def test_half_the_verbs_agree_against_the_nearer_noun():
    rng = random.Random(0)
    against = 0
    for _ in range(1000):
        sentence, start, plural = agreement(rng)
        assert f"{start} {'are' if plural else 'is'} " in sentence
        against += start.endswith("s") != plural
    assert 400 < against < 600


@pytest.mark.parametrize(
    "noun, plural", [("cat", "cats"), ("fox", "foxes"), ("pony", "ponies"), ("monkey", "monkeys")]
)
def test_plurals(noun, plural):
    assert many(noun) == plural


def test_the_guides_sentence_is_there_and_no_animal_is_a_thing():
    assert SIMPLE[0] == "The cat sat on the mat."
    assert not set(ANIMALS) & set(THINGS)


@pytest.mark.parametrize(
    "answer, groups, right",
    [
        ("Softmax turns scores into probabilities.", ["probabilit*"], True),
        ("It takes the most likely token.", ["most_likely", "token"], True),
        ("Yes, other tokens.", ["!yes"], False),
        ("Attention is useful.", ["!yes", "attention"], True),
        ("A keyboard.", ["key"], False),
    ],
)
def test_the_rubric(answer, groups, right):
    assert passes(answer, groups) is right
