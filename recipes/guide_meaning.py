"""What a question means, learned from a sentence encoder: its vector is guessed where the answer begins.

    python -m recipes.guide_meaning sentence-transformers/all-MiniLM-L6-v2 runs/meaning fra-eng.zip

writes the vectors of the guide's own questions and of the files' sentences, for `guide.py --meaning`.

The guide's text has too few words to say that "purpose" and "what for" are near; the answers teach it only
where both happen to ask for the same one. An encoder that has read a billion pairs of sentences knows. So
the state after a few layers, where an answer is about to begin, is trained to hold the encoder's vector of
what was asked (after Reimers & Gurevych 2020). And since most of a sentence's meaning is that of its words,
which layers are slow to find out, the words' own embeddings are trained so that a weighted mean of them says
it, too. What reads the meaning off serves training alone.

Letters: N sentences, T tokens, D hidden, E the encoder's vector.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from tqdm import tqdm

from pellucid import LLM
from pellucid.errors import SourceError
from pellucid.kernels import torch_ops
from pellucid.layers.context import DenseContext
from pellucid.models.decoder import Decoder
from pellucid.training import Batch, Documents
from pellucid.training.loss import Task
from recipes.guide_corpus import BOS, END, Writer
from recipes.guide_pronouns import Lesson, Lessons
from recipes.guide_wording import Wording
from recipes.guide_writing import encode, everyday_sentences, writer
from recipes.recipe_arguments import recipe_parser

LAYERS = 4
"""How many layers have read a question before its meaning is asked for; the others find the answer."""
COUNTS = 4.0
"""How much one question's meaning counts, beside 1 for a token of the text."""
BAGS = 8
"""How many times as many sentences a step are read as mere bags of words, which costs little."""
WORDINGS = 3
"""How many times one of the guide's own questions is read, each time roughened anew."""
OF_TOPICS = 25_000
"""Questions for topics that are drawn, beside all that are written out."""
AT_ONCE = 4096
"""Sentences that the encoder is given at a time."""


@dataclass(frozen=True)
class Meant:
    """Questions, each up to where its answer begins, and the vectors of what they mean."""

    asked: Batch
    vectors_NE: Tensor

    @property
    def tokens(self) -> int:
        return self.asked.tokens

    def to(self, device: torch.device) -> "Meant":
        """The same on a device."""
        return Meant(self.asked.to(device), self.vectors_NE.to(device))


@dataclass(frozen=True)
class Meanings:
    """Questions of so many tokens a step, and a vector for each."""

    asked: Documents
    vectors_NE: np.ndarray

    def of_tokens(self, tokens: int) -> "Meanings":
        """The same in another order, and so many tokens a step."""
        asked = self.asked
        others = Documents(asked.ids, asked.weights, asked.starts, tokens, asked.seed + 1)
        return Meanings(others, self.vectors_NE)

    def parts(self, step: int, count: int) -> Sequence[Meant]:
        chosen, batches = self.asked.chosen(step), self.asked.parts(step, count)
        return [
            Meant(batch, torch.from_numpy(self.vectors_NE[chosen[part::count]].astype(np.float32)))
            for part, batch in enumerate(batches)
        ]


@dataclass(frozen=True)
class Understood:
    """What one step trains on: a lesson, and what questions mean."""

    lesson: Lesson
    meant: Meant | None = None
    bags: Meant | None = None
    """None, both: the lesson alone, as it is measured."""

    @property
    def weights_T(self) -> Tensor:
        return self.lesson.weights_T

    @property
    def tokens(self) -> int:
        return self.lesson.tokens + (self.meant.tokens if self.meant else 0)

    def to(self, device: torch.device) -> "Understood":
        """The same on a device."""
        meant, bags = (part and part.to(device) for part in (self.meant, self.bags))
        return Understood(self.lesson.to(device), meant, bags)


@dataclass(frozen=True)
class LessonsAndMeanings:
    """Lessons and meanings side by side."""

    lessons: Lessons
    meanings: Meanings
    bags: Meanings

    def parts(self, step: int, count: int) -> Sequence[Understood]:
        sources = (self.lessons, self.meanings, self.bags)
        return list(map(Understood, *(source.parts(step, count) for source in sources)))


class Student(nn.Module):
    """A decoder, and what reads an encoder's vector off its residual stream, or off its embeddings."""

    def __init__(self, model: Decoder, vector: int) -> None:
        super().__init__()
        D = model.config.hidden_size
        self.model = model
        self.norm, self.proj = nn.RMSNorm(D), nn.Linear(D, vector)
        self.word_weight, self.word_proj = nn.Linear(D, 1), nn.Linear(D, vector)

    def meanings(self, batch: Batch) -> Tensor:
        """What it takes each sequence to mean, read at its last token, `[N, E]`."""
        ctx = DenseContext(batch.lengths, torch_ops, device=batch.ids_T.device)
        x_TD = self.model.embed_tokens(batch.ids_T, ctx)
        for block in list(self.model.blocks)[:LAYERS]:
            x_TD = block(x_TD, ctx)
        last_N = torch.tensor(batch.lengths, device=x_TD.device).cumsum(0) - 1
        found_NE: Tensor = self.proj(self.norm(x_TD[last_N]))
        return found_NE

    def of_words(self, batch: Batch) -> Tensor:
        """What each sequence means as a bag of words: their embeddings' weighted mean, `[N, E]`."""
        x_TD = nn.functional.rms_norm(
            self.model.embed_tokens.weight[batch.ids_T], self.model.embed_tokens.weight.shape[1:]
        )
        lengths_N = torch.tensor(batch.lengths, device=x_TD.device)
        of_T = torch.repeat_interleave(torch.arange(len(lengths_N), device=x_TD.device), lengths_N)
        weight_T1 = torch.exp(self.word_weight(x_TD).float().clamp(-6, 6))
        sums = torch.zeros(len(lengths_N), x_TD.shape[1] + 1, device=x_TD.device)
        sums = sums.index_add(0, of_T, torch.cat([weight_T1 * x_TD, weight_T1], 1))
        found_NE: Tensor = self.word_proj(sums[:, :-1] / sums[:, -1:])
        return found_NE


class AndMeaning:
    """Another task, and beside it to say what questions mean."""

    def __init__(self, task: Task[Lesson]) -> None:
        self.task = task

    def loss(self, model: nn.Module, batch: Understood, generator: torch.Generator | None) -> Tensor:
        assert isinstance(model, Student)
        said = self.task.loss(model.model, batch.lesson, generator)
        if batch.meant and batch.bags:
            said = said + COUNTS * misunderstood(model.meanings(batch.meant.asked), batch.meant)
            said = said + misunderstood(model.of_words(batch.bags.asked), batch.bags)
        return said


def misunderstood(found_NE: Tensor, batch: Meant) -> Tensor:
    """One minus the cosine between what is understood and what was meant, summed over the questions."""
    return (1 - nn.functional.cosine_similarity(found_NE.float(), batch.vectors_NE)).sum()


# -- making the vectors ---------------------------------------------------------------------------------


def own_sentences(writer: Writer) -> list[str]:
    """The guide's questions, one of each choice, and its answers."""
    facts, rng = writer.facts, writer.rng
    asked = [writer.wording.chosen(form).strip() for forms, _ in facts.asked for form in forms]
    for topic in rng.choices(facts.topics, k=OF_TOPICS):
        asked.append(writer.about(topic, rng.choice(list(topic.answers))))
    kept = [question for question in asked if not writer.never.betrayed(question)]
    return list(dict.fromkeys(chain(kept, facts.every_answer())))


def read_meanings(folder: Path, tokenizer: Tokenizer, tokens: int, seed: int) -> Meanings:
    """What `main` wrote, as questions of so many tokens a step, each as people may type it.

    Raises SourceError for a folder without them.
    """
    try:
        texts = json.loads((folder / "sentences.json").read_text())
        vectors_NE = np.load(folder / "vectors.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{folder}: no sentences and vectors ({error}); python -m recipes.guide_meaning writes them"
        ) from error
    wording = Wording(random.Random(seed))
    drawn = [(row, wording.rough(text)) for row, text in enumerate(texts["own"]) for _ in range(WORDINGS)]
    drawn += [(row, wording.typed(text)) for row, text in enumerate(texts["others"], len(texts["own"]))]
    # a token's target is the next one, so the last is there only to be nobody's
    asked = [
        [(BOS, 0.0), ("<|user|>", 0.0), (text, 0.0), (f"{END}<|assistant|>", 0.0), (END, 0.0)]
        for _, text in drawn
    ]
    rows = np.array([row for row, _ in drawn])
    return Meanings(Documents(*encode(tokenizer, asked), tokens, seed), vectors_NE[rows])


def main() -> None:
    parser = recipe_parser(__doc__)
    parser.add_argument("encoder", help="a sentence encoder: a folder, or a name on the hub")
    parser.add_argument("folder", type=Path, help="where to write sentences.json and vectors.npy")
    parser.add_argument(
        "sentences", type=Path, nargs="*", help="fra-eng.zip, or files with a sentence a line"
    )
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    own = own_sentences(writer("meanings"))
    others = list(dict.fromkeys(chain.from_iterable(map(everyday_sentences, args.sentences))))
    encoder = LLM(args.encoder)
    texts = own + others
    lots = tqdm(range(0, len(texts), AT_ONCE), unit="lot")
    rows = [out.outputs.embedding for at in lots for out in encoder.embed(texts[at : at + AT_ONCE])]
    np.save(args.folder / "vectors.npy", np.array(rows, np.float16))
    (args.folder / "sentences.json").write_text(json.dumps({"own": own, "others": others}))


if __name__ == "__main__":
    main()
