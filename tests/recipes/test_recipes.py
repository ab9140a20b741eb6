"""A recipe ends in a checkpoint that the engine serves."""

import random
import sys

import pytest

from pellucid import LLM, SamplingParams
from pellucid.cli import recipes
from pellucid.errors import SourceError


@pytest.fixture
def texts(tmp_path):
    rng = random.Random(0)
    folder = tmp_path / "texts"
    folder.mkdir()
    for i in range(3):
        words = rng.choices("the cat sat on mat and dog ran to sea".split(), k=3000)
        (folder / f"{i}.txt").write_text(" ".join(words))
    return folder


def test_text(tmp_path, texts, capsys):
    small = ["--steps", "3", "--vocab", "300", "--layers", "1", "--width", "32", "--context", "32"]
    recipes.run_recipe("text", [str(texts), "--folder", str(tmp_path / "run"), "--prompt", "the cat", *small])
    assert "the cat" in capsys.readouterr().out
    model = tmp_path / "run" / "model"
    assert "3 steps" in (model / "README.md").read_text()
    (output,) = LLM(model).generate(["the dog"], SamplingParams(temperature=0, max_tokens=4), use_tqdm=False)
    assert len(output.outputs[0].token_ids) == 4


def test_shakespeare_is_read_by_the_character(tmp_path, texts, capsys):
    text = texts / "0.txt"
    recipes.run_recipe("shakespeare", [str(text), "--folder", str(tmp_path / "run"), "--steps", "2"])
    llm = LLM(tmp_path / "run" / "model")
    (output,) = llm.generate(["cat"], SamplingParams(temperature=0, max_tokens=5), use_tqdm=False)
    assert len(output.prompt_token_ids) == 3
    assert len(output.outputs[0].text) == 5


def test_too_little_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("Hello.")
    with pytest.raises(SourceError, match="at least 20,000"):
        recipes.run_recipe("text", [str(tmp_path)])


def test_unknown_recipes_get_the_nearest_name():
    with pytest.raises(SourceError, match="did you mean 'guide'"):
        recipes.run_recipe("giude", [])


@pytest.mark.parametrize("recipe", ["text", "shakespeare"])
@pytest.mark.parametrize(
    "content, says", [(b"caf\xe9 " * 9000, "no UTF-8 text"), (b"\0" * 30000, "zero bytes")]
)
def test_what_is_no_text_is_refused(tmp_path, recipe, content, says):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(SourceError, match=says):
        recipes.run_recipe(recipe, [str(tmp_path / "a.txt"), "--folder", str(tmp_path / "run")])


@pytest.mark.parametrize("option", ["--context", "--vocab", "--steps", "--width"])
def test_a_count_is_one_or_more(tmp_path, option, capsys):
    with pytest.raises(SystemExit):
        recipes.run_recipe("text", [str(tmp_path), option, "0"])
    assert "a whole number from 1 up is allowed" in capsys.readouterr().err


def test_the_help_of_a_recipe_says_where_its_data_is(capsys):
    for recipe, place in [
        ("shakespeare", "tinyshakespeare/input.txt"),
        ("sentiment", "sentence_polarity.zip"),
    ]:
        with pytest.raises(SystemExit):
            recipes.run_recipe(recipe, ["-h"])
        assert f"/{place}" in capsys.readouterr().out, recipe


def test_a_package_that_only_recipes_need_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.model_selection", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(SourceError, match="needs scikit-learn: pip install -e"):
        recipes.run_recipe("digits", [])
