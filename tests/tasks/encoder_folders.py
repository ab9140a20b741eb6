"""Folders of tiny encoders with tokenizers, as they would be published."""

import json
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from pellucid.models.checkpoint import open_checkpoint
from pellucid.models.loading import load_checkpoint
from pellucid.tasks.tasks import Tasks

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = "the cat sat on a mat and dog ran far away from it because was tired".split()
SHAPE = {
    "vocab_size": len(SPECIAL) + len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}


def make_tokenizer(folder: Path) -> None:
    """Words for tokens, [CLS] before and [SEP] after."""
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(SPECIAL + WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    roles = zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True)
    names = {f"{role}_token": token for role, token in roles}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def make_folder(folder: Path, model_class: str = "BertModel", **fields) -> transformers.PreTrainedModel:
    """A random BERT with a tokenizer; gives transformers' own model of it."""
    published = getattr(transformers, model_class)
    torch.manual_seed(0)
    model = published(transformers.BertConfig(**{**SHAPE, **fields})).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    make_tokenizer(folder)
    return model


def add_sentence_layout(
    folder: Path, pooling: dict, *, normalize: bool = False, max_length: int = 24
) -> None:
    """modules.json, 1_Pooling and 2_Normalize, as sentence-transformers writes them."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")][: 2 + normalize]
    listing = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listing))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **pooling}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_length}))


def open_tasks(folder: Path) -> Tasks:
    """What LLM does with such a folder."""
    checkpoint = open_checkpoint(folder)
    body = load_checkpoint(checkpoint, dtype="float32", device="cpu")
    return Tasks(body, checkpoint.tokenizer(), folder, str(folder))
