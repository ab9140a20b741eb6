"""What the guide model is taught, read from `guide_text`: topics, answers, and ways to ask for them.

`[name; other name; plural name+]` begins a topic; its lines `what:`, `why:`, `how:`, `ex:` are the answers.
`~ name: alias | plural alias+` adds ways to speak of it without its name, "the pieces a text is cut into".
`? question | in other words | ...`, on one or several lines, with a line `= answer` is a question of its own
(`= @name` and `= @name.why` give a topic's answer), and `(names | names)` with `= answer` a comparison.
In questions and aliases `[one/another/]` is a choice, here with nothing as the third.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path

TEXT = Path(__file__).parent / "guide_text"
ENOUGH, MOST = 6, 0.65
"""Different words a question must have, and the share in common above which another is nearly the same."""
Name = tuple[str, bool]
"""A name and whether it is a plural."""


@dataclass
class Topic:
    """One subject: how people call it, and what there is to say about it."""

    names: list[Name]
    answers: dict[str, str] = field(default_factory=dict)
    aliases: list[Name] = field(default_factory=list)


@dataclass
class Facts:
    """Everything in `guide_text`."""

    topics: list[Topic] = field(default_factory=list)
    asked: list[tuple[list[str], str]] = field(default_factory=list)
    compared: list[tuple[list[str], list[str], str]] = field(default_factory=list)

    def every_answer(self) -> list[str]:
        """Each answer once."""
        found = [answer for topic in self.topics for answer in topic.answers.values()]
        found += [answer for _, answer in self.asked] + [answer for *_, answer in self.compared]
        return list(dict.fromkeys(found))


def names(text: str, separator: str = ";") -> list[Name]:
    """Names and whether each is a plural, as `a; b; cs+` writes them."""
    return [
        (name.strip().removesuffix("+"), name.strip().endswith("+"))
        for name in text.split(separator)
        if name.strip()
    ]


def read_facts() -> Facts:
    """Read `guide_text/*.txt`."""
    facts = Facts()
    aliases: list[tuple[str, list[Name]]] = []
    pending: list[str] | tuple[list[str], list[str]] = []
    for path in sorted(TEXT.glob("*.txt")):
        for line in path.read_text().splitlines():
            if line.startswith("["):
                facts.topics.append(Topic(names(line.strip("[]"))))
            elif line.startswith("~"):
                name, _, others = line[1:].partition(":")
                aliases.append((name.strip(), names(others, " | ")))
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
    for name, others in aliases:
        known[name].aliases += others
    return facts


def referred(answer: str, known: dict[str, Topic]) -> str:
    """The answer itself, or the one that `@name.aspect` refers to."""
    if not answer.startswith("@"):
        return answer
    name, _, aspect = answer[1:].partition(".")
    return known[name].answers[aspect or "what"]


def beginnings(answers: list[str], more: int = 3) -> dict[str, str]:
    """As much of each answer as tells it from all others, and some words more."""
    found = {}
    ordered = sorted(answers)
    for at, answer in enumerate(ordered):
        words = answer.split(" ")
        same = max(
            common(words, other.split(" ")) for other in ordered[max(at - 1, 0) : at + 2] if other != answer
        )
        found[answer] = " ".join(words[: same + 1 + more])
    return found


def common(one: list[str], other: list[str]) -> int:
    """How many words two lists begin with alike."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def plain(text: str) -> str:
    """A question without its case and punctuation: what counts as the same question."""
    return re.sub(r"[^a-z0-9 ]+", "", text.lower().replace("-", " ")).strip()


@dataclass(frozen=True)
class Secret:
    """Questions that must not be written, nor others in nearly the same words: those of the examinations."""

    questions: frozenset[str] = frozenset()

    @cached_property
    def by_rare_word(self) -> dict[str, list[frozenset[str]]]:
        """The different words of those that have enough of them to be recognised by, found under the rarest
        of them: so many that a question without any of these shares too few."""
        long = [words for q in self.questions if len(words := frozenset(q.split())) >= ENOUGH]
        count = Counter(chain.from_iterable(long))
        found: dict[str, list[frozenset[str]]] = {}
        for words in long:
            for word in sorted(words, key=lambda w: (count[w], w))[: int((1 - MOST) * len(words)) + 1]:
                found.setdefault(word, []).append(words)
        return found

    def betrayed(self, question: str) -> bool:
        """Whether a question is one of them or shares most of its words with one."""
        asked = plain(question)
        words = frozenset(asked.split())
        return asked in self.questions or any(
            len(words & secret) > MOST * len(words | secret)
            for word in words
            for secret in self.by_rare_word.get(word, ())
        )
