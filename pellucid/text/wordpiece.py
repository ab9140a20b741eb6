"""WordPiece from a list of tokens: BERT's vocab.txt."""

from collections.abc import Mapping
from pathlib import Path

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from pellucid.errors import TokenizerError
from pellucid.text.tokenizer_config import SAVE_TOKENIZER_JSON, TokenizerConfig, damaged

FAMILIES = ("bert", "distilbert", "electra", "mobilebert", "nomic_bert", "convbert")


def wordpiece(
    vocab: Mapping[str, int],
    lower: bool | None = None,
    chinese: bool = True,
    strip_accents: bool | None = None,
    roles: Mapping[str, str] | None = None,
) -> tokenizers.Tokenizer:
    """A BERT tokenizer (Devlin et al. 2018). `lower` left open is decided by the vocabulary: a cased one has
    capitals. `strip_accents` left open follows `lower`, as in the original."""
    unk, cls, sep = ((roles or {}).get(role, default) for role, default in SPECIAL)
    missing = [token for token in (unk, cls, sep) if token not in vocab]
    if missing:
        raise TokenizerError(
            f"the vocabulary lacks {' and '.join(missing)}, which every text needs: not BERT's?"
        )
    backend = tokenizers.Tokenizer(models.WordPiece(vocab=dict(vocab), unk_token=unk))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=chinese,
        strip_accents=strip_accents,
        lowercase=is_uncased(vocab) if lower is None else lower,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.post_processor = processors.TemplateProcessing(
        single=[cls, "$A", sep],
        pair=[cls, "$A", sep, "$B:1", f"{sep}:1"],
        special_tokens=[(token, vocab[token]) for token in (cls, sep)],
    )
    return backend


SPECIAL = (("unk_token", "[UNK]"), ("cls_token", "[CLS]"), ("sep_token", "[SEP]"))


def is_uncased(vocab: Mapping[str, int]) -> bool:
    """Whether a vocabulary has no capitals outside its special tokens ([CLS], [unused0])."""
    return all(token == token.lower() for token in vocab if not token.startswith("["))


def read_wordpiece(folder: Path, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """vocab.txt, a token a line, with what tokenizer_config.json says about case, accents and Chinese."""
    if config.kind not in FAMILIES:
        raise TokenizerError(
            f"{folder}: no tokenizer.json, and how {config.kind!r} uses a vocab.txt is not known; known are "
            f"{', '.join(FAMILIES)}. {SAVE_TOKENIZER_JSON}"
        )
    path = folder / "vocab.txt"
    try:
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error
    try:
        return wordpiece(
            {line.rstrip(): id for id, line in enumerate(lines)},
            lower=config.settings.get("do_lower_case"),
            chinese=bool(config.settings.get("tokenize_chinese_chars", True)),
            strip_accents=config.settings.get("strip_accents"),
            roles={role: token.content for role, token in config.special.items()},
        )
    except TokenizerError as error:
        raise damaged(path, error) from error
