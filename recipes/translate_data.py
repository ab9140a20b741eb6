"""The English-French pairs: read, split as the examination is, and cut into pieces of words."""

import hashlib
import json
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from pellucid.errors import SourceError
from pellucid.training.pairs import PairBatch, Pairs, Ragged

BOS, EOS = "<s>", "</s>"
SPECIAL = [EOS, BOS]
LONGEST = 128
"""Tokens of a source or a target; a pair with more is left out."""
FURTHER = 0.3
"""How often a source's second, third ... translation is trained on, beside its first."""


GREETINGS = Path(__file__).with_name("translate_greetings.txt")
"""Pairs of this project's own, for the file has hardly a greeting, and hardly a sentence without its stop."""
GREETED = 30
"""How often an epoch has each of them."""


@dataclass(frozen=True)
class Pair:
    """A sentence and one translation of it."""

    english: str
    french: str
    first: bool
    """Whether it is the first translation of this sentence in the file."""


def read_pairs(path: Path) -> list[Pair]:
    """The lines `English<tab>French` of fra-eng.zip or fra.txt. Raises SourceError for any other file."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                text = archive.read("fra.txt").decode("utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        rows = [line.split("\t")[:2] for line in text.splitlines() if line]
        seen: set[str] = set()
        # set.add gives None, so `first` is whether it was not there yet
        pairs = [Pair(en, fr, not (en in seen or seen.add(en))) for en, fr in rows]  # type: ignore[func-returns-value]
    except (OSError, KeyError, UnicodeDecodeError, ValueError) as error:
        raise SourceError(
            f"{path}: not the English-French pairs ({error}); give fra-eng.zip, or the fra.txt in it, from "
            "http://www.manythings.org/anki/"
        ) from error
    return pairs


def split(pairs: list[Pair]) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Training, validation and test, by the English sentence alone, so that no sentence is in two."""
    shares: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for pair in pairs:
        number = int(hashlib.sha1(pair.english.lower().encode()).hexdigest(), 16) % 50
        shares[{0: 2, 1: 1}.get(number, 0)].append(pair)
    return shares


def byte_pairs(texts: list[str], size: int) -> Tokenizer:
    """One BPE vocabulary for both languages (Sennrich et al. 2016); what it lacks is written in bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Replace("\u2019", "'"),
            normalizers.Strip(),
        ]
    )
    # an elided article keeps its apostrophe ("l'", "qu'"), digits stand alone, and punctuation its blank
    pieces = Regex(r"▁?\p{L}+'?|▁?\p{N}|▁?[^\p{L}\p{N}▁]+|▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(split=False), pre_tokenizers.Split(pieces, "isolated")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))],
        min_frequency=3,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    parts = json.loads(tokenizer.to_str())
    # the bytes are pieces like any other: they are part of the text, and "<0x41>" in a text is no byte
    parts["added_tokens"] = [token for token in parts["added_tokens"] if token["content"] in SPECIAL]
    tokenizer = Tokenizer.from_str(json.dumps(parts))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, SPECIAL.index(EOS))]
    )
    return tokenizer


def encode(tokenizer: Tokenizer, pairs: list[Pair], tokens_per_step: int, seed: int) -> Pairs:
    """What a model trains on: a source ends with EOS, a target begins with BOS and ends with EOS."""
    bos, eos = SPECIAL.index(BOS), SPECIAL.index(EOS)

    def ids(texts: list[str]) -> list[list[int]]:
        return [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    sources = [[*found, eos] for found in ids([pair.english for pair in pairs])]
    targets = [[bos, *found, eos] for found in ids([pair.french for pair in pairs])]
    shares = np.array([1.0 if pair.first else FURTHER for pair in pairs])
    fits = [i for i in range(len(pairs)) if max(len(sources[i]), len(targets[i])) <= LONGEST]
    return Pairs(
        Ragged([sources[i] for i in fits]),
        Ragged([targets[i] for i in fits]),
        shares[fits],
        tokens_per_step,
        seed,
    )


def prepare(
    path: Path, folder: Path, vocab_size: int, tokens_per_step: int, seed: int
) -> tuple[Tokenizer, Pairs, list[PairBatch]]:
    """The vocabulary, made once and kept in the folder; what is trained on; and the validation share."""
    training, validation, _ = split(read_pairs(path))
    greetings, _, _ = split(read_pairs(GREETINGS))
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "tokenizer.json"
    if not kept.exists():
        texts = [text for pair in training for text in (pair.english, pair.french)]
        byte_pairs(texts, vocab_size).save(str(kept))
    tokenizer = Tokenizer.from_file(str(kept))
    held_out = encode(tokenizer, [pair for pair in validation if pair.first], 8000, 0)
    training += [replace(pair, first=True) for pair in greetings] * GREETED
    return tokenizer, encode(tokenizer, training, tokens_per_step, seed), held_out.all()
