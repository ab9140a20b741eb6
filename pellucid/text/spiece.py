"""Tokenizers published as one SentencePiece file: tokenizer.model (Llama, Mistral), spiece.model (T5)."""

from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from pellucid.errors import TokenizerError
from pellucid.text.sentencepiece_model import (
    SPACE,
    SentencePieceModel,
    add_pieces,
    read_sentencepiece,
    sentencepiece_backend,
)
from pellucid.text.tokenizer_config import SAVE_TOKENIZER_JSON, TokenizerConfig, damaged

T5_FAMILIES = ("t5", "mt5", "umt5", "longt5")


def read_tokenizer_model(folder: Path, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """tokenizer.model: a text begins with BOS unless the config says otherwise, as published."""
    path = folder / "tokenizer.model"
    model = read_sentencepiece(path)
    backend = built(path, model)
    if model.bos is not None:
        backend.post_processor = processors.TemplateProcessing(
            single=[model.bos, "$A"], special_tokens=[(model.bos, backend.token_to_id(model.bos))]
        )
    return backend


def read_spiece_model(folder: Path, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """spiece.model as T5 uses it: words cut at white space, `</s>` last, 100 sentinels after the pieces."""
    path = folder / "spiece.model"
    if config.kind not in T5_FAMILIES:
        raise TokenizerError(
            f"{folder}: no tokenizer.json, and how {config.kind!r} uses a spiece.model is not known; known "
            f"are {', '.join(T5_FAMILIES)}. {SAVE_TOKENIZER_JSON}"
        )
    model = read_sentencepiece(path)
    if not model.unigram or model.eos is None:
        raise damaged(path, "it holds no unigram pieces with an end-of-text piece, as T5's does")
    sentinels = [f"<extra_id_{i}>" for i in range(int(config.settings.get("extra_ids", 100)))]
    # the published ids count down: <extra_id_0> is the last
    scores = [(piece.text, piece.score) for piece in model.pieces] + [
        (text, 0.0) for text in reversed(sentinels)
    ]
    unigram = models.Unigram(scores, unk_id=model.unk_id, byte_fallback=model.byte_fallback)
    backend = tokenizers.Tokenizer(unigram)
    backend.normalizer = normalizers.Precompiled(model.charsmap) if model.charsmap else None
    metaspace = pre_tokenizers.Metaspace(SPACE, prepend_scheme="always", split=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), metaspace])
    backend.decoder = decoders.Metaspace(SPACE, prepend_scheme="always", split=True)
    add_pieces(backend, model)
    backend.add_special_tokens([tokenizers.AddedToken(text, normalized=False) for text in sentinels])
    backend.post_processor = processors.TemplateProcessing(
        single=["$A", model.eos],
        pair=["$A", model.eos, "$B", model.eos],
        special_tokens=[(model.eos, backend.token_to_id(model.eos))],
    )
    return backend


def built(path: Path, model: SentencePieceModel) -> tokenizers.Tokenizer:
    """A model's tokenizer; what the pieces do not allow is the file's fault."""
    try:
        return sentencepiece_backend(model)
    except Exception as error:  # the library raises bare Exception
        raise damaged(path, error) from error
