"""What a SentencePiece model file holds, and the tokenizer it makes.

Kudo and Richardson 2018. Llama, Mistral and Gemma publish one as tokenizer.model (BPE with byte fallback), T5
as spiece.model (unigram); GGUF files hold the same pieces and scores as metadata.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, decoders, models, normalizers

from pellucid.errors import TokenizerError
from pellucid.text.tokenizer_config import damaged

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(
    1, 7
)  # the kinds of pieces, as the file numbers them


@dataclass(frozen=True)
class Piece:
    """One entry of the vocabulary: its text, its log-probability or merge rank, its kind."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True)
class SentencePieceModel:
    """The pieces of a model and how text is prepared for them."""

    pieces: tuple[Piece, ...]
    unigram: bool  # else BPE
    unk_id: int
    byte_fallback: bool
    charsmap: bytes = b""  # the compiled normalisation, e.g. NFKC
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = False
    bos: str | None = None
    eos: str | None = None


def read_sentencepiece(path: Path) -> SentencePieceModel:
    """Reads a SentencePiece model file. Raises TokenizerError where it is none."""
    schema: Any = sentencepiece_model_pb2
    proto = schema.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        raise damaged(path, f"it is no SentencePiece model ({error})") from error
    trainer, normalizer = proto.trainer_spec, proto.normalizer_spec
    if not proto.pieces or trainer.model_type not in (1, 2) or trainer.treat_whitespace_as_suffix:
        raise damaged(path, "it holds no unigram or BPE pieces of the kind published checkpoints use")
    name = {id: piece.piece for id, piece in enumerate(proto.pieces)}
    return SentencePieceModel(
        pieces=tuple(Piece(piece.piece, piece.score, piece.type) for piece in proto.pieces),
        unigram=trainer.model_type == 1,
        unk_id=trainer.unk_id,
        byte_fallback=trainer.byte_fallback,
        charsmap=normalizer.precompiled_charsmap,
        add_dummy_prefix=normalizer.add_dummy_prefix,
        remove_extra_whitespaces=normalizer.remove_extra_whitespaces,
        bos=name.get(trainer.bos_id),
        eos=name.get(trainer.eos_id),
    )


def sentencepiece_backend(model: SentencePieceModel) -> tokenizers.Tokenizer:
    """The tokenizer a model makes, with its control tokens special and its user-defined ones kept whole."""
    backend = tokenizers.Tokenizer(segmenter(model))
    steps: list[normalizers.Normalizer] = []
    if model.charsmap:
        steps.append(normalizers.Precompiled(model.charsmap))
    if model.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    backend.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", SPACE)])
    ends = [decoders.Strip(" ", 1, 0)] if model.add_dummy_prefix or model.remove_extra_whitespaces else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse(), *ends]
    )
    add_pieces(backend, model)
    return backend


def add_pieces(backend: tokenizers.Tokenizer, model: SentencePieceModel) -> None:
    """Makes control pieces and the unknown one special tokens; user-defined ones are never cut."""
    for id, piece in enumerate(model.pieces):
        if piece.kind == CONTROL or id == model.unk_id:
            backend.add_special_tokens([tokenizers.AddedToken(piece.text, normalized=False, special=True)])
        elif piece.kind == USER_DEFINED:
            backend.add_tokens([tokenizers.AddedToken(piece.text, normalized=False)])


def segmenter(model: SentencePieceModel) -> models.Model:
    """The model proper: unigram log-probabilities, or BPE with the merges that the scores imply."""
    vocab = {piece.text: id for id, piece in enumerate(model.pieces)}
    if len(vocab) != len(model.pieces):
        raise TokenizerError(f"{len(model.pieces) - len(vocab)} pieces of the vocabulary occur twice")
    if model.unigram:
        scores = [(piece.text, piece.score) for piece in model.pieces]
        return models.Unigram(scores, unk_id=model.unk_id, byte_fallback=model.byte_fallback)
    return models.BPE(
        vocab=vocab,
        merges=merges_of(model.pieces),
        unk_token=model.pieces[model.unk_id].text,
        fuse_unk=True,
        byte_fallback=model.byte_fallback,
    )


def merges_of(pieces: tuple[Piece, ...]) -> list[tuple[str, str]]:
    """The merges that SentencePiece's BPE makes, best first: two pieces join wherever the result is a piece,
    the highest score first. Ties stand as in published tokenizer.json files made from such models."""
    ids = {piece.text: id for id, piece in enumerate(pieces) if piece.kind in (NORMAL, UNUSED)}
    found = []
    for text in ids:
        score = pieces[ids[text]].score
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in ids and right in ids:
                found.append((-score, ids[text], ids[left], ids[right], left, right))
    return [(left, right) for *_, left, right in sorted(found)]
