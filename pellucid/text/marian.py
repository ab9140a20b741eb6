"""Marian's tokenizer: two SentencePiece models (source.spm, target.spm) over one vocab.json.

Junczys-Dowmunt et al. 2018; published as the OPUS-MT translators. The models only cut text into pieces; ids
are the vocabulary's own, and a piece that it lacks is `<unk>`. A text may start with the language to
translate into (`>>fr<<`).
"""

import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path

import sentencepiece

from pellucid.text.decoding import Step, StripEnds
from pellucid.text.sentencepiece_model import SPACE
from pellucid.text.tokenizer_config import damaged, read_json

LANGUAGE = re.compile(r">>.*?<<", re.DOTALL)


class MarianCodec:
    """A `Codec` over Marian's files; special tokens in a text are plain text, as published."""

    def __init__(self, vocab: Mapping[str, int], source: sentencepiece.SentencePieceProcessor) -> None:
        self._vocab = vocab
        self._source = source
        self._tokens = {id: token for token, id in vocab.items()}
        self._special = {token: vocab[token] for token in ("<unk>", "</s>", "<pad>") if token in vocab}

    @property
    def size(self) -> int:
        return max(self._tokens) + 1

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset(self._special.values())

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        pieces: list[str] = []
        for part in re.split(r"(</s>|<unk>|<pad>)", text):
            if part in self._special:
                pieces.append(part)
            elif part:
                language = LANGUAGE.match(part)
                rest = part[language.end() :] if language else part
                pieces += [
                    *([language.group()] if language else []),
                    *self._source.encode(rest, out_type=str),
                ]
        ids = [self._vocab.get(piece, self._vocab["<unk>"]) for piece in pieces]
        return [*ids, self._vocab["</s>"]] if add_special_tokens else ids

    def token(self, id: int) -> str | None:
        return self._tokens.get(id)

    def id(self, token: str) -> int | None:
        return self._vocab.get(token)

    def steps(self) -> list[Step]:
        return [Words(self._special), StripEnds(" ", start=10**9, stop=10**9)]

    def piece(self, token: str) -> str:
        return token.replace(SPACE, " ")


class Words:
    """Marian's decoding: a special token is followed by one space, whatever the next piece begins with."""

    def __init__(self, special: Container[str]) -> None:
        self._special = special
        self._after_special = False

    def feed(self, piece: str) -> Sequence[str]:
        if piece in self._special:
            self._after_special = True
            return (piece + " ",)
        text = piece.removeprefix(SPACE) if self._after_special else piece
        self._after_special = self._after_special and not text
        return (text.replace(SPACE, " "),)

    def finish(self) -> Sequence[str]:
        return ()


def read_marian(folder: Path) -> MarianCodec:
    """source.spm + target.spm + vocab.json, for text in the source language."""
    vocab = read_json(folder / "vocab.json")
    if not {"<unk>", "</s>"} <= vocab.keys() or not all(isinstance(id, int) for id in vocab.values()):
        raise damaged(folder / "vocab.json", "it is no map of pieces to ids with <unk> and </s> among them")
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.Load(str(folder / "source.spm"))
    except (OSError, RuntimeError) as error:
        raise damaged(folder / "source.spm", f"it is no SentencePiece model ({error})") from error
    return MarianCodec(vocab, processor)
