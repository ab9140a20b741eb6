"""Products in half precision are chosen where the machine is said to be fast at them, and nowhere else."""

import pytest
import torch

from pellucid.device import half_precision


@pytest.mark.parametrize("avx, amx", [(False, False), (True, False), (False, True)])
def test_half_precision_on_a_cpu(monkeypatch, avx, amx):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert half_precision(torch.device("cpu")) == (torch.bfloat16 if avx or amx else None)


@pytest.mark.parametrize("fast", [False, True])
def test_half_precision_on_a_gpu(monkeypatch, fast):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: fast)
    assert half_precision(torch.device("cuda", 0)) == (torch.bfloat16 if fast else None)


def test_half_precision_elsewhere():
    assert half_precision(torch.device("mps")) is None
