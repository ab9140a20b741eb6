"""Opens a folder's tokenizer, whatever published format it is in."""

from collections.abc import Callable, Mapping
from pathlib import Path

import tokenizers
from tokenizers import processors

from pellucid.errors import TokenizerError
from pellucid.text.chat_files import read_chat_template
from pellucid.text.fast_codec import FastCodec
from pellucid.text.tokenizer import Tokenizer
from pellucid.text.tokenizer_config import OWN_POST_PROCESSOR, TokenizerConfig, damaged, read_tokenizer_config

Build = Callable[[Path, TokenizerConfig], tokenizers.Tokenizer]


def read_tokenizer_json(folder: Path, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """tokenizer.json, which says everything itself."""
    path = folder / "tokenizer.json"
    try:
        return tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception for whatever it does not understand
        raise damaged(path, error) from error


# The first whose files are all there is taken.
FORMATS: list[tuple[tuple[str, ...], Build]] = [
    (("tokenizer.json",), read_tokenizer_json),
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
    for files, build in FORMATS:
        if all((folder / name).is_file() for name in files):
            backend = build(folder, config)
            return assemble(backend, config, str(folder), model_vocab_size or config.model_vocab_size)
    found = sorted(path.name for path in folder.iterdir())[:20]
    raise TokenizerError(
        f"{folder} holds no tokenizer. Any of these is one: "
        + "; ".join(" + ".join(files) for files, _ in FORMATS)
        + f". The folder holds: {', '.join(found) or 'nothing'}. "
        "Put the tokenizer's files beside the weights, or give ids and skip_tokenizer_init=True"
    )


def assemble(
    backend: tokenizers.Tokenizer, config: TokenizerConfig, source: str, model_vocab_size: int | None
) -> Tokenizer:
    """A tokenizer from its vocabulary and what the files around it say."""
    special = add_special_tokens(backend, config)
    if not config.kind.startswith(tuple(name.lower() for name in OWN_POST_PROCESSOR)):
        add_bos_eos(backend, config, special)
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
    )


def add_special_tokens(backend: tokenizers.Tokenizer, config: TokenizerConfig) -> Mapping[str, str]:
    """Makes the backend know every token the config adds; gives the special ones by role."""
    present = {repr(token) for token in backend.get_added_tokens_decoder().values()}
    backend.add_tokens([token for token in config.added.values() if repr(token) not in present])
    special = {role: token.content for role, token in config.special.items()}
    for role, text in config.defaults.items():
        if role not in config.settings and backend.token_to_id(text) is not None:
            special.setdefault(role, text)
    # where the vocabulary file already holds a special token, it knows best how that token matches
    known = {token.content for token in backend.get_added_tokens_decoder().values() if token.special}
    plain = [tokenizers.AddedToken(text, normalized=False) for text in special.values()]
    named = {token.content: token for token in [*plain, *config.special.values(), *config.extra_special]}
    backend.add_special_tokens([token for text, token in named.items() if text not in known])
    return special


def add_bos_eos(backend: tokenizers.Tokenizer, config: TokenizerConfig, special: Mapping[str, str]) -> None:
    """Where the config says whether BOS and EOS are added, that replaces what the vocabulary file says."""
    if config.add_bos is None and config.add_eos is None:
        return
    bos = special.get("bos_token") if config.add_bos else None
    eos = special.get("eos_token") if config.add_eos else None
    around = [token for token in (bos, eos) if token is not None]
    single = [*([bos] if bos else []), "$A", *([eos] if eos else [])]
    backend.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, backend.token_to_id(token)) for token in dict.fromkeys(around)]
    )
