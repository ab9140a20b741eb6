"""Adapters in the engine: who has none keeps every bit and the tape, whoever else is in the step."""

import pytest
import torch
from engine_runs import ask, assert_same, make_engine, run
from tiny_models import tiny

from pellucid.engine.backend import choose_backend
from pellucid.engine.drafting import NgramSpeculation
from pellucid.engine.runner import Runner
from pellucid.kernels.cpu import library
from pellucid.layers.adapter import Adapter, LowRank

PROMPT = [5, 17, 3, 9, 9, 41, 2, 8, 60, 7]
OTHERS = [[4, 4, 8, 90, 33], [9], list(range(1, 30))]


def adapter_of(model, seed):
    """Random changes of every block's o_proj and of the first section of its fused product."""
    generator = torch.Generator().manual_seed(seed)
    products = {}
    for block in model.blocks:
        for linear in (block.attn.qkv_proj, block.attn.o_proj):
            outputs, inputs = 8, linear.weight.shape[1]
            a_RI, b_OR = (
                torch.randn(2, inputs, generator=generator),
                torch.randn(outputs, 2, generator=generator),
            )
            products[linear] = [LowRank(a_RI * 0.3, b_OR * 0.3, 0, outputs)]
    return Adapter(str(seed), products)


def company(model):
    adapters = adapter_of(model, 1), adapter_of(model, 2)
    return [ask(i, ids, adapter=adapters[i % 2]) for i, ids in enumerate(OTHERS)]


@pytest.mark.parametrize("options", [{}, {"speculation": NgramSpeculation(num_speculative_tokens=3)}])
def test_the_same_tokens_alone_and_among_other_adapters(options) -> None:
    model = tiny("llama")
    mine = adapter_of(model, 3)
    alone = run(make_engine(model), [ask("me", PROMPT, adapter=mine)])["me", 0]
    plain = run(make_engine(model), [ask("me", PROMPT)])["me", 0]
    assert alone[0] != plain[0]
    requests = [*company(model), ask("me", PROMPT, adapter=mine), ask("no adapter", PROMPT)]
    together = run(make_engine(model, max_num_batched_tokens=13, max_num_seqs=6, **options), requests)
    assert together["me", 0][0] == alone[0]
    assert_same(model, PROMPT, together["no adapter", 0], plain)


@pytest.mark.skipif(isinstance(library.load(), str), reason="the CPU kernels are not built")
def test_with_the_compiled_kernels_no_bit_differs_and_only_adapted_steps_leave_the_tape(monkeypatch) -> None:
    model = tiny("llama")
    backend = choose_backend(torch.device("cpu"), torch.float32)
    options = {"kernels": backend.kernels, "make_runner": backend.make_runner}
    mine = adapter_of(model, 3)
    alone = {
        name: run(make_engine(model, **options), [ask(name, PROMPT, adapter=adapter)])[name, 0][:2]
        for name, adapter in {"me": mine, "no adapter": None}.items()
    }
    requests = [*company(model), ask("me", PROMPT, adapter=mine), ask("no adapter", PROMPT)]
    together = run(make_engine(model, max_num_batched_tokens=13, **options), requests)
    assert {name: together[name, 0][:2] for name in alone} == alone
    eager, run_eagerly = [], Runner.run
    monkeypatch.setattr(Runner, "run", lambda *arguments: eager.append(1) or run_eagerly(*arguments))
    engine = make_engine(model, **options)
    run(engine, [ask(i, ids) for i, ids in enumerate(OTHERS)])
    assert not eager
    run(engine, company(model))
    assert eager
