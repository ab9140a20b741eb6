"""The guide model's text: conversations about hand-written facts, simple sentences, sentences with pronouns.

`guide_facts.py` reads the facts and the ways to ask for them; here they become conversations: a question is
put in one of many forms, politely or curtly, in other words, in lower case, with a slip of the finger, alone
or after others. Most answers break off as soon as no other begins like them: it is telling them apart that
takes many examples.

A document is a list of pieces `(text, weight)`; the weight says how much predicting that piece counts.
"""

import random
import re
from collections.abc import Iterator, Sequence

from recipes import guide_phrases as phrases
from recipes.guide_facts import Facts, Secret, Topic, beginnings, plain, read_facts
from recipes.guide_sentences import (
    ANIMAL_AND_THING,
    ANIMALS,
    FEELINGS,
    ONLY_THINGS,
    SIMPLE,
    THING_AND_ANIMAL,
    THINGS,
    TWO_ANIMALS,
    agreement,
    pronoun,
)
from recipes.guide_wording import Wording

__all__ = ["BOS", "END", "EOS", "LOOKS", "RIGHT", "Marked", "Piece", "Writer", "plain", "read_facts"]

Piece = tuple[str, float]
Marked = tuple[str, float, int]
"""A piece of a sentence with a pronoun: its weight, and whether it looks or is what should be looked at."""
LOOKS, RIGHT = 1, 2
BOS, END, EOS = "<|begin|>", "<|end|>", "<|endoftext|>"
UNFORESEEABLE, SOMETIMES = 0.15, 0.2
"""The weight of what cannot be foreseen, such as a question, and how often it counts at all: a little, for
the meaning of its words, and seldom, since it is most of the text."""
UNKNOWN = "I do not know that. I am a small model that only knows about transformers."
NO_SUMS = "I cannot calculate. I am a small model that only knows about transformers."
NO_MORE = "That is all I know about it."
ALIASES = 0.4
"""How often a topic is spoken of without its name, where the facts say how."""
BROKEN_OFF = 0.9
"""How many conversations of one question end where no other answer would go on like this one."""
EVERYDAY = 0.4
"""How many of the questions outside the guide's subject are everyday ones, where there are some."""
MANY = 4
"""How often a form with choices is asked, beside one without."""
ITSELF = re.compile(r"^(?!I cannot)(I|My|No\. I|.*trained me|.*and I have)\b")
OF_ITSELF = 5
"""How often the guide is asked for itself, beside what else is written out: it is asked first."""
PRONOUNS = (*TWO_ANIMALS * 3, *ANIMAL_AND_THING * 2, *THING_AND_ANIMAL * 2)
"""How often which kind of sentence with a pronoun is written."""
ONLY_ONE_CAN = 0.2
"""How often what is said of "it" fits the thing alone, where the verb means the animal."""


class Writer:
    """Writes documents; everything drawn comes from one generator."""

    def __init__(
        self,
        facts: Facts,
        rng: random.Random,
        never: frozenset[str] = frozenset(),
        everyday: Sequence[str] = (),
    ) -> None:
        """`never`: plain questions that must not be written, nor any nearly like them. `everyday`: what
        people ask of other things than the guide's."""
        self.facts, self.rng, self.never, self.everyday = facts, rng, Secret(never), everyday
        self.wording = Wording(rng)
        self.begins = beginnings([*facts.every_answer(), UNKNOWN, NO_SUMS, NO_MORE])
        # what has more to be said about it is asked more, and some things more than others
        central = [any(name in phrases.CENTRAL for name, _ in topic.names) for topic in facts.topics]
        self.weights = [
            len(t.answers) * (1.5 if c else 1.0) for t, c in zip(facts.topics, central, strict=True)
        ]
        self.ways = [
            sum(MANY if "[" in form else 1 for form in forms) * (OF_ITSELF if ITSELF.search(answer) else 1)
            for forms, answer in facts.asked
        ]

    def documents(self) -> Iterator[list[Piece]]:
        """Documents without end."""
        kinds = [self.conversation, self.simple, self.agreement, self.statement]
        while True:
            (kind,) = self.rng.choices(kinds, [84, 5, 4, 7])
            yield kind()

    def sentences(self) -> Iterator[list[Marked]]:
        """Sentences with pronouns without end: all that counts is which noun "it" stands for."""
        while True:
            yield self.pronoun()

    # -- questions ------------------------------------------------------------------------------------

    def ask(self, forms: list[str], **slots: str) -> str:
        """One of the forms, filled in and roughened, and not one of the examination."""
        while True:
            text = self.wording.chosen(self.rng.choice(forms).format(**slots)).strip()
            text = self.wording.rough(text, keep=slots.get("keep", ""))
            if not self.never.betrayed(text):
                return text

    def about(self, topic: Topic, aspect: str) -> str:
        rng = self.rng
        name, plural = rng.choices(topic.names, [2.0] + [1.0] * (len(topic.names) - 1))[0]
        forms, keep = phrases.FORMS[aspect], name
        if aspect != "ex" and rng.random() < 0.45:
            forms = [self.composed(aspect)]
        if topic.aliases and rng.random() < ALIASES:
            name, plural = rng.choice(topic.aliases)
            name, keep = self.wording.chosen(name).strip(), ""
            if aspect == "what" and rng.random() < 0.4:
                forms = phrases.DESCRIBED
        return self.ask(
            forms,
            x=name,
            X=name[0].upper() + name[1:],
            bare=re.sub(r"^(a|an|the) ", "", name),
            keep=keep,
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

    # -- turns ----------------------------------------------------------------------------------------

    def turns(self) -> list[tuple[str, str]]:
        """A question and its answer, perhaps with questions that lean on it."""
        rng = self.rng
        (kind,) = rng.choices(["topic", "asked", "compared", "unknown"], [30, 56, 6, 8])
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
            untold = (a for a in topic.answers.values() if a not in told)
            wanted = topic.answers.get(next_aspect)
            answer = next((a for a in untold if next_aspect == "more" or a == wanted), NO_MORE)
            turns.append((self.ask(phrases.FOLLOW[next_aspect]), answer))
            told.add(answer)
        return turns

    def unknown(self) -> tuple[str, str]:
        """A question outside the guide's subject, perhaps about a word that does not exist."""
        rng = self.rng
        if rng.random() < 0.15:
            n, m = rng.randint(2, 999), rng.choice([rng.randint(2, 20), rng.randint(2, 999)])
            return self.ask(phrases.SUMS, n=str(n), m=str(m)), NO_SUMS
        if self.everyday and rng.random() < EVERYDAY:
            return self.ask([rng.choice(self.everyday)]), UNKNOWN
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
        (groups,) = rng.choices([1, 2, 3, 5], [92, 5, 2, 1])
        turns = [turn for _ in range(groups) for turn in self.turns()]
        asking = self.unforeseeable()
        for question, answer in turns:
            pieces += [("<|user|>", 0.0), (question, asking), (f"{END}<|assistant|>", 0.0),
                       (answer + END, 1.0)]  # fmt: skip
        if len(turns) == 1 and rng.random() < BROKEN_OFF:
            pieces[-1] = (self.begins.get(answer, answer + END), 1.0)
        return pieces

    def unforeseeable(self) -> float:
        """What a question's own words count."""
        return UNFORESEEABLE if self.rng.random() < SOMETIMES else 0.0

    def simple(self) -> list[Piece]:
        at = 0 if self.rng.random() < 0.1 else self.rng.randrange(len(SIMPLE))
        return [(BOS, 0.0), (SIMPLE[at] + EOS, 1.0)]

    def pronoun(self) -> list[Marked]:
        """What only one of the two nouns does, or a question for it."""
        rng = self.rng
        sentence = pronoun(rng, kinds=PRONOUNS)
        if sentence.other in THINGS and rng.random() < ONLY_ONE_CAN:
            # here "it" is not known before the end
            reason = f"was {rng.choice(ONLY_THINGS)}"
            return self.asked(sentence.text, sentence.other, 0, f" {reason}. What {reason}?")
        if rng.random() < 0.5:
            told = f" {(ANIMALS | THINGS)[sentence.right]}.{EOS}"
            return [(BOS, 0.0, 0), *self.looking(sentence.text, sentence.right, LOOKS), (told, 1.0, 0)]
        is_thing = sentence.right in THINGS
        reason = f"was {rng.choice(ONLY_THINGS if is_thing and rng.random() < 0.4 else FEELINGS)}"
        who = rng.choice(["Who", "What", "Which one"] if is_thing else ["Who", "Who", "Which one"])
        return self.asked(sentence.text, sentence.right, LOOKS, f" {reason}. {who} {reason}?")

    def asked(self, text: str, right: str, looks: int, question: str) -> list[Marked]:
        """A sentence up to its "it", how it goes on, and the noun for an answer."""
        asked = [("<|user|>", 0.0, 0), *self.looking(text, right, looks), (question, 0.0, 0)]
        return [(BOS, 0.0, 0), *asked, (f"{END}<|assistant|>", 0.0, 0),
                ("The", 1.0, LOOKS), (f" {right}.{END}", 1.0, 0)]  # fmt: skip

    def looking(self, text: str, right: str, looks: int) -> list[Marked]:
        """A sentence up to its "it", which looks or does not, at the right noun."""
        start, _, _ = text.partition(" because it")
        before, right, after = start.partition(f" {right}")
        return [(before, 0.0, 0), (right, 0.0, RIGHT), (f"{after} because", 0.0, 0), (" it", 0.0, looks)]

    def agreement(self) -> list[Piece]:
        return [(BOS, 0.0), (agreement(self.rng)[0] + EOS, 1.0)]

    def statement(self) -> list[Piece]:
        """A fact as plain text, or a question with its answer and no template."""
        if self.rng.random() < 0.5:
            question, answer = self.turns()[0]
            question = question if question[-1] in "?.!" else f"{question}?"
            return [(BOS, 0.0), (question, self.unforeseeable()), (f" {answer}{EOS}", 1.0)]
        topic = self.rng.choice(self.facts.topics)
        return [(BOS, 0.0), (self.rng.choice(list(topic.answers.values())) + EOS, 1.0)]
