"""Pairs come packed by length, by the share each has; the loss of many is that of each alone."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pairs import run, tiny_pairs, tiny_translator

from pellucid.kernels import torch_ops
from pellucid.training import record
from pellucid.training.loss import TargetOfSource
from pellucid.training.pairs import PairBatch

SCRIPT = Path(__file__).with_name("tiny_pairs.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[2])}


def numbers(source, epoch):
    """The pairs of an epoch, told by their sources."""
    first = sum(source.steps_in(e) for e in range(epoch))
    texts = []
    for step in range(first, first + source.steps_in(epoch)):
        (batch,) = source.parts(step, 1)
        texts += [tuple(ids.tolist()) for ids in torch.split(batch.source_S, batch.source_lengths)]
    return sorted(texts)


def test_an_epoch_has_every_pair_by_its_share():
    source = tiny_pairs(shares=[1.0] * 100 + [0.3] * 100)
    certain = sorted(tuple(source.sources[i].tolist()) for i in range(100))
    drawn = [numbers(source, epoch) for epoch in range(3)]
    for epoch in drawn:
        assert 115 <= len(epoch) <= 145
        assert all(epoch.count(text) >= certain.count(text) for text in certain)
    assert drawn[0] != drawn[1] != drawn[2]
    assert sum(len(batch.source_lengths) for batch in source.all()) == 200


def test_steps_are_equally_large_and_of_like_lengths():
    source = tiny_pairs()
    batches = [source.parts(step, 1)[0] for step in range(source.steps_in(0))]
    assert sorted(batch.tokens for batch in batches)[1] >= 48
    assert max(batch.tokens for batch in batches) <= 90
    assert np.mean([len(set(batch.written.lengths)) for batch in batches]) < 2
    firsts = [batch.written.lengths[0] for batch in batches]
    assert firsts != sorted(firsts)


def test_the_same_step_is_the_same_batch_and_parts_share_it_out():
    for step in (0, 7, 50):
        (a,), (b,) = tiny_pairs().parts(step, 1), tiny_pairs().parts(step, 1)
        assert torch.equal(a.source_S, b.source_S) and torch.equal(a.written.ids_T, b.written.ids_T)
        parts = tiny_pairs().parts(step, 2)
        assert sum(part.tokens for part in parts) == a.tokens
        assert sum(part.weights_T.sum() for part in parts) == a.weights_T.sum()


def test_many_at_once_are_as_each_alone():
    model, task = tiny_translator(), TargetOfSource(torch_ops)
    (batch,) = tiny_pairs().parts(3, 1)
    together = task.loss(model, batch, None)
    together.backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    source, alone = tiny_pairs(), 0.0
    for i in source._plan(0)[3]:
        loss = task.loss(model, source.batch(np.array([i])), None)
        loss.backward()
        alone += loss.item()
    assert together.item() == pytest.approx(alone, rel=1e-5)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.grad, packed[name], rtol=1e-4, atol=1e-5, msg=name)


def test_the_loss_is_the_smoothed_logarithm_of_what_the_body_says():
    """tests/models/test_transformer.py holds the body to the paper's equations."""
    model = tiny_translator()
    pairs = [([5, 6, 7, 0], [1, 8, 5, 0]), ([9, 0], [1, 7, 7, 3, 0]), ([9, 4, 4, 4, 0], [1, 0])]
    batch = PairBatch.of([(np.array(source), np.array(target)) for source, target in pairs])
    generator = torch.Generator().manual_seed(0)
    smoothed = TargetOfSource(torch_ops, label_smoothing=0.1).loss(model, batch, generator)
    plain = TargetOfSource(torch_ops, label_smoothing=0.1).loss(model, batch, None)
    expected, right = 0.0, 0.0
    for source, target in pairs:
        logs = torch.log_softmax(model.logits(target[:-1], source), -1)
        chosen = logs[torch.arange(len(target) - 1), torch.tensor(target[1:])]
        right -= chosen.sum().item()
        expected -= (0.9 * chosen + 0.1 * logs.mean(-1)).sum().item()
    assert plain.item() == pytest.approx(right, rel=1e-5)
    assert smoothed.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_and_resumed_with_muon_the_losses_are_bit_identical(tmp_path):
    def lines(name):
        return [
            {k: v for k, v in line.items() if k != "tokens_per_s"} for line in record.read(tmp_path / name)
        ]

    whole, _ = run(tmp_path / "whole", 100)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "killed"), "100"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(record.read(tmp_path / "killed")) < 20:
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 10 < len(lines("killed")) < 100
    resumed, _ = run(tmp_path / "killed", 100)
    assert lines("killed") == lines("whole")
    losses = [line["loss"] for line in lines("whole") if "loss" in line]
    assert losses[-1] < 0.8 * losses[0]
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(a, b), name
