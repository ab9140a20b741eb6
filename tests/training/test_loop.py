"""Training learns, resumes after a SIGKILL as if nothing had been, and is the same by one rank or two."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import run, tiny_model

from pellucid.errors import WeightsError
from pellucid.training import record

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
    assert at.step == 20


def test_another_models_state_is_refused(tmp_path):
    run(tmp_path, steps=5)
    other = tiny_model()
    other.lm_head.weight = other.embed_tokens.weight = torch.nn.Parameter(torch.zeros(33, 16))
    from pellucid.training.checkpoint import load_state
    from pellucid.training.optim import adamw

    optimizer = adamw(other, lr=0.1, weight_decay=0.0, betas=(0.9, 0.9))
    with pytest.raises(WeightsError, match="another model"):
        load_state(tmp_path, other, optimizer, None)


def test_bf16_autocast_trains(tmp_path):
    run(tmp_path, steps=30, autocast=torch.bfloat16)
    losses = [loss for _, loss in curve(tmp_path)]
    assert losses[-1] < losses[0]
