"""Makes many wordings of one: choices taken, words exchanged, and the roughness of what people type."""

import random
import re
from pathlib import Path

from recipes import guide_phrases as phrases

CHOICE = re.compile(r"\[([^\[\]]*)\]")
LONGEST = 4
"""Words in the longest phrase of the thesaurus that is looked for."""


def thesaurus() -> dict[str, list[str]]:
    """For each word or phrase, those that may stand for it."""
    found: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("guide_thesaurus.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            group = [part.strip() for part in line.split(" | ")]
            for part in group:
                found.setdefault(part, []).extend(other for other in group if other != part)
    return found


THESAURUS = thesaurus()


SHORT = 3
"""Words up to which a question bears no strange ones."""


class Wording:
    """Changes how a question is put; everything drawn comes from one generator."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def chosen(self, text: str) -> str:
        """The text with one of each `[one/another]`, the inner ones first."""
        while found := CHOICE.search(text):
            one = self.rng.choice(found[1].split("/"))
            text = text[: found.start()] + one + text[found.end() :]
        return re.sub(r" +", " ", text)

    def rough(self, text: str, keep: str = "") -> str:
        """As people type: other words, a greeting, a word too many, no mark, a slip. `keep` stays whole."""
        rng = self.rng
        short = text.count(" ") < SHORT
        if rng.random() < 0.7:
            text = self.exchanged(text, keep, rng.choice([0.08, 0.2, 0.35]))
        while not short and rng.random() < 0.2:
            text = self.disturbed(text, keep)
        if rng.random() < 0.2:
            before = self.chosen(rng.choice(phrases.BEFORE)).strip() + " "
            text = before + (text[0].lower() + text[1:] if text[:2] in phrases.LOWER else text)
        if rng.random() < 0.1 and text[-1] in "?.":
            text = text[:-1] + self.chosen(rng.choice(phrases.AFTER)) + text[-1]
        return self.typed(text)

    def typed(self, text: str) -> str:
        """Without capitals, without the mark at the end, with a slip of the finger."""
        rng = self.rng
        if rng.random() < 0.3:
            text = text.lower()
        elif rng.random() < 0.06:
            text = self.capital(text)
        if rng.random() < 0.3:
            text = text.rstrip("?.!")
        if rng.random() < 0.08 and len(text) > 12:
            text = self.slip(text)
        return text

    def exchanged(self, text: str, keep: str, share: float) -> str:
        """With about so many of the words that the thesaurus knows exchanged for others."""
        words, kept = text.split(" "), set(keep.lower().split())
        said: list[str] = []
        at = 0
        while at < len(words):
            length, others = self.found(words, at, kept)
            if others and self.rng.random() < share:
                last = words[at + length - 1]
                mark = last[len(last.rstrip("?.!,:;")) :]
                other = self.rng.choice(others)
                said.append((other[0].upper() + other[1:] if words[at][0].isupper() else other) + mark)
                at += length
            else:
                said.append(words[at])
                at += 1
        return " ".join(said)

    def found(self, words: list[str], at: int, kept: set[str]) -> tuple[int, list[str]]:
        """The longest known phrase that begins here: how many words it has, and what may replace them."""
        for length in range(min(LONGEST, len(words) - at), 0, -1):
            phrase = [word.lower() for word in words[at : at + length]]
            phrase[-1] = phrase[-1].rstrip("?.!,:;")
            others = THESAURUS.get(" ".join(phrase), [])
            if others and not kept & set(phrase):
                return length, others
        return 1, []

    def disturbed(self, text: str, keep: str) -> str:
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

    def capital(self, text: str) -> str:
        """One word with a capital."""
        words = text.split(" ")
        at = self.rng.randrange(len(words))
        words[at] = words[at][:1].upper() + words[at][1:]
        return " ".join(words)

    def slip(self, text: str) -> str:
        """One letter left out, doubled or exchanged with the next."""
        at = self.rng.randrange(3, len(text) - 2)
        kind = self.rng.randrange(3)
        if kind == 0:
            return text[:at] + text[at + 1 :]
        if kind == 1:
            return text[:at] + text[at] + text[at:]
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
