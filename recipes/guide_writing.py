"""Writes the guide's documents with all cores, and encodes them."""

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from pellucid.errors import SourceError
from recipes.guide_corpus import Marked, Piece, Writer, plain, read_facts
from recipes.guide_exam import FILES, questions
from recipes.translate_data import read_pairs

CONTEXT = 512
SHARD = 10_000
"""Documents that one process writes at a time."""
STOP = set(
    "a all an and before end first few from how in is long need next of on one only open out small that the "
    "to up with".split()
)
"""Words of topics' names that say nothing about the subject."""
Encoded = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Documents end to end: ids, weights, and where each begins."""


def everyday_sentences(path: Path) -> list[str]:
    """The English sentences of fra-eng.zip, or a text file's lines. Raises SourceError for anything else."""
    if path.suffix == ".zip":
        found = [pair.english for pair in read_pairs(path)]
    else:
        try:
            found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(
                f"{path}: not a text file with a sentence a line, nor fra-eng.zip ({error})"
            ) from error
    return [sentence for sentence in dict.fromkeys(found) if sentence]


def everyday_questions(sentences: Iterable[str]) -> list[str]:
    """Those of the sentences that ask for something, but not the guide for itself or its subject."""
    topics = {
        word for topic in read_facts().topics for name, _ in topic.names for word in plain(name).split()
    }
    ours = topics - STOP | {"you", "your", "yours", "yourself", "youre"}
    asked = (sentence for sentence in sentences if sentence.endswith("?") and sentence.count(" ") > 2)
    return [sentence for sentence in dict.fromkeys(asked) if not ours & set(plain(sentence).split())]


def writer(seed: int | str, everyday: Sequence[str] = ()) -> Writer:
    """One that never asks a question of the examinations."""
    never = frozenset(plain(question) for file in FILES for question, _ in questions(file))
    return Writer(read_facts(), random.Random(seed), never, everyday)


def documents(count: int, seed: int | str, everyday: Sequence[str] = ()) -> list[list[Piece]]:
    """So many documents of the guide's text."""
    return list(islice(writer(seed, everyday).documents(), count))


def sentences(count: int, seed: int) -> list[list[Marked]]:
    """So many sentences with pronouns."""
    return list(islice(Writer(read_facts(), random.Random(seed)).sentences(), count))


def write_shard(tokenizer: Path, seed: int, everyday: Sequence[str], shard: int) -> Encoded:
    """Write and encode one shard of the documents."""
    return encode(Tokenizer.from_file(str(tokenizer)), documents(SHARD, f"{seed} {shard}", everyday))


def _all_cores() -> ProcessPoolExecutor:
    # a fork would take along the locks of torch's and tokenizers' threads
    return ProcessPoolExecutor(mp_context=get_context("spawn"))


def write(tokenizer: Path, count: int, seed: int, everyday: Sequence[str] = ()) -> Encoded:
    """About so many documents, encoded, in whole shards."""
    shards = range(-(-count // SHARD))
    with _all_cores() as writers:
        return joined(writers.map(partial(write_shard, tokenizer, seed, everyday), shards))


def first_words(seed: int, shards: int = 4) -> Iterator[str]:
    """The pieces of the first shards, to make a vocabulary from."""
    with _all_cores() as writers:
        for texts in writers.map(partial(documents, SHARD), (f"{seed} {shard}" for shard in range(shards))):
            yield from (piece for text in texts for piece, _ in text)


def encode(tokenizer: Tokenizer, texts: list[list[Piece]]) -> Encoded:
    """All documents end to end, each cut off at the context."""
    pieces = [piece for text in texts for piece, _ in text]
    encoded = iter(tokenizer.encode_batch_fast(pieces, add_special_tokens=False))
    ids: list[int] = []
    weights: list[float] = []
    starts = [0]
    for text in texts:
        for _, weight in text:
            found = next(encoded).ids
            ids += found
            weights += [weight] * len(found)
        del ids[starts[-1] + CONTEXT :], weights[starts[-1] + CONTEXT :]
        starts.append(len(ids))
    return np.array(ids, np.int32), np.array(weights, np.float32), np.array(starts)


def joined(shards: Iterable[Encoded]) -> Encoded:
    """Several lots of documents as one."""
    ids, weights, starts = zip(*shards, strict=True)
    begins = np.cumsum([0] + [len(lot) for lot in ids])
    return (
        np.concatenate(ids),
        np.concatenate(weights),
        np.concatenate([[0], *(lot[1:] + begin for lot, begin in zip(starts, begins, strict=False))]),
    )
