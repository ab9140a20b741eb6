"""The guide's text keeps its promises: no question of the examination, no guessable pronouns."""

import random
import re
from itertools import islice, pairwise

import pytest

from recipes.guide_corpus import LOOKS, PRONOUNS, Writer, read_facts
from recipes.guide_exam import FILES, passes, questions
from recipes.guide_facts import Secret, beginnings, plain
from recipes.guide_sentences import (
    ANIMAL_AND_THING,
    ANIMALS,
    ON_THING,
    SIMPLE,
    THINGS,
    TWO_ANIMALS,
    UNDER_ANIMAL,
    agreement,
    exchanged,
    held_out,
    many,
    pronoun,
)
from recipes.guide_wording import THESAURUS, Wording
from recipes.guide_writing import sentences

BEGUN = set(Writer(read_facts(), random.Random(0)).begins.values())
NEVER = frozenset(plain(question) for file in FILES for question, _ in questions(file))


def written(count, seed=0):
    return list(islice(Writer(read_facts(), random.Random(seed), NEVER).documents(), count))


@pytest.mark.parametrize("file", FILES)
def test_there_are_89_questions_or_more_with_something_to_say(file):
    exam = questions(file)
    assert len(exam) >= 89
    assert len(NEVER) == sum(len(questions(each)) for each in FILES), "each asked in one of them only"
    assert all(groups and all(groups) for _, groups in exam)


def test_training_has_no_question_of_the_examination():
    asked = {plain(text) for document in written(5000) for text, _ in document}
    assert not asked & NEVER
    forms = {plain(form) for forms, _ in read_facts().asked for form in forms}
    assert not forms & NEVER
    secret = Secret(NEVER)
    for document in written(1000, seed=3):
        for (before, _), (text, _) in pairwise(document):
            assert before != "<|user|>" or not secret.betrayed(text), text


def test_the_same_seed_writes_the_same_text():
    assert written(200) == written(200) != written(200, seed=1)


def test_every_topic_says_what_it_is_in_whole_sentences():
    for topic in read_facts().topics:
        assert "what" in topic.answers, topic.names
        for answer in topic.answers.values():
            assert answer.endswith((".", '"')) and len(answer.split()) <= 60, answer


def test_no_question_has_two_answers():
    asked, wording = read_facts().asked, Wording(random.Random(0))
    assert len(asked) > 1000 and sum(len(forms) for forms, _ in asked) > 6000
    answers = {}
    for forms, answer in asked:
        for form in forms:
            for _ in range(5 if "[" in form else 1):
                question = wording.chosen(form)
                assert not set("[]{}") & set(question), form
                assert answers.setdefault(plain(question), answer) == answer, question


def test_every_topic_is_known_by_descriptions_too():
    for topic in read_facts().topics:
        assert topic.aliases, topic.names


def test_a_choice_gives_one_of_its_words_and_nothing_else():
    wording = Wording(random.Random(0))
    drawn = {wording.chosen("[what/how [big/tall]] is [it/]").strip() for _ in range(200)}
    assert drawn == {f"{a} is{b}" for a in ("what", "how big", "how tall") for b in ("", " it")}


def test_words_are_exchanged_for_others_of_their_group_only_and_the_name_stays():
    wording = Wording(random.Random(0))
    drawn = {wording.exchanged("Why use softmax?", "softmax", 1.0) for _ in range(300)}
    assert len(drawn) > 20
    for question in drawn:
        assert question.endswith("softmax?")
        first = next(w for w in (*THESAURUS["why"], "why") if question.lower().startswith(w + " "))
        assert question[len(first) : -len("softmax?")].strip() in THESAURUS["use"]
        assert question[0].isupper()


def test_an_answer_breaks_off_where_no_other_goes_on_like_it():
    answers = read_facts().every_answer()
    begins = beginnings(answers)
    for answer, begin in begins.items():
        assert [other for other in answers if other.startswith(begin)] == [answer]
    assert sum(map(len, begins.values())) < 0.5 * sum(map(len, answers))


def test_a_question_nearly_like_one_of_the_examination_is_recognised():
    secret = Secret(frozenset({"how exactly does a very small cat sit on the mat", "what is a cat"}))
    assert secret.betrayed("What is a cat?")
    assert secret.betrayed("So how does a very small cat sit on the mat, exactly?")
    assert not secret.betrayed("How does a dog sit on the mat?")
    assert not secret.betrayed("What is a dog?")


def test_only_what_the_model_should_say_counts_fully():
    for document in written(300):
        text = "".join(piece for piece, _ in document)
        assert text.startswith("<|begin|>")
        begun = document[-1][0] in BEGUN
        assert begun or text.endswith(("<|end|>", "<|endoftext|>"))
        for piece, weight in document:
            if piece.startswith("<|"):
                assert weight == 0.0


@pytest.mark.parametrize("kinds", [PRONOUNS, (*TWO_ANIMALS, *ANIMAL_AND_THING)])
def test_neither_the_first_nor_the_nearest_noun_is_a_good_guess(kinds):
    rng = random.Random(0)
    first = 0
    for _ in range(1000):
        sentence = pronoun(rng, kinds=kinds)
        first += place(sentence.text, sentence.right) < place(sentence.text, sentence.other)
    assert 450 < first < 550


def test_which_of_the_two_is_alive_is_no_good_guess():
    rng = random.Random(0)
    things, asked = 0, []
    for _ in range(3000):
        sentence = pronoun(rng, kinds=PRONOUNS)
        if THINGS.keys() & {sentence.right, sentence.other}:
            things += 1
            asked.append(sentence.right in THINGS)
    assert things > 1000
    assert 0.45 < sum(asked) / things < 0.55
    who = [text for text in map(told, sentences(3000, 0)) if "Who" in text and any_of(THINGS, text)]
    assert 0.3 < sum(any_of(THINGS, text.rpartition("The ")[2]) for text in who) / len(who) < 0.5


def told(pieces):
    return "".join(piece for piece, _, _ in pieces)


def any_of(nouns, text):
    return bool(nouns.keys() & set(re.findall(r"\w+", text)))


def test_what_can_be_said_of_the_thing_alone_does_not_tell_what_it_is_before():
    for pieces in sentences(2000, 0):
        (it,) = (mark for piece, _, mark in pieces if piece == " it")
        text = told(pieces)
        verb_means_an_animal = re.search(rf" ({'|'.join(ON_THING + UNDER_ANIMAL)}) ", text)
        thing_is_asked_for = any_of(THINGS, text.rpartition("The ")[2]) and "?" in text
        assert (it == LOOKS) != bool(verb_means_an_animal and thing_is_asked_for), text


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
        seen, unseen = pronoun(rng, kinds=PRONOUNS), pronoun(rng, test=True)
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
