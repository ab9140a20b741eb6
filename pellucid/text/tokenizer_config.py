"""What a folder says about its tokenizer beside the vocabulary: special tokens, BOS and EOS, templates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from pellucid.errors import TokenizerError, one_line

ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# What the published classes assume where their config is silent.
_GPT2 = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
_BERT = {
    "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}  # fmt: skip
_ROBERTA = {
    "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
    "cls_token": "<s>", "mask_token": "<mask>",
}  # fmt: skip
_LLAMA = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
_T5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
_QWEN2 = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
_GEMMA = {"bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
DEFAULTS: dict[str, Mapping[str, str]] = {
    "gpt2": _GPT2, "bert": _BERT, "distilbert": _BERT, "roberta": _ROBERTA, "llama": _LLAMA,
    "mistral": _LLAMA, "mixtral": _LLAMA, "t5": _T5, "marian": _T5, "qwen2": _QWEN2, "qwen3": _QWEN2,
    "gemma": _GEMMA, "gemma2": _GEMMA, "gemma3_text": _GEMMA, "whisper": _GPT2, "phi": _GPT2,
    "codegen": _GPT2,
}  # fmt: skip
SAVE_TOKENIZER_JSON = (
    "Save one with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)


@dataclass(frozen=True)
class TokenizerConfig:
    """tokenizer_config.json and the files around it, with what its class assumes where they are silent."""

    folder: Path
    kind: str  # "gpt2", "bert", ...: the tokenizer class without "TokenizerFast", or config.json's model_type
    settings: Mapping[str, Any]
    special: Mapping[str, tokenizers.AddedToken]  # by role, as written in the files
    added: Mapping[int, tokenizers.AddedToken]  # added_tokens_decoder and added_tokens.json
    extra_special: tuple[tokenizers.AddedToken, ...]  # additional_special_tokens
    model_vocab_size: int | None


def read_tokenizer_config(folder: Path) -> TokenizerConfig:
    """Everything a folder says about its tokenizer beside the vocabulary. Missing files say nothing.

    Raises TokenizerError, naming file and field, for what is damaged.
    """
    path = folder / "tokenizer_config.json"
    settings = read_json(path)
    model = read_json(folder / "config.json")
    model = {**_typed(model, "text_config", dict, folder / "config.json", {}), **model}
    tokens = {**read_json(folder / "special_tokens_map.json"), **settings}
    name = _typed(settings, "tokenizer_class", str, path) or _typed(
        model, "tokenizer_class", str, folder / "config.json", ""
    )
    own = name.removesuffix("Fast").removesuffix("Tokenizer")
    model_type = _typed(model, "model_type", str, folder / "config.json", "")
    added = {
        _id(id, path): _token(entry, path, "added_tokens_decoder")
        for id, entry in _typed(settings, "added_tokens_decoder", dict, path, {}).items()
    }
    for text, id in read_json(folder / "added_tokens.json").items():
        added.setdefault(_id(id, folder / "added_tokens.json"), tokenizers.AddedToken(text, normalized=False))
    key = "additional_special_tokens" if tokens.get("additional_special_tokens") else "extra_special_tokens"
    extra = _typed(tokens, key, list | dict, path, [])
    return TokenizerConfig(
        folder=folder,
        kind=model_type if own in ("", "PreTrained", "TokenizersBackend") else own.lower(),
        settings=settings,
        special={role: _token(tokens[role], path, role) for role in ROLES if tokens.get(role)},
        added=dict(sorted(added.items())),
        extra_special=tuple(
            _token(entry, path, key) for entry in (extra.values() if isinstance(extra, dict) else extra)
        ),
        model_vocab_size=_typed(model, "vocab_size", int, folder / "config.json"),
    )


def _typed(fields: Mapping[str, Any], name: str, kind: Any, path: Path, default: Any = None) -> Any:
    """A field of its kind; a missing one, or null, is the default."""
    value = fields.get(name)
    if value is not None and not isinstance(value, kind):
        raise damaged(path, f"its {name} is {_short(value)}")
    return default if value is None else value


def _token(entry: Any, path: Path, field: str) -> tokenizers.AddedToken:
    """A token as the files write it: its text, or a record of how it matches."""
    known = ("single_word", "lstrip", "rstrip", "normalized", "special")
    try:
        if isinstance(entry, str):
            return tokenizers.AddedToken(entry, normalized=False, special=True)
        return tokenizers.AddedToken(entry["content"], **{key: entry[key] for key in known if key in entry})
    except (TypeError, KeyError, ValueError) as error:
        raise damaged(path, f"its {field} has {_short(entry)}, which is no token") from error


def _id(written: Any, path: Path) -> int:
    if not str(written).isdecimal() or len(str(written)) > 18:
        raise damaged(path, f"an added token has the id {_short(written)}")
    return int(written)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(data, dict):
        raise damaged(path, f"it holds a {type(data).__name__} where an object belongs")
    return data


def damaged(path: Path, why: object) -> TokenizerError:
    """The one error for a tokenizer file that cannot be read."""
    return TokenizerError(
        f"{path} is damaged: {one_line(why)}; get it again from where the checkpoint came from"
    )
