"""The comparisons: each model lacks what its name says, each task asks what it claims to, the page says what was found."""

import pytest
import torch

from pellucid.cli import recipes
from pellucid.errors import SourceError
from pellucid.kernels import torch_ops
from pellucid.layers.context import DenseContext
from pellucid.training import initialise
from recipes import compare_page
from recipes.compare_experiments import Repeats
from recipes.compare_models import LSTM, size, variants

IDS = torch.tensor([1, 2, 3, 4, 5])


@pytest.fixture
def models():
    made = variants(8, layers=1, heads=2, width=16, context=8)
    models = {name: make() for name, make in made.items()}
    for model in models.values():
        initialise(model, seed=1, std=0.5)
    return models


@torch.no_grad()
def last(model, ids):
    return model(ids, DenseContext([len(ids)], torch_ops))[-1]


def test_only_the_one_without_positions_sees_no_order(models):
    exchanged = IDS[[1, 0, 2, 3, 4]]
    same = {
        name
        for name, model in models.items()
        if torch.allclose(last(model, IDS), last(model, exchanged), atol=1e-6)
    }
    assert same == {"without positions"}


def test_without_residual_connections_a_silent_layer_is_the_end(models):
    for model in models.values():
        for name, parameter in model.named_parameters():
            if name.endswith("down_proj.weight"):
                parameter.data.zero_()
    silent = {name for name, model in models.items() if not last(model, IDS).any()}
    assert silent == {"without residual connections"}


def test_the_others_differ_from_the_whole_in_what_their_names_say(models):
    norms = {name: sum("norm" in n for n, _ in model.named_parameters()) for name, model in models.items()}
    assert norms.pop("without norm") == 0 and set(norms.values()) == {3}
    heads = {name: model.attentions[0].spec.num_heads for name, model in models.items()}
    assert heads.pop("with one head") == 1 and set(heads.values()) == {2}
    assert models["with ReLU for SwiGLU"].config.blocks[0].feed_forward.activation == "relu"
    assert abs(size(models["with ReLU for SwiGLU"]) / size(models["whole"]) - 1) < 0.05


@torch.no_grad()
def test_an_lstm_reads_each_sequence_by_itself():
    lstm = LSTM(8, 16, 2)
    together = lstm(torch.cat([IDS, IDS + 1]), DenseContext([5, 5], torch_ops))
    alone = [lstm(ids, DenseContext([5], torch_ops)) for ids in (IDS, IDS + 1)]
    torch.testing.assert_close(together, torch.cat(alone))


def test_only_what_was_seen_before_is_asked_for():
    (batch,) = Repeats(32, [4], length=9, rows=8).parts(step=0, count=1)
    assert batch.lengths == (9,) * 8
    ids, targets, weights = (x.view(8, 9) for x in (batch.ids_T, batch.targets_T, batch.weights_T))
    assert (weights == torch.tensor([0, 0, 0, 1, 1, 1, 1, 0, 0])).all()
    assert torch.equal(targets[:, 3:], ids[:, :6])
    assert all(len(set(row[:4].tolist())) == 4 for row in ids)
    halves = Repeats(32, [4], length=9, rows=8).parts(step=0, count=2)
    assert sorted(x for half in halves for x in half.ids_T.tolist()) == sorted(batch.ids_T.tolist())
    mixed = Repeats(32, [2, 4], length=9, rows=8).parts(step=0, count=1)[0].weights_T.view(8, 9).sum(1)
    assert set(mixed.tolist()) == {2.0, 4.0}


def test_the_page_says_what_was_found(tmp_path, capsys):
    recipes.run_recipe("compare", ["recall", "--scale", "0.002", "--docs", str(tmp_path)])
    page = (tmp_path / "why_transformers.md").read_text()
    assert "Not borne out" in page  # by models of three steps
    assert "| distance | transformer | LSTM |" in page and "| 64 | 0." in page
    assert (tmp_path / "why_transformers" / "recall.png").read_bytes().startswith(b"\x89PNG")
    finding = compare_page.Finding(
        "More is more.",
        "By hand.",
        ["name", "loss"],
        [["a", 1.0], ["b", 2.0]],
        True,
        "So it is.",
        ("", "loss", "bar"),
    )
    compare_page.plot(finding, tmp_path / "bars.png")
    assert "**Borne out.** So it is." in compare_page.section("more", finding)


def test_what_learns_from_a_text_asks_for_one(tmp_path):
    with pytest.raises(SourceError, match="give --text FILE"):
        recipes.run_recipe("compare", ["sizes", "--docs", str(tmp_path)])
    assert "compare" in recipes.recipe_names()


def test_the_speed_of_both_is_measured(tmp_path):
    recipes.run_recipe("compare", ["speed", "--scale", "0.01", "--docs", str(tmp_path)])
    assert "| 1,024 |" in (tmp_path / "why_transformers.md").read_text()
