"""Batches hold whole documents, every one once an epoch, and depend on seed and step alone."""

import numpy as np
import pytest
import torch
from tiny_run import tiny_documents

from pellucid.errors import TrainingError
from pellucid.training.data import Batch, Documents, Windows
from pellucid.training.pairs import Pairs, Ragged


def test_a_documents_tokens_are_predicted_from_those_before():
    batch = Batch.of([(np.array([5, 6, 7]), np.array([0, 1, 2])), (np.array([8, 9]), np.array([0, 3]))])
    assert batch.ids_T.tolist() == [5, 6, 8]
    assert batch.targets_T.tolist() == [6, 7, 9]
    assert batch.weights_T.tolist() == [1, 2, 3]
    assert batch.lengths == (2, 1)


def test_an_epoch_is_every_document_once_and_steps_are_about_equally_large():
    source = tiny_documents()
    steps = len(source._plan(0))
    assert sorted(np.concatenate(source._plan(0)).tolist()) == list(range(200))
    sizes = [sum(len(p.ids_T) + len(p.lengths) for p in source.parts(step, 1)) for step in range(steps - 1)]
    assert all(50 <= size <= 80 for size in sizes)
    assert not np.array_equal(np.concatenate(source._plan(0)), np.concatenate(source._plan(1)))


def test_the_same_step_is_the_same_batch():
    for step in (0, 3, 40):
        for a, b in zip(tiny_documents().parts(step, 2), tiny_documents().parts(step, 2), strict=True):
            assert torch.equal(a.ids_T, b.ids_T) and a.lengths == b.lengths


def test_parts_share_a_step_out():
    (whole,) = tiny_documents().parts(7, 1)
    parts = tiny_documents().parts(7, 3)
    assert sum(part.weights_T.sum() for part in parts) == whole.weights_T.sum()
    assert sorted(n for part in parts for n in part.lengths) == sorted(whole.lengths)


def test_what_is_left_over_of_an_epoch_is_shared_out_with_the_step_before():
    ids, starts = np.arange(42), np.array([*range(0, 41, 5), 42])
    for seed in range(20):
        source = Documents(ids, np.ones(42, np.float32), starts, tokens_per_step=20, seed=seed)
        parts = [part for step in range(2) for part in source.parts(step, 2)]
        assert all(part.lengths for part in parts), "no rank without a document"
        assert sorted(length for part in parts for length in part.lengths) == [1, *[4] * 8]


def test_windows_of_one_text():
    source = Windows(np.arange(1000), length=16, windows_per_step=4, seed=3)
    (batch,) = source.parts(5, 1)
    assert batch.lengths == (16,) * 4
    assert torch.equal(batch.targets_T, batch.ids_T + 1)
    assert torch.equal(batch.ids_T, source.parts(5, 1)[0].ids_T)
    assert not torch.equal(batch.ids_T, source.parts(6, 1)[0].ids_T)


def test_evaluation_predicts_every_token_once():
    batches = Windows.all(np.arange(150), length=16, windows_per_batch=4)
    assert torch.cat([batch.targets_T for batch in batches]).tolist() == list(range(1, 150))
    assert batches[-1].lengths == (16, 5)


@pytest.mark.parametrize("starts", [[0], [0, 3, 4], [0, 0, 4]])
def test_documents_in_which_nothing_can_be_foreseen_are_refused(starts):
    ids = np.arange(starts[-1])
    with pytest.raises(TrainingError, match=f"{len(starts) - 1} documents, the shortest of"):
        Documents(ids, np.ones(len(ids), np.float32), np.array(starts), 8)


def test_a_text_shorter_than_a_window_is_refused():
    assert len(Windows(np.arange(9), 8, 2).parts(0, 1)[0].ids_T) == 16
    with pytest.raises(TrainingError, match="a text of 8 tokens has no window of 8"):
        Windows(np.arange(8), 8, 2)


def test_pairs_that_no_epoch_has_are_refused():
    with pytest.raises(TrainingError, match="1 pairs"):
        Pairs(Ragged([[1, 2]]), Ragged([[3, 4]]), np.zeros(1), 8)


def test_a_part_of_no_documents_is_empty():
    first, second = Documents(np.arange(3), np.ones(3, np.float32), np.array([0, 3]), 8).parts(0, 2)
    assert (first.tokens, second.tokens, second.lengths) == (2, 0, ())
