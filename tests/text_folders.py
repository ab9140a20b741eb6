"""Tokenizer folders in every published format, made from the shared data."""

import json
import shutil
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from pellucid.models.gguf_file import read_gguf


def folder(
    path: Path, files: dict[str, Path], config: dict | None = None, tokenizer_config: dict | None = None
):
    """A checkpoint folder with these files under these names."""
    path.mkdir(parents=True, exist_ok=True)
    for name, source in files.items():
        shutil.copy(source, path / name)
    for name, content in (("config.json", config), ("tokenizer_config.json", tokenizer_config)):
        if content is not None:
            (path / name).write_text(json.dumps(content))
    return path


def metadata(path: Path) -> dict:
    """A GGUF file's metadata as plain values."""
    return read_gguf(path).metadata


def llama2_model(fields: dict) -> bytes:
    """Llama 2's tokenizer.model, put together from the pieces and scores that Phi-3's GGUF file keeps of it."""
    rows = zip(*(fields["tokenizer.ggml." + key] for key in ("tokens", "scores", "token_type")), strict=True)
    model = sentencepiece_model_pb2.ModelProto()
    for id, (text, score, kind) in enumerate(list(rows)[:32000]):
        model.pieces.add(piece=text, score=0.0 if id < 3 else score, type={0: 2, 1: 3, 2: 3}.get(id, kind))
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type, trainer.byte_fallback, trainer.vocab_size = 2, True, 32000
    trainer.unk_id, trainer.bos_id, trainer.eos_id, trainer.pad_id = 0, 1, 2, -1
    normalizer.name, normalizer.add_dummy_prefix, normalizer.remove_extra_whitespaces = (
        "identity",
        True,
        False,
    )
    return model.SerializeToString()


def train_sentencepiece(prefix: Path, test_data: Path, **options) -> Path:
    """A small SentencePiece model of the shared fairy tales."""
    lines = (test_data / "text/andersen.txt").read_text(encoding="utf-8-sig").split("\n")[:1500]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(prefix), minloglevel=2, num_threads=1, **options
    )
    return prefix.with_name(prefix.name + ".model")


def marian_folder(path: Path, test_data: Path) -> Path:
    """Marian's files: two models whose pieces are mostly, not all, in one vocabulary."""
    path.mkdir(parents=True)
    vocab = {"</s>": 0, "<unk>": 1, ">>fr<<": 2}
    for name, size in (("source", 400), ("target", 350)):
        train_sentencepiece(path / name, test_data, vocab_size=size).rename(path / f"{name}.spm")
        processor = sentencepiece.SentencePieceProcessor(model_file=str(path / f"{name}.spm"))
        for id in range(3, processor.get_piece_size() - 20):
            vocab.setdefault(processor.id_to_piece(id), len(vocab))
    (path / "vocab.json").write_text(json.dumps({**vocab, "<pad>": len(vocab)}))
    (path / "config.json").write_text(json.dumps({"model_type": "marian"}))
    names = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr"}
    (path / "tokenizer_config.json").write_text(json.dumps(names))
    return path
