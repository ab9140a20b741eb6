"""Opens a folder's tokenizer, whatever published format it is in."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import tokenizers
from tokenizers import processors

from pellucid.errors import TokenizerError
from pellucid.text.byte_bpe import read_byte_bpe
from pellucid.text.chat_files import read_chat_template
from pellucid.text.fast_codec import FastCodec
from pellucid.text.marian import read_marian
from pellucid.text.spiece import read_spiece_model, read_tokenizer_model
from pellucid.text.times import add_times
from pellucid.text.tokenizer import Tokenizer
from pellucid.text.tokenizer_config import (
    DEFAULTS,
    TokenizerConfig,
    damaged,
    read_tokenizer_config,
)
from pellucid.text.wordpiece import read_wordpiece

Build = Callable[[Path, TokenizerConfig], tokenizers.Tokenizer]


def read_tokenizer_json(folder: Path, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """tokenizer.json, which says everything itself."""
    path = folder / "tokenizer.json"
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for whatever it does not understand
        raise damaged(path, error) from error


MARIAN = ("source.spm", "target.spm", "vocab.json")
# The first whose files are all there is taken; a folder that does not say its kind is taken for this one.
FORMATS: list[tuple[tuple[str, ...], Build, str]] = [
    (("tokenizer.json",), read_tokenizer_json, ""),
    (("tokenizer.model",), read_tokenizer_model, "llama"),
    (("spiece.model",), read_spiece_model, "t5"),
    (("vocab.json", "merges.txt"), read_byte_bpe, "gpt2"),
    (("encoder.json", "vocab.bpe"), read_byte_bpe, "gpt2"),
    (("vocab.txt",), read_wordpiece, "bert"),
]


def load_tokenizer(folder: str | Path, model_vocab_size: int | None = None) -> Tokenizer:
    """The tokenizer of a checkpoint's folder, with its special tokens and chat template.

    `model_vocab_size` is the number of rows of the embedding, for ids beyond the tokenizer's own; where it is
    not given, config.json's is taken. Raises TokenizerError where there is no tokenizer or it is damaged.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TokenizerError(f"there is no folder {folder}: give the folder that holds the tokenizer's files")
    config = read_tokenizer_config(folder)
    rows = model_vocab_size or config.model_vocab_size
    if all((folder / name).is_file() for name in MARIAN):
        return assemble_marian(folder, config, rows)
    for files, build, kind in FORMATS:
        if all((folder / name).is_file() for name in files):
            config = config if config.kind else replace(config, kind=kind)
            backend = build(folder, config)
            if files != ("tokenizer.json",):  # which says itself what stands around a text
                add_bos_eos(backend, config)
            return assemble(backend, config, str(folder), rows)
    found = sorted(path.name for path in folder.iterdir())[:20]
    raise TokenizerError(
        f"{folder} holds no tokenizer. Any of these is one: "
        + "; ".join(" + ".join(files) for files in (*(files for files, *_ in FORMATS), MARIAN))
        + f". The folder holds: {', '.join(found) or 'nothing'}. "
        "Put the tokenizer's files beside the weights, or give ids and skip_tokenizer_init=True"
    )


def assemble(
    backend: tokenizers.Tokenizer, config: TokenizerConfig, source: str, model_vocab_size: int | None
) -> Tokenizer:
    """A tokenizer from its vocabulary and what the files around it say."""
    special = add_special_tokens(backend, config)
    times = add_times(backend) if config.kind == "whisper" else frozenset[int]()
    codec = FastCodec(backend)
    asked = bool(config.settings.get("clean_up_tokenization_spaces", False))
    return Tokenizer(
        codec,
        special_tokens=special,
        chat_template=read_chat_template(config, special),
        # for BPE the published implementation takes no notice: its spaces are the text's own
        clean_up=asked and not isinstance(backend.model, tokenizers.models.BPE),
        model_vocab_size=model_vocab_size,
        source=source,
        times=times,
    )


def assemble_marian(folder: Path, config: TokenizerConfig, model_vocab_size: int | None) -> Tokenizer:
    """Marian's tokenizer, whose codec is its own."""
    special = {**DEFAULTS["marian"], **{role: token.content for role, token in config.special.items()}}
    return Tokenizer(
        read_marian(folder),
        special,
        read_chat_template(config, special),
        False,
        model_vocab_size,
        str(folder),
    )


def add_special_tokens(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> Mapping[str, str]:
    """Makes the backend know every token the config adds; gives the special ones by role."""
    present = {repr(token) for token in backend.get_added_tokens_decoder().values()}
    backend.add_tokens([token for token in config.added.values() if repr(token) not in present])
    special = {role: token.content for role, token in config.special.items()}
    for role, text in DEFAULTS.get(config.kind, {}).items():
        if role not in config.settings and backend.token_to_id(text) is not None:
            special.setdefault(role, text)
    # where the vocabulary file already holds a special token, it knows best how that token matches
    known = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    plain = [tokenizers.AddedToken(text, normalized=False) for text in special.values()]
    named = {token.content: token for token in [*plain, *config.special.values(), *config.extra_special]}
    backend.add_special_tokens([token for text, token in named.items() if text not in known])
    return special


def add_bos_eos(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> None:
    """Where the config says whether BOS and EOS are added, that replaces what the format does by itself."""
    wanted = {
        "bos_token": config.settings.get("add_bos_token"),
        "eos_token": config.settings.get("add_eos_token"),
    }
    if all(add is None for add in wanted.values()):
        return
    token = {role: entry.content for role, entry in config.special.items()}
    token = {**DEFAULTS.get(config.kind, {}), **token}
    ids = {
        token[role]: backend.token_to_id(token[role]) for role, add in wanted.items() if add and role in token
    }
    missing = [text for text, id in ids.items() if id is None]
    if missing:
        raise damaged(
            config.folder / "tokenizer_config.json", f"it adds {missing[0]}, which the vocabulary lacks"
        )
    around = {role: [token[role]] if add and role in token else [] for role, add in wanted.items()}
    backend.post_processor = processors.TemplateProcessing(
        single=[*around["bos_token"], "$A", *around["eos_token"]], special_tokens=list(ids.items())
    )
