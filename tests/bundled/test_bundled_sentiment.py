"""`pellucid/sentiment` tells praise from blame in sentences it never saw, and any tool opens it."""

import pytest
import torch
from typer.testing import CliRunner

from pellucid import LLM, load_model
from pellucid.cli import app
from pellucid.models.hub import bundled_models
from recipes.sentiment_data import read_polarity

NAME = "pellucid/sentiment"
PRAISE = [
    "a smart and alert little gem .",
    "warm , funny and beautifully acted",
    "one of the best films of the year .",
    "a moving , thoughtful and honest portrait of a family",
    "it is an enjoyable and touching story told with charm",
    "a powerful and fascinating documentary",
]
BLAME = [
    "dull , lifeless and far too long .",
    "a complete waste of time and talent",
    "the plot is stupid and the jokes fall flat",
    "it is one of the worst movies of the year .",
    "boring , pretentious and badly written",
    "the script has too many holes and no surprises",
]


@pytest.fixture(scope="module")
def llm():
    return LLM(NAME)


def test_plain_praise_and_blame(llm):
    said = [output.outputs.label for output in llm.classify(PRAISE + BLAME)]
    right = [label == "positive" for label in said[:6]] + [label == "negative" for label in said[6:]]
    assert sum(right) >= 11


def test_sentences_that_it_never_saw(llm, test_data):
    train_test_split = pytest.importorskip("sklearn.model_selection").train_test_split
    texts, labels = read_polarity(test_data / "sentiment" / "sentence_polarity.zip")
    _, rest, _, answers = train_test_split(texts, labels, test_size=0.2, stratify=labels, random_state=0)
    said = llm.classify(rest[:300])
    right = sum((o.outputs.label == "positive") == bool(a) for o, a in zip(said, answers, strict=False))
    assert right >= 0.72 * 300


def test_from_the_command_line():
    result = CliRunner().invoke(app, ["classify", PRAISE[0], "-m", NAME])
    assert result.exit_code == 0, result.output
    assert "positive" in result.output


def test_it_is_small_and_has_its_card():
    folder = bundled_models()[NAME]
    assert sum(file.stat().st_size for file in folder.iterdir()) < 8 * 2**20
    card = (folder / "README.md").read_text()
    assert "Bo Pang" in card and "CC BY 4.0" in card and "What it cannot do" in card


@torch.no_grad()
def test_transformers_opens_it(llm):
    transformers = pytest.importorskip("transformers")
    folder = bundled_models()[NAME]
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text in (PRAISE[1], BLAME[5]):
        read = tokenizer(text, return_tensors="pt")
        ids = read["input_ids"][0]
        assert ids.tolist() == llm.tokenizer.encode(text)
        expected = theirs(input_ids=ids[None]).logits
        torch.testing.assert_close(load_model(NAME).logits(ids), expected, rtol=1e-4, atol=1e-4)
