"""The tokenizer and chat template that a GGUF file carries in its metadata."""

from collections.abc import Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import processors

from pellucid.errors import TokenizerError, one_line
from pellucid.text.byte_bpe import byte_bpe
from pellucid.text.chat import ChatTemplate
from pellucid.text.fast_codec import FastCodec
from pellucid.text.sentencepiece_model import (
    CONTROL,
    SPACE,
    USER_DEFINED,
    Piece,
    SentencePieceModel,
    sentencepiece_backend,
)
from pellucid.text.tokenizer import Tokenizer
from pellucid.text.wordpiece import wordpiece

PREFIX = "tokenizer.ggml."
ROLES = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "sep_token": "seperator_token_id",
    "pad_token": "padding_token_id",
    "cls_token": "cls_token_id",
    "mask_token": "mask_token_id",
}  # fmt: skip  ("seperator" is the published spelling)
# What tokenizer.ggml.pre names, as the way text is cut (byte_bpe.CUTS).
PRE = {
    "gpt-2": "gpt2", "phi-2": "gpt2", "mpt": "gpt2", "olmo": "gpt2", "jais": "gpt2",
    "llama-bpe": "llama3", "llama3": "llama3", "llama-v3": "llama3", "falcon3": "llama3", "dbrx": "llama3",
    "smaug-bpe": "llama3", "chatglm-bpe": "llama3", "glm4": "llama3", "pixtral": "tekken", "tekken": "tekken",
    "gpt-4o": "gpt4o", "qwen2": "qwen2", "deepseek-r1-qwen": "qwen2", "stablelm2": "qwen2",
    "hunyuan": "qwen2", "starcoder": "digits", "refact": "digits", "command-r": "digits",
    "codeshell": "digits", "smollm": "digits", "exaone": "digits", "minerva-7b": "digits",
}  # fmt: skip
# Files from before tokenizer.ggml.pre existed, by general.architecture.
PRE_BEFORE = {
    "gpt2": "gpt-2", "phi2": "phi-2", "llama": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2",
    "stablelm": "stablelm2", "starcoder2": "starcoder",
}  # fmt: skip
# Their files leave out add_bos_token, and their published tokenizers begin every text with BOS.
BEGIN_WITH_BOS = ("llama-bpe", "llama3", "llama-v3", "falcon3", "tekken", "pixtral")


def tokenizer_from_gguf(metadata: Mapping[str, Any], source: str = "the GGUF file") -> Tokenizer:
    """The tokenizer of a GGUF file's metadata (plain values by key, as `gguf.GGUFReader` gives them).

    Knows tokenizer.ggml.model "llama" (SentencePiece BPE), "gpt2" (byte-level BPE) and "bert" (WordPiece).
    Raises TokenizerError, naming the key, for what is missing, damaged or unknown.
    """
    fields = Fields(metadata, source)
    kind = fields.need("model", str)
    if kind not in BUILD:
        raise TokenizerError(
            f"{source}: tokenizer.ggml.model is {kind!r}; known are {', '.join(sorted(BUILD))}. Convert the "
            "checkpoint from its published files, or open those"
        )
    backend = BUILD[kind](fields)
    special = {role: fields.tokens[id] for role, id in fields.roles().items()}
    return Tokenizer(
        FastCodec(backend),
        special_tokens=special,
        chat_template=_chat_template(metadata, special),
        model_vocab_size=len(fields.tokens),
        source=source,
    )


class Fields:
    """The tokenizer's part of a GGUF file's metadata, checked as it is read."""

    def __init__(self, metadata: Mapping[str, Any], source: str) -> None:
        self._metadata = metadata
        self.source = source
        self.architecture = str(metadata.get("general.architecture", ""))
        self.tokens: list[str] = [str(token) for token in self.need("tokens", Sequence)]
        self.kinds: list[int] = list(self.get("token_type", [1] * len(self.tokens)))
        if len(self.kinds) != len(self.tokens):
            raise self.wrong("token_type", f"has {len(self.kinds)} entries for {len(self.tokens)} tokens")
        self.vocab = {token: id for id, token in enumerate(self.tokens)}
        if len(self.vocab) != len(self.tokens):
            raise self.wrong("tokens", f"repeats {len(self.tokens) - len(self.vocab)} of its entries")

    def get(self, key: str, default: Any) -> Any:
        return self._metadata.get(PREFIX + key, default)

    def need(self, key: str, kind: type) -> Any:
        value = self.get(key, None)
        if not isinstance(value, kind):
            raise self.wrong(key, "is missing" if value is None else f"is a {type(value).__name__}")
        return value

    def wrong(self, key: str, why: str) -> TokenizerError:
        return TokenizerError(
            f"{self.source}: {PREFIX}{key} {why}; the file is damaged or was converted by a broken tool: get "
            "it again, or convert the checkpoint from its published files"
        )

    def roles(self) -> dict[str, int]:
        """The ids of the special tokens the file names."""
        ids = {role: self.get(key, None) for role, key in ROLES.items()}
        for role, id in ids.items():
            if id is not None and not 0 <= id < len(self.tokens):
                raise self.wrong(ROLES[role], f"is {id}, beyond the {len(self.tokens)} tokens")
        return {role: int(id) for role, id in ids.items() if id is not None}

    def added(self, kind: int) -> list[str]:
        return [token for token, its in zip(self.tokens, self.kinds, strict=True) if its == kind]


def _llama(fields: Fields) -> tokenizers.Tokenizer:
    scores = fields.need("scores", Sequence)
    if len(scores) != len(fields.tokens):
        raise fields.wrong("scores", f"has {len(scores)} entries for {len(fields.tokens)} tokens")
    model = SentencePieceModel(
        pieces=tuple(map(Piece, fields.tokens, scores, fields.kinds)),
        unigram=False,
        unk_id=fields.roles().get("unk_token", 0),
        byte_fallback="<0x00>" in fields.vocab,
        add_dummy_prefix=bool(fields.get("add_space_prefix", True)),
        remove_extra_whitespaces=bool(fields.get("remove_extra_whitespaces", False)),
    )
    backend = sentencepiece_backend(model)
    if fields.architecture == "phi3":
        # GGUF cannot say that Phi-3's own tokens swallow the white space after them; its published files do
        plain = {"<unk>", "<s>", "<|endoftext|>"}
        own = [token for token in [*fields.added(CONTROL), "</s>"] if token not in plain]
        for token in own:
            special = token != "</s>"
            backend.add_tokens([tokenizers.AddedToken(token, rstrip=True, normalized=False, special=special)])
    _add_bos_eos(backend, fields, default=True)
    return backend


def _gpt2(fields: Fields) -> tokenizers.Tokenizer:
    pre = fields.get("pre", "default")
    if pre == "default":
        pre = PRE_BEFORE.get(fields.architecture, pre)
    if pre not in PRE:
        raise TokenizerError(
            f"{fields.source}: tokenizer.ggml.pre is {pre!r}; known are {', '.join(sorted(PRE))}. Open the "
            "checkpoint's published files instead"
        )
    merges = [tuple(merge.split(" ", 1)) for merge in fields.need("merges", Sequence)]
    try:
        backend = byte_bpe(fields.vocab, merges, PRE[pre], ignore_merges=PRE[pre] in ("llama3", "tekken"))
    except Exception as error:  # the library raises bare Exception, e.g. for a merge of unknown tokens
        raise fields.wrong("merges", f"do not fit the tokens ({one_line(error)})") from error
    backend.add_special_tokens([tokenizers.AddedToken(t, normalized=False) for t in fields.added(CONTROL)])
    backend.add_tokens([tokenizers.AddedToken(t, normalized=False) for t in fields.added(USER_DEFINED)])
    _add_bos_eos(backend, fields, default=pre in BEGIN_WITH_BOS)
    return backend


def _bert(fields: Fields) -> tokenizers.Tokenizer:
    # the file writes "▁cat" for the word and "ing" for the continuation that vocab.txt writes "##ing"
    special = set(fields.added(CONTROL)) | {fields.tokens[id] for id in fields.roles().values()}
    vocab = {
        token if token in special or (token[0] == "[" and token[-1] == "]") else _published(token): id
        for id, token in enumerate(fields.tokens)
    }
    roles = {role: fields.tokens[id] for role, id in fields.roles().items()}
    backend = wordpiece(vocab, roles=roles)
    backend.add_special_tokens([tokenizers.AddedToken(token, normalized=False) for token in sorted(special)])
    return backend


def _published(token: str) -> str:
    return token.removeprefix(SPACE) if token.startswith(SPACE) else "##" + token


BUILD = {"llama": _llama, "gpt2": _gpt2, "bert": _bert}


def _add_bos_eos(backend: tokenizers.Tokenizer, fields: Fields, default: bool) -> None:
    ids = fields.roles()
    single = ["$A"]
    if fields.get("add_bos_token", default) and "bos_token" in ids:
        single.insert(0, fields.tokens[ids["bos_token"]])
    if fields.get("add_eos_token", False) and "eos_token" in ids:
        single.append(fields.tokens[ids["eos_token"]])
    backend.post_processor = processors.TemplateProcessing(
        single=single,
        special_tokens=[(token, fields.vocab[token]) for token in dict.fromkeys(single) if token != "$A"],
    )


def _chat_template(metadata: Mapping[str, Any], special: Mapping[str, str]) -> ChatTemplate | None:
    key = "tokenizer.chat_template"
    named = {name: metadata.get(f"{key}.{name}") for name in metadata.get(key + "s", ())}
    sources = {"default": metadata.get(key), **named}
    present = {name: source for name, source in sources.items() if source}
    return ChatTemplate(present, special) if present else None
