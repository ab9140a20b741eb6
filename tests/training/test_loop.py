"""Training learns, resumes after a SIGKILL as if nothing had been, and is the same by one rank or two."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_run import run, tiny_documents, tiny_model

from pellucid.errors import TrainingError, WeightsError
from pellucid.kernels import torch_ops
from pellucid.training import Documents, NextToken, TrainConfig, record, train
from pellucid.training.loss import evaluate
from pellucid.training.optim import muon

SCRIPT = Path(__file__).with_name("tiny_run.py")
ROOT = SCRIPT.parents[2]
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def curve(folder):
    return [(line["step"], line["loss"]) for line in record.read(folder) if "loss" in line]


def evaluations(folder):
    return [(line["step"], line["evaluation"]) for line in record.read(folder) if "evaluation" in line]


def test_it_learns_and_leaves_its_records(tmp_path):
    _, at = run(tmp_path, steps=60)
    losses = [loss for _, loss in curve(tmp_path)]
    assert len(losses) == at.step == 60
    assert losses[-1] < 0.7 * losses[0]
    assert evaluations(tmp_path)[-1][1] < evaluations(tmp_path)[0][1]
    assert (tmp_path / "loss.png").stat().st_size > 1000


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_and_resumed_the_losses_are_bit_identical(tmp_path):
    whole, _ = run(tmp_path / "whole", steps=240)
    command = [sys.executable, str(SCRIPT), str(tmp_path / "killed"), "1", "240"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while process.poll() is None and len(record.read(tmp_path / "killed")) < 20:
        time.sleep(0.01)
    assert process.poll() is None, "the run ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = len(curve(tmp_path / "killed"))
    assert 10 < done < 240
    resumed, at = run(tmp_path / "killed", steps=240)
    assert at.step == 240
    assert curve(tmp_path / "killed") == curve(tmp_path / "whole")
    assert evaluations(tmp_path / "killed") == evaluations(tmp_path / "whole")
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def test_two_ranks_follow_the_curve_of_one(tmp_path):
    run(tmp_path / "one", parts=2, steps=15)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, str(SCRIPT), str(tmp_path / "two"), "2", "15"]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    one, two = (torch.tensor([loss for _, loss in curve(tmp_path / name)]) for name in ("one", "two"))
    torch.testing.assert_close(two, one, rtol=1e-5, atol=1e-5)


def test_parts_do_not_change_what_is_learned(tmp_path):
    losses = []
    for parts in (1, 3):
        run(tmp_path / str(parts), parts=parts, steps=10, dropout=0.0)
        losses.append(torch.tensor([loss for _, loss in curve(tmp_path / str(parts))]))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)


def test_it_stops_when_nothing_gets_better(tmp_path):
    _, at = run(tmp_path, steps=200, lr=0.0, average=None, patience=2, evaluate_every=5)
    assert (at.step, at.worse) == (15, 2)
    _, again = run(tmp_path, steps=200, lr=0.0, average=None, patience=2, evaluate_every=5)
    assert again == at


@pytest.mark.parametrize("average", [None, 0.5])
def test_stopped_early_it_has_the_weights_that_were_best(tmp_path, average):
    changes = {"steps": 300, "average": average, "patience": 2, "evaluate_every": 5, "dropout": 0.0}
    model, at = run(tmp_path, lr=0.3, **changes)
    assert at.step < 300
    assert at.best == min(loss for _, loss in evaluations(tmp_path)) < at.last
    held_out = [tiny_documents(20, seed=1).parts(0, 1)[0]]
    assert evaluate(model, NextToken(torch_ops), held_out) == at.best


def state(folder):
    return load_file(folder / "state.safetensors")


def test_where_the_loss_is_no_number_any_more_the_last_state_is_kept(tmp_path):
    run(tmp_path, steps=5)
    with pytest.raises(TrainingError, match="Give a lower lr"):
        run(tmp_path, steps=40, lr=1e30)
    assert all(tensor.isfinite().all() for tensor in state(tmp_path).values())
    _, at = run(tmp_path, steps=20, lr=1e-3)
    assert at.step == 20


def test_a_batch_in_which_nothing_counts_is_refused(tmp_path):
    documents = Documents(np.arange(8), np.zeros(8, np.float32), np.array([0, 4, 8]), 8)
    plan = TrainConfig(steps=3, lr=0.1)
    with pytest.raises(TrainingError, match="the batch weighing 0"):
        train(tiny_model(), documents, NextToken(torch_ops), plan, tmp_path)


def test_another_models_state_is_refused(tmp_path):
    run(tmp_path, steps=5)
    other = tiny_model(vocab_size=33)
    with pytest.raises(WeightsError, match="another model"):
        train(other, tiny_documents(), NextToken(torch_ops), TrainConfig(steps=9, lr=0.1), tmp_path)


def test_the_state_of_more_layers_is_another_models(tmp_path):
    run(tmp_path, steps=5)
    with pytest.raises(WeightsError, match=r"another model \(blocks\.1\."):
        run(tmp_path, steps=9, fields={"num_hidden_layers": 1})


def test_another_model_of_the_same_shape_does_not_go_on_from_the_state(tmp_path):
    run(tmp_path, steps=5)
    plan = TrainConfig(steps=9, lr=0.1, average=0.9)
    with pytest.raises(WeightsError, match="another model to begin with"):
        train(tiny_model(seed=1), tiny_documents(), NextToken(torch_ops), plan, tmp_path)


@pytest.mark.parametrize(
    "what, documents, changes",
    [
        ("data", {"seed": 7}, {}),
        ("seed", {}, {"seed": 1}),
        ("optimizer", {}, {"optimizer": muon}),
        ("average", {}, {"average": None}),
    ],
)
def test_another_runs_state_is_refused(tmp_path, what, documents, changes):
    run(tmp_path, steps=5)
    plan = TrainConfig(**{"steps": 9, "lr": 0.1, "average": 0.9} | changes)
    with pytest.raises(WeightsError, match=f"state of a run with another {what};"):
        train(tiny_model(), tiny_documents(**documents), NextToken(torch_ops), plan, tmp_path)


def test_a_damaged_state_is_named(tmp_path):
    run(tmp_path, steps=5)
    (tmp_path / "state.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="is damaged"):
        run(tmp_path, steps=9)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_mixture_of_experts_some_of_which_no_token_meets_resumes_exactly(tmp_path, parts):
    experts = {"model_type": "mixtral", "num_local_experts": 16, "num_experts_per_tok": 2}
    experts |= {"num_key_value_heads": 2, "head_dim": 8}
    given = {"fields": experts, "documents": {"tokens_per_step": 8}, "save_every": 1}
    given["schedule"] = lambda step: 1.0  # whatever the number of steps
    whole, _ = run(tmp_path / "whole", parts, 12, **given)
    run(tmp_path / "resumed", parts, 5, **given)
    resumed, _ = run(tmp_path / "resumed", parts, 12, **given)
    assert len(curve(tmp_path / "whole")) == 12
    assert curve(tmp_path / "resumed") == curve(tmp_path / "whole")
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_step_of_fewer_documents_than_parts_is_trained_on(tmp_path):
    losses = []
    for parts in (1, 5):
        run(tmp_path / str(parts), parts, 6, documents={"tokens_per_step": 4}, dropout=0.0)
        losses.append(torch.tensor([loss for _, loss in curve(tmp_path / str(parts))]))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"parts": 0}, {"save_every": 0}, {"patience": 0}, {"lr": math.nan}, {"average": 1.0}],
)
def test_a_plan_that_cannot_be_followed_says_why(wrong):
    (name,) = wrong
    with pytest.raises(TrainingError, match=f"{name}="):
        TrainConfig(**{"steps": 10, "lr": 0.1} | wrong)


def test_bf16_autocast_trains(tmp_path):
    run(tmp_path, steps=30, autocast=torch.bfloat16)
    losses = [loss for _, loss in curve(tmp_path)]
    assert losses[-1] < losses[0]
