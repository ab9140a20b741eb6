"""The guide model's text: hand-written facts, and many ways to ask for each.

`guide_text/*.txt` hold the facts. `[name; other name; plural name+]` begins a topic, and its lines `what:`,
`why:`, `how:`, `ex:` are the answers. `? question | in other words | ...`, on one or several lines, with a
line `= answer` is a question of its own (`= @name` and `= @name.why` give a topic's answer), and
`(names | names)` with `= answer` a comparison. Here they become conversations: a question is put in one of
many forms, politely or curtly, in lower case, with a slip of the finger, alone or after others.

A document is a list of pieces `(text, weight)`; the weight says how much predicting that piece counts.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recipes import guide_phrases as phrases
from recipes.guide_sentences import (
    ANIMAL_AND_THING,
    ANIMALS,
    FEELINGS,
    SIMPLE,
    TWO_ANIMALS,
    agreement,
    pronoun,
)

Piece = tuple[str, float]
Marked = tuple[str, float, int]
"""A piece of a sentence with a pronoun: its weight, and whether it looks or is what should be looked at."""
LOOKS, RIGHT = 1, 2
TEXT = Path(__file__).parent / "guide_text"
BOS, END, EOS = "<|begin|>", "<|end|>", "<|endoftext|>"
UNFORESEEABLE = 0.03
"""The weight of what cannot be foreseen, such as a question: a little, for the meaning of its words."""
UNKNOWN = "I do not know that. I am a small model that only knows about transformers."
NO_SUMS = "I cannot calculate. I am a small model that only knows about transformers."
NO_MORE = "That is all I know about it."
MOSTLY_ANIMALS = (*TWO_ANIMALS * 2, *ANIMAL_AND_THING)


@dataclass
class Topic:
    """One subject: how people call it, and what there is to say about it."""

    names: list[tuple[str, bool]]
    answers: dict[str, str] = field(default_factory=dict)


@dataclass
class Facts:
    """Everything in `guide_text`."""

    topics: list[Topic] = field(default_factory=list)
    asked: list[tuple[list[str], str]] = field(default_factory=list)
    compared: list[tuple[list[str], list[str], str]] = field(default_factory=list)


def names(text: str) -> list[tuple[str, bool]]:
    """Names and whether each is a plural, as `a; b; cs+` writes them."""
    return [(name.strip().removesuffix("+"), name.strip().endswith("+")) for name in text.split(";")]


def read_facts() -> Facts:
    """Read `guide_text/*.txt`."""
    facts = Facts()
    pending: list[str] | tuple[list[str], list[str]] = []
    for path in sorted(TEXT.glob("*.txt")):
        for line in path.read_text().splitlines():
            if line.startswith("["):
                facts.topics.append(Topic(names(line.strip("[]"))))
            elif line.startswith("?"):
                forms = [part.strip() for part in line[1:].split(" | ")]
                pending = [*pending, *forms] if isinstance(pending, list) else forms
            elif line.startswith("("):
                left, right = line.strip("()").split("|")
                pending = ([n for n, _ in names(left)], [n for n, _ in names(right)])
            elif line.startswith("="):
                answer = line[1:].strip()
                if isinstance(pending, tuple):
                    facts.compared.append((*pending, answer))
                else:
                    facts.asked.append((pending, answer))
                pending = []
            elif line and not line.startswith("#"):
                aspect, _, answer = line.partition(": ")
                facts.topics[-1].answers[aspect] = answer
    known = {name: topic for topic in facts.topics for name, _ in topic.names}
    facts.asked = [(forms, referred(answer, known)) for forms, answer in facts.asked]
    return facts


def referred(answer: str, known: dict[str, Topic]) -> str:
    """The answer itself, or the one that `@name.aspect` refers to."""
    if not answer.startswith("@"):
        return answer
    name, _, aspect = answer[1:].partition(".")
    return known[name].answers[aspect or "what"]


def plain(text: str) -> str:
    """A question without its case and punctuation: what counts as the same question."""
    return re.sub(r"[^a-z0-9 ]+", "", text.lower().replace("-", " ")).strip()


class Writer:
    """Writes documents; everything drawn comes from one generator."""

    def __init__(self, facts: Facts, rng: random.Random, never: frozenset[str] = frozenset()) -> None:
        """`never`: plain questions that must not be written, those of the examination."""
        self.facts, self.rng, self.never = facts, rng, never
        self.weights = [2.0 if any(n in phrases.CENTRAL for n, _ in t.names) else 1.0 for t in facts.topics]
        self.ways = [len(forms) for forms, _ in facts.asked]

    def documents(self) -> Iterator[list[Piece]]:
        """Documents without end."""
        kinds = [self.conversation, self.simple, self.agreement, self.statement]
        while True:
            (kind,) = self.rng.choices(kinds, [78, 8, 4, 10])
            yield kind()

    def sentences(self) -> Iterator[list[Marked]]:
        """Sentences with pronouns without end: all that counts is which noun "it" stands for."""
        while True:
            yield self.pronoun()

    # -- questions ------------------------------------------------------------------------------------

    def ask(self, forms: list[str], **slots: str) -> str:
        """One of the forms, filled in and roughened, and not one of the examination."""
        while True:
            text = self.rough(self.rng.choice(forms).format(**slots), keep=slots.get("bare", ""))
            if plain(text) not in self.never:
                return text

    def about(self, topic: Topic, aspect: str) -> str:
        name, plural = self.rng.choices(topic.names, [2.0] + [1.0] * (len(topic.names) - 1))[0]
        forms = phrases.FORMS[aspect]
        if aspect != "ex" and self.rng.random() < 0.55:
            forms = [self.composed(aspect)]
        return self.ask(
            forms,
            x=name,
            X=name[0].upper() + name[1:],
            bare=re.sub(r"^(a|an|the) ", "", name),
            be="are" if plural else "is",
            do="do" if plural else "does",
            s="" if plural else "s",
            they="they" if plural else "it",
            them="them" if plural else "it",
            their="their" if plural else "its",
        )

    def composed(self, aspect: str) -> str:
        """A form put together from an opening, a verb and what is wanted."""
        rng = self.rng
        if rng.random() < 0.55:
            return rng.choice(phrases.WITHOUT[aspect])
        opening, verb = rng.choice(phrases.OPENINGS), rng.choice(phrases.VERBS)
        end = "?" if opening.split()[0] in ("Could", "Can", "Would", "Will") else "."
        text = f"{opening} {verb} {rng.choice(phrases.WANTED[aspect])}{end}".strip()
        return text[0].upper() + text[1:]

    def rough(self, text: str, keep: str = "") -> str:
        """As people type: with a greeting, other words, no question mark, a slip. `keep` stays whole."""
        rng = self.rng
        if rng.random() < 0.16:
            text = self.disturb(text, keep)
        for word, others in phrases.SYNONYMS.items():
            if word in text and rng.random() < 0.15:
                text = text.replace(word, rng.choice(others), 1)
        if rng.random() < 0.12:
            before = rng.choice(phrases.BEFORE)
            text = before + (text[0].lower() + text[1:] if text[:2] in phrases.LOWER else text)
        if rng.random() < 0.08 and text[-1] in "?.":
            text = text[:-1] + rng.choice(phrases.AFTER) + text[-1]
        if rng.random() < 0.25:
            text = text.lower()
        if rng.random() < 0.25:
            text = text.rstrip("?.!")
        if rng.random() < 0.06 and len(text) > 12:
            text = self.slip(text)
        return text

    def disturb(self, text: str, keep: str) -> str:
        """A word more, less or other than expected, so that a strange word alone decides nothing."""
        rng = self.rng
        words = text.split(" ")
        at = rng.randrange(len(words))
        kind = rng.randrange(3)
        if kind == 0:
            words.insert(at, rng.choice(phrases.ANY_WORDS))
        elif words[at].strip("?.!,").lower() not in keep.lower():
            words[at : at + 1] = [rng.choice(phrases.ANY_WORDS)] if kind == 1 else []
        return " ".join(words) or text

    def slip(self, text: str) -> str:
        """One letter left out, doubled or exchanged with the next."""
        at = self.rng.randrange(3, len(text) - 2)
        kind = self.rng.randrange(3)
        if kind == 0:
            return text[:at] + text[at + 1 :]
        if kind == 1:
            return text[:at] + text[at] + text[at:]
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]

    # -- turns ----------------------------------------------------------------------------------------

    def turns(self) -> list[tuple[str, str]]:
        """A question and its answer, perhaps with questions that lean on it."""
        rng = self.rng
        (kind,) = rng.choices(["topic", "asked", "compared", "unknown"], [40, 44, 7, 9])
        if kind == "asked":
            ((forms, answer),) = rng.choices(self.facts.asked, self.ways)
            return [(self.ask([form.replace("{", "{{").replace("}", "}}") for form in forms]), answer)]
        if kind == "compared":
            left, right, answer = rng.choice(self.facts.compared)
            a, b = rng.choice(left), rng.choice(right)
            if rng.random() < 0.5:
                a, b = b, a
            return [
                (self.ask(phrases.COMPARE, a=a, b=b, A=a[0].upper() + a[1:], B=b[0].upper() + b[1:]), answer)
            ]
        if kind == "unknown":
            return [self.unknown()]
        return self.about_topic()

    def about_topic(self) -> list[tuple[str, str]]:
        rng = self.rng
        (topic,) = rng.choices(self.facts.topics, self.weights)
        (aspect,) = rng.choices(["what", "why", "how", "ex"], [5, 3, 3, 1])
        if aspect == "ex" and "ex" not in topic.answers:
            aspect = "what"
        answer = topic.answers.get(aspect, topic.answers["what"])
        question = self.about(topic, aspect)
        turns = [(question, answer)]
        told = {answer}
        while rng.random() < 0.4:
            (next_aspect,) = rng.choices(["why", "how", "ex", "what", "more"], [3, 3, 2, 1, 2])
            untold = [a for a in topic.answers.values() if a not in told]
            if next_aspect == "more":
                answer = untold[0] if untold else NO_MORE
            else:
                answer = topic.answers.get(next_aspect, NO_MORE)
            turns.append((self.ask(phrases.FOLLOW[next_aspect]), answer))
            told.add(answer)
        return turns

    def unknown(self) -> tuple[str, str]:
        """A question outside the guide's subject, perhaps about a word that does not exist."""
        rng = self.rng
        if rng.random() < 0.15:
            n, m = rng.randint(2, 999), rng.choice([rng.randint(2, 20), rng.randint(2, 999)])
            return self.ask(phrases.SUMS, n=str(n), m=str(m)), NO_SUMS
        if rng.random() < 0.5:
            noun, place, person = (
                self.invented().capitalize() if rng.random() < 0.3 else rng.choice(words)
                for words in (phrases.NOUNS, phrases.PLACES, phrases.PEOPLE)
            )
            return self.ask(phrases.ELSEWHERE, noun=noun, place=place, person=person), UNKNOWN
        thing = self.invented() if rng.random() < 0.3 else rng.choice(phrases.NOUNS + phrases.NOT_KNOWN)
        return self.about(Topic([(thing, False)]), rng.choice(["what", "why", "how"])), UNKNOWN

    def invented(self) -> str:
        """A word that does not exist."""
        return "".join(self.rng.choice(phrases.SYLLABLES) for _ in range(self.rng.randint(2, 3)))

    # -- documents ------------------------------------------------------------------------------------

    def conversation(self) -> list[Piece]:
        rng = self.rng
        pieces: list[Piece] = [(BOS, 0.0)]
        if rng.random() < 0.04:
            pieces.append((f"<|system|>{rng.choice(phrases.SYSTEM)}{END}", 0.0))
        (groups,) = rng.choices([1, 2, 3, 5], [60, 20, 12, 8])
        for _ in range(groups):
            for question, answer in self.turns():
                pieces += [("<|user|>", 0.0), (question, UNFORESEEABLE), (f"{END}<|assistant|>", 0.0),
                           (answer + END, 1.0)]  # fmt: skip
        return pieces

    def simple(self) -> list[Piece]:
        at = 0 if self.rng.random() < 0.1 else self.rng.randrange(len(SIMPLE))
        return [(BOS, 0.0), (SIMPLE[at] + EOS, 1.0)]

    def pronoun(self) -> list[Marked]:
        """What only one of the two animals does, or a question for it."""
        sentence = pronoun(self.rng, kinds=MOSTLY_ANIMALS)
        start, _, _ = sentence.text.partition(" because it")
        before, right, after = start.partition(f" {sentence.right}")
        pieces: list[Marked] = [(before, 0.0, 0), (right, 0.0, RIGHT), (f"{after} because", 0.0, 0),
                                (" it", 0.0, LOOKS)]  # fmt: skip
        if self.rng.random() < 0.5:
            return [(BOS, 0.0, 0), *pieces, (f" {ANIMALS[sentence.right]}.{EOS}", 1.0, 0)]
        reason = f"was {self.rng.choice(FEELINGS)}"
        return [(BOS, 0.0, 0), ("<|user|>", 0.0, 0), *pieces, (f" {reason}. Who {reason}?", 0.0, 0),
                (f"{END}<|assistant|>", 0.0, 0), ("The", 1.0, LOOKS),
                (f" {sentence.right}.{END}", 1.0, 0)]  # fmt: skip

    def agreement(self) -> list[Piece]:
        return [(BOS, 0.0), (agreement(self.rng)[0] + EOS, 1.0)]

    def statement(self) -> list[Piece]:
        """A fact as plain text, or a question with its answer and no template."""
        if self.rng.random() < 0.5:
            question, answer = self.turns()[0]
            return [(BOS, 0.0), (question, UNFORESEEABLE), (f" {answer}{EOS}", 1.0)]
        topic = self.rng.choice(self.facts.topics)
        return [(BOS, 0.0), (self.rng.choice(list(topic.answers.values())) + EOS, 1.0)]
