"""Byte-level BPE from a vocabulary and its merges: GPT-2 and everything descended from it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors

from pellucid.errors import TokenizerError
from pellucid.text.tokenizer_config import SAVE_TOKENIZER_JSON, TokenizerConfig, damaged, read_json

Merges = Sequence[tuple[str, str]]

# How each family cuts text before the merges, as its published tokenizer.json writes it. None is GPT-2's own.
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*%s"
_REST_SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CUTS: dict[str, str | None] = {
    "gpt2": None,
    "llama3": rf"{_SHORT}|{_WORDS}|\p{{N}}{{1,3}}|{_REST}",
    "qwen2": rf"{_SHORT}|{_WORDS}|\p{{N}}|{_REST}",
    "tekken": rf"{_CASED % ('', '')}|\p{{N}}|{_REST_SLASH}",
    "gpt4o": rf"{_CASED % (_SHORT + '?', _SHORT + '?')}|\p{{N}}{{1,3}}|{_REST_SLASH}",
}
# Cuts every digit apart first, then as GPT-2 does (StarCoder, SmolLM, Command R).
DIGITS = "digits"
# The families whose vocab.json + merges.txt may be opened, and how each cuts.
FAMILIES = {
    "gpt2": "gpt2", "gpt_neo": "gpt2", "phi": "gpt2", "codegen": "gpt2", "roberta": "gpt2",
    "bart": "gpt2", "opt": "gpt2", "qwen2": "qwen2", "qwen3": "qwen2",
}  # fmt: skip


def byte_bpe(
    vocab: Mapping[str, int],
    merges: Merges,
    cut: str = "gpt2",
    add_prefix_space: bool = False,
    ignore_merges: bool = False,
) -> tokenizers.Tokenizer:
    """A byte-level BPE tokenizer (Radford et al. 2019). `cut` names how text is cut into words first.

    With `ignore_merges` a word that is itself in the vocabulary is that token, whatever the merges say.
    """
    backend = tokenizers.Tokenizer(
        models.BPE(vocab=dict(vocab), merges=list(merges), fuse_unk=False, ignore_merges=ignore_merges)
    )
    whole: pre_tokenizers.PreTokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    if cut == DIGITS:
        whole = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    elif (pattern := CUTS[cut]) is not None:
        split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
        rest = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=False)
        whole = pre_tokenizers.Sequence([split, rest])
    if cut == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = whole
    backend.decoder = decoders.ByteLevel()
    return backend


def read_byte_bpe(folder: Path, config: TokenizerConfig) -> tokenizers.Tokenizer:
    """vocab.json + merges.txt, or the same two under the names OpenAI gave them."""
    if config.kind not in FAMILIES:
        raise TokenizerError(
            f"{folder}: no tokenizer.json, and how {config.kind!r} cuts text for its vocab.json and "
            f"merges.txt is not known; known are {', '.join(FAMILIES)}. {SAVE_TOKENIZER_JSON}"
        )
    vocab_path = next(folder / name for name in ("vocab.json", "encoder.json") if (folder / name).is_file())
    merges_path = next(folder / name for name in ("merges.txt", "vocab.bpe") if (folder / name).is_file())
    prefix = bool(config.settings.get("add_prefix_space", False))
    try:
        backend = byte_bpe(read_json(vocab_path), read_merges(merges_path), FAMILIES[config.kind], prefix)
    except TokenizerError:
        raise
    except Exception as error:  # the library raises bare Exception, e.g. for a merge of unknown tokens
        raise damaged(merges_path, f"it does not fit {vocab_path.name}: {error}") from error
    if config.kind in ("roberta", "bart"):
        vocab = backend.get_vocab()
        if not {"<s>", "</s>"} <= vocab.keys():
            raise damaged(vocab_path, f"it lacks <s> or </s>, which every text of {config.kind} needs")
        backend.post_processor = processors.RobertaProcessing(
            ("</s>", vocab["</s>"]), ("<s>", vocab["<s>"]), add_prefix_space=prefix
        )
    return backend


def read_merges(path: Path) -> Merges:
    """The pairs of a merges file, best first; a first line `#version: ...` is no pair."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise damaged(path, error) from error
    pairs = [
        tuple(line.rstrip("\r").split(" "))
        for line in lines
        if line.strip() and not line.startswith("#version")
    ]
    for number, pair in enumerate(pairs):
        if len(pair) != 2:
            raise damaged(path, f"merge {number + 1} is {' '.join(pair)!r}, not two tokens")
    return [(pair[0], pair[1]) for pair in pairs]
