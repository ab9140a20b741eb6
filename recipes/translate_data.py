"""The English-French pairs: read, split as the examination is, and cut into pieces of words."""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from pellucid.errors import SourceError

BOS, EOS = "<s>", "</s>"
SPECIAL = [EOS, BOS]


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
