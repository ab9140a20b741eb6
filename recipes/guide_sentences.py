"""Simple sentences for the guide model: one likely word at a time, pronouns, subject-verb agreement.

In the pronoun sentences "it" always means one of two nouns, and only the verb before it says which
("chased": the one who chases has the reason; "helped": the one who is helped has it; "sat on": the one who
sits; "liked": what is liked). So neither the nearest noun nor the first one is a good guess, nor the one that
is alive.
"""

import random
from dataclasses import dataclass
from hashlib import sha1

SIMPLE = """The cat sat on the mat.
The dog slept on the rug.
The bird sang in the tree.
The fish swam in the pond.
The horse ran across the field.
The mouse hid in the hole.
The frog jumped into the water.
The cow ate the grass.
The duck swam on the lake.
The fox ran into the wood.
The bee flew to the flower.
The owl woke in the night.
The boy kicked the ball.
The girl read a book.
The man opened the door.
The woman closed the window.
The child ate an apple.
The baby cried all night.
The teacher asked a question.
The student wrote an answer.
The farmer milked the cow.
The baker made some bread.
The king wore a crown.
The queen lived in a castle.
The doctor helped the patient.
The driver stopped the car.
The sun rose in the east.
The moon shone at night.
The rain fell on the roof.
The wind blew through the trees.
The snow covered the ground.
The river flowed to the sea.
The train arrived on time.
The ship sailed across the sea.
The clock stood on the shelf.
The book lay on the table.
The old man sat on a bench.
The little girl smiled at her mother.
The children played in the garden.
The leaves fell from the trees.
A cat likes milk.
A dog likes bones.
Birds can fly.
Fish can swim.
The sky is blue.
The grass is green.
Snow is white.
Fire is hot.
Ice is cold.
One, two, three, four, five, six, seven, eight, nine, ten.
Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.
Once upon a time there was a small robot who wanted to read.
Hello world.
Attention is all you need.
Man bites dog.
Dog bites man.""".splitlines()

ANIMALS = {  # each with something only it does, so that the word after "it" depends on which animal "it" is
    "cat": "purred", "dog": "barked", "horse": "neighed", "cow": "mooed", "hen": "clucked", "lion": "roared",
    "wolf": "howled", "mouse": "squeaked", "pig": "grunted", "duck": "quacked", "bird": "sang",
    "frog": "croaked", "sheep": "bleated", "snake": "hissed", "bee": "buzzed", "owl": "hooted",
    "fox": "yelped", "bear": "growled", "rabbit": "hopped", "fish": "swam", "monkey": "climbed",
    "elephant": "trumpeted", "goat": "butted", "crow": "cawed", "donkey": "brayed", "rooster": "crowed",
    "cricket": "chirped", "camel": "spat", "kangaroo": "jumped", "eagle": "soared", "turtle": "crawled",
    "spider": "spun", "ant": "dug", "whale": "dived", "puppy": "whined", "goose": "honked",
    "parrot": "talked", "tiger": "prowled", "squirrel": "nibbled", "pony": "trotted",
}  # fmt: skip
SUBJECT_VERBS = ["chased", "followed", "hunted", "annoyed", "woke", "bit", "frightened", "attacked", "pushed"]
OBJECT_VERBS = ["helped", "feared", "fed", "comforted", "admired", "praised", "carried", "rescued", "avoided"]
FEELINGS = ["tired", "hungry", "cold", "thirsty", "sad", "happy", "angry", "sleepy", "lonely", "bored",
            "weak", "strong", "loud", "wild", "young", "old"]  # fmt: skip
THINGS = {  # likewise
    "mat": "frayed", "rug": "curled", "box": "opened", "bed": "creaked", "chair": "wobbled",
    "table": "tilted", "sofa": "sagged", "blanket": "tore", "bench": "broke", "basket": "split",
    "pillow": "burst", "roof": "leaked", "wall": "crumbled", "log": "rolled", "stone": "cracked",
    "carpet": "faded", "cushion": "flattened", "cart": "rattled", "shelf": "bent", "barrel": "spilled",
}  # fmt: skip
ONLY_THINGS = ["soft", "comfortable", "wide", "flat", "smooth", "cheap", "empty", "free", "made of wood",
               "thick", "broken", "painted"]  # fmt: skip
ON_THING = ["sat on", "lay on", "slept on", "rested on", "stayed on"]
UNDER_ANIMAL = ["lay under", "was under", "stood under", "was kept under", "stayed under"]
WANTS_THING = ["liked", "loved", "wanted", "chose", "left", "avoided", "admired", "cleaned", "bought"]
THING_DOES = ["pleased", "annoyed", "frightened", "warmed", "hid", "hurt", "suited", "covered", "attracted"]


ADJECTIVES = ["small", "big", "brown", "white", "black", "grey", "fat", "thin", "quick", "slow"]
BEFORE = ["One day", "At night", "In the morning", "Yesterday", "In summer", "Again", "Once"]
AFTER = ["in the garden", "in the field", "near the river", "behind the house", "all day", "for an hour",
         "in the rain", "on Sunday"]  # fmt: skip
TWO_ANIMALS, ANIMAL_AND_THING, THING_AND_ANIMAL = (0, 1), (2, 3), (4, 5)
"""Kinds of pronoun sentences: in the first of each pair the first noun is the right one, in the second the
nearest. In the last two the thing is right, said to be tired or not, so that it is always the verb that tells
and never which of the two is alive."""


def held_out(a: str, b: str) -> bool:
    """Noun pairs that training never shows together, in either order: one in five."""
    return int(sha1("-".join(sorted((a, b))).encode()).hexdigest(), 16) % 5 == 0


def pair(rng: random.Random, first: list[str], second: list[str], test: bool) -> tuple[str, str]:
    """Two different nouns that belong together in training, or (test) never stood together there."""
    while True:
        a, b = rng.choice(first), rng.choice(second)
        if a != b and ((a, b) == ("cat", "mat") or held_out(a, b)) == test:
            return a, b


@dataclass(frozen=True)
class Pronoun:
    """A sentence, the noun its "it" stands for, the other noun, and what is said of "it"."""

    text: str
    right: str
    other: str
    reason: str


def pronoun(
    rng: random.Random, test: bool = False, kinds: tuple[int, ...] = (*TWO_ANIMALS, *ANIMAL_AND_THING)
) -> Pronoun:
    """A sentence of one of the kinds."""
    kind = rng.choice(kinds)
    right, other = nouns(rng, kind, test)
    return written(rng, kind, right, other, f"was {rng.choice(FEELINGS)}", plain=test)


def exchanged(rng: random.Random, kinds: tuple[int, int]) -> tuple[Pronoun, Pronoun]:
    """Two sentences for testing: the same two nouns in exchanged places, "it" being the same one in both."""
    right, other = nouns(rng, kinds[0], test=True)
    reason = f"was {rng.choice(FEELINGS)}"
    return written(rng, kinds[0], right, other, reason), written(rng, kinds[1], right, other, reason)


def nouns(rng: random.Random, kind: int, test: bool) -> tuple[str, str]:
    """The right noun and the other one."""
    animal, other = pair(rng, list(ANIMALS), list(ANIMALS if kind in TWO_ANIMALS else THINGS), test)
    return (other, animal) if kind in THING_AND_ANIMAL else (animal, other)


def written(
    rng: random.Random, kind: int, right: str, other: str, reason: str, plain: bool = True
) -> Pronoun:
    """The sentence of a kind with these nouns; unless plain, other words may move them to other places."""
    verb = rng.choice((SUBJECT_VERBS, OBJECT_VERBS, ON_THING, UNDER_ANIMAL, THING_DOES, WANTS_THING)[kind])
    first, second = (right, other) if kind % 2 == 0 else (other, right)
    if plain or rng.random() < 0.3:
        return Pronoun(f"The {first} {verb} the {second} because it {reason}.", right, other, reason)

    def perhaps(words: list[str]) -> str:
        return rng.choice(words) + " " if rng.random() < 0.35 else ""

    text = f"{perhaps(BEFORE)}the {perhaps(ADJECTIVES)}{first} {verb} the {perhaps(ADJECTIVES)}{second} "
    text += f"{perhaps(AFTER)}because it {reason}."
    return Pronoun(text[0].upper() + text[1:], right, other, reason)


def agreement(rng: random.Random, test: bool = False) -> tuple[str, str, bool]:
    """A sentence whose verb agrees with its first noun, not with the nearer second one; whether plural."""
    nouns = [noun for noun in ANIMALS if noun not in ("mouse", "wolf", "sheep", "fish", "goose")]
    a, b = pair(rng, nouns, nouns, test)
    plural_a, plural_b = rng.random() < 0.5, rng.random() < 0.5
    place = rng.choice(["near", "behind", "beside", "next to", "in front of", "with"])
    start = f"The {many(a) if plural_a else a} {place} the {many(b) if plural_b else b}"
    return f"{start} {'are' if plural_a else 'is'} {rng.choice(FEELINGS)}.", start, plural_a


def many(noun: str) -> str:
    """The plural of a regular noun."""
    return (
        noun[:-1] + "ies"
        if noun.endswith("y") and noun[-2] not in "aeo"
        else noun + ("es" if noun.endswith("x") else "s")
    )
