"""`pellucid train sentiment`: nothing it is measured on is learned from, and it ends in a checkpoint that classifies."""

import random
import zipfile
from importlib import import_module

import numpy as np
import pytest

from pellucid import LLM
from pellucid.cli import recipes
from pellucid.errors import SourceError

pytest.importorskip("sklearn")
GOOD, BAD, OTHER = (
    "fine bright warm funny".split(),
    "dull flat cold slow".split(),
    "the film is a very with and".split(),
)


@pytest.fixture
def archive(tmp_path):
    rng = random.Random(0)
    lines = {
        name: "\n".join(" ".join([*rng.choices(OTHER, k=6), rng.choice(words), str(i)]) for i in range(60))
        for name, words in (("neg", BAD), ("pos", GOOD))
    }
    file = tmp_path / "sentence_polarity.zip"
    with zipfile.ZipFile(file, "w") as opened:
        for name, text in lines.items():
            opened.writestr(f"sentence_polarity/rt-polarity.{name}", text + "\n")
    return file


def test_it_ends_in_a_checkpoint_that_classifies(archive, tmp_path, capsys):
    run = tmp_path / "run"
    recipes.run_recipe("sentiment", [str(archive), "--steps", "3", "--vocab", "120", "--folder", str(run)])
    said = capsys.readouterr().out
    assert "tf-idf + logistic regression" in said and "of 24 sentences" in said and "the encoder" in said
    assert "Bo Pang" in (run / "model" / "README.md").read_text()
    (output,) = LLM(run / "model").classify("the film is a very fine and bright")
    assert output.outputs.label in ("negative", "positive")


def test_another_archive_is_refused(tmp_path):
    file = tmp_path / "other.zip"
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr("readme.txt", "nothing")
    with pytest.raises(SourceError, match=r"rt-polarity\.neg"):
        recipes.run_recipe("sentiment", [str(file)])


def test_each_sentence_once_an_epoch_and_some_words_hidden():
    data = import_module("recipes.sentiment_data")
    ids = [np.array([2, 10 + i, 10 + i, 3]) for i in range(7)]
    source = data.Sentences(ids, np.eye(2)[[0, 1] * 3 + [0]], per_step=3, hide=0.0, seed=0)
    seen = [int(i) for step in (0, 1) for i in source.parts(step, 1)[0].inputs.view(3, 4)[:, 1]]
    assert len(set(seen)) == 6
    hiding = data.Sentences(ids, np.eye(2)[[0, 1] * 3 + [0]], per_step=3, hide=0.5, seed=0)
    hidden = (hiding.parts(0, 1)[0].inputs == data.MASK).float().mean()
    assert 0.1 < hidden < 0.9
    assert hiding.parts(5, 1)[0].inputs.equal(hiding.parts(5, 1)[0].inputs)


def test_words_that_keep_the_same_company_begin_near_each_other():
    data = import_module("recipes.sentiment_data")
    rng = np.random.default_rng(0)
    cats, dogs = (np.array([2, word, *rng.integers(low, low + 5, 4), 3]) for word, low in ((5, 20), (6, 20)))
    texts = [
        np.array([2, word, *rng.integers(low, low + 5, 4), 3])
        for _ in range(200)
        for word, low in ((5, 20), (6, 20), (7, 40))
    ]
    vectors = data.neighbours([*texts, cats, dogs], 50, 8)
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    assert cosine(vectors[5], vectors[6]) > cosine(vectors[5], vectors[7]) + 0.3
