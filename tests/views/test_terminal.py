"""A trace in the terminal shows what was run: maps with their tokens, both sides of a translation, patches."""

import io

import torch
import transformers
from parity import random_models
from parity.encoder_cases import VIT
from parity.encoder_decoder_cases import CASES
from PIL import Image
from rich.console import Console
from tasks.encoder_folders import make_folder

from pellucid import LLM
from pellucid.views import picture, terminal


def printed(show, trace, **options) -> str:
    console = Console(file=io.StringIO(), width=110)
    show(trace, **{"layer": None, "head": 0, **options}, console=console)
    return console.file.getvalue()


def test_a_masked_text(tmp_path) -> None:
    make_folder(tmp_path, "BertForMaskedLM")
    llm = LLM(tmp_path, device="cpu")
    said = printed(terminal.show_encoder, llm.trace("the [MASK] sat on the mat"), layer=0, head=2)
    assert "attention of layer 0, head 2: each row looks both ways" in said
    (mask,) = llm.fill_mask("the [MASK] sat on the mat", top_k=1)
    lens = said.splitlines()[-2:]
    assert lens[1].split()[0] == "1" and mask.words[0].token in lens[1]


def test_a_classified_text_and_one_without_a_head(tmp_path) -> None:
    make_folder(tmp_path / "classes", "BertForSequenceClassification", id2label={0: "bad", 1: "good"})
    llm = LLM(tmp_path / "classes", device="cpu")
    said = printed(terminal.show_encoder, llm.trace("the cat"))
    assert said.splitlines()[-1].split()[1] == llm.classify("the cat")[0].outputs.label
    make_folder(tmp_path / "bare")
    assert "layer  " not in printed(
        terminal.show_encoder, LLM(tmp_path / "bare", device="cpu").trace("the cat")
    )


def test_a_translation(tmp_path) -> None:
    name, fields = CASES["marian-uneven"]
    random_models.save(random_models.make(getattr(transformers, name), fields), tmp_path)
    llm = LLM(tmp_path, device="cpu", skip_tokenizer_init=True, num_gpu_blocks_override=64)
    trace = llm.trace({"prompt_token_ids": [7, 9, 11, 13]}, max_tokens=5)
    said = printed(terminal.show_translation, trace)
    assert "source: 0 7  1 9  2 11  3 13" in said
    best = trace.cross_attention(0, 0)[-1].max()
    rows = said[: said.index("source:")].splitlines()
    assert f"{best:.2f}" in rows[-1] and rows[-1].split()[0] == str(trace.token_ids[-2])
    for part in (
        "cross-attention of layer 0",
        "the encoder's attention",
        "each row looks left",
        "next token",
    ):
        assert part in said


def test_of_a_long_map_the_last_rows_are_shown() -> None:
    console = Console(file=io.StringIO(), width=110)
    tokens = [f"t{i}" for i in range(70)]
    console.print(terminal.attention_map("a map", torch.eye(70), tokens, tokens))
    title, *rows = console.file.getvalue().splitlines()
    assert "a map (the last 64 of 70 rows)" in title
    assert rows[1].split() == ["t6", "6", "t6", "1.00"] and len(rows) == 65


def test_a_picture(tmp_path) -> None:
    published = random_models.make(transformers.ViTForImageClassification, {**VIT, "num_labels": 3})
    random_models.save(published, tmp_path)
    transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    half = Image.new("RGB", (32, 32), "black")
    half.paste((255, 255, 255), (16, 0, 32, 32))
    trace = LLM(tmp_path, device="cpu").trace(half)
    lines = printed(picture.show_picture, trace, layer=1, head=3).splitlines()
    assert [line[:8] for line in lines[1:5]] == ["    ████"] * 4, "dark at the left, light at the right"
    darkest = divmod(int(trace.patches(1, 3).argmax()), 4)
    assert f"most at row {darkest[0]} column {darkest[1]}" in "\n".join(lines)
    assert torch.isclose(trace.patches(1, 3).sum() + trace.attention(1, 3)[0, 0], torch.tensor(1.0))
