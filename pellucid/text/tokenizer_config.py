"""What a folder says about its tokenizer beside the vocabulary: special tokens, BOS and EOS, templates."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from pellucid.errors import TokenizerError

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
    """Everything a folder says about its tokenizer beside the vocabulary. Missing files say nothing."""
    settings = read_json(folder / "tokenizer_config.json")
    model = read_json(folder / "config.json")
    model = {**model.get("text_config", {}), **model}
    settings_special = {**read_json(folder / "special_tokens_map.json"), **settings}
    name = settings.get("tokenizer_class") or model.get("tokenizer_class") or ""
    own = name.removesuffix("Fast").removesuffix("Tokenizer")
    kind = (model.get("model_type") or "") if own in ("", "PreTrained", "TokenizersBackend") else own.lower()
    extra = settings_special.get("additional_special_tokens")
    extra = extra or settings_special.get("extra_special_tokens") or ()
    added = {int(id): _added(entry) for id, entry in settings.get("added_tokens_decoder", {}).items()}
    for text, id in read_json(folder / "added_tokens.json").items():
        added.setdefault(id, tokenizers.AddedToken(text, normalized=False))
    return TokenizerConfig(
        folder=folder,
        kind=kind,
        settings=settings,
        special={role: _added(settings_special[role]) for role in ROLES if settings_special.get(role)},
        added=dict(sorted(added.items())),
        extra_special=tuple(map(_added, extra.values() if isinstance(extra, dict) else extra)),
        model_vocab_size=model.get("vocab_size"),
    )


def _added(entry: Any) -> tokenizers.AddedToken:
    """A token as the files write it: its text, or a record of how it matches."""
    if isinstance(entry, str):
        return tokenizers.AddedToken(entry, normalized=False, special=True)
    known = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return tokenizers.AddedToken(entry["content"], **{key: entry[key] for key in known if key in entry})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, empty where there is no file."""
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise damaged(path, error) from error
    if not isinstance(data, dict):
        raise damaged(path, f"it holds a {type(data).__name__} where an object belongs")
    return data


def damaged(path: Path, why: object) -> TokenizerError:
    """The one error for a tokenizer file that cannot be read."""
    return TokenizerError(f"{path} is damaged: {why}; get it again from where the checkpoint came from")
