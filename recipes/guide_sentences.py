"""Simple sentences for the guide model: one likely word at a time, pronouns, subject-verb agreement.

In the pronoun sentences "it" always means one of two nouns, and only what stands before "it" says which:
the verb ("chased": the one who chases has the reason; "helped": the one who is helped has it), or which of
the two is alive. So neither the nearest noun nor the first one is a good guess.
"""

import random
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
THINGS = ["mat", "rug", "box", "bed", "chair", "table", "sofa", "blanket", "bench", "basket", "pillow",
          "roof", "wall", "log", "stone", "carpet", "cushion", "cart", "shelf", "barrel"]  # fmt: skip
ON_THING = ["sat on", "lay on", "slept on", "rested on", "stayed on"]
UNDER_ANIMAL = ["lay under", "was under", "stood under", "was kept under", "stayed under"]


def held_out(a: str, b: str) -> bool:
    """Noun pairs that training never shows together, in either order: one in five."""
    return int(sha1("-".join(sorted((a, b))).encode()).hexdigest(), 16) % 5 == 0


def pair(rng: random.Random, first: list[str], second: list[str], test: bool) -> tuple[str, str]:
    """Two different nouns that belong together in training, or (test) never stood together there."""
    while True:
        a, b = rng.choice(first), rng.choice(second)
        if a != b and ((a, b) == ("cat", "mat") or held_out(a, b)) == test:
            return a, b


def pronoun(rng: random.Random, test: bool = False) -> tuple[str, str, str, str]:
    """A sentence, the noun "it" stands for, the other noun, and what is said of "it"."""
    animals = list(ANIMALS)
    kind = rng.randrange(4)
    if kind < 2:
        a, b = pair(rng, animals, animals, test)
        verb = rng.choice(SUBJECT_VERBS if kind == 0 else OBJECT_VERBS)
        right, other, start = (
            (a, b, f"The {a} {verb} the {b}") if kind == 0 else (b, a, f"The {a} {verb} the {b}")
        )
    else:
        right, other = pair(rng, animals, THINGS, test)
        start = (
            f"The {right} {rng.choice(ON_THING)} the {other}"
            if kind == 2
            else f"The {other} {rng.choice(UNDER_ANIMAL)} the {right}"
        )
    reason = f"was {rng.choice(FEELINGS)}" if test or rng.random() < 0.5 else ANIMALS[right]
    return f"{start} because it {reason}.", right, other, reason


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
