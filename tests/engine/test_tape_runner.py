"""A tape gives the bits of the same kernels played one by one, and the tokens of the reference."""

import pytest
import torch
from engine_runs import GREEDY, ask, assert_same, make_engine, run
from tiny_models import TINY, tiny

from pellucid.engine.backend import choose_backend
from pellucid.kernels.cpu import library

if isinstance(library.load(), str):
    pytest.skip(library.load(), allow_module_level=True)
PROMPTS = [[5, 17, 3], list(range(1, 60)), [9], [4, 4, 8, 90, 33, 2, 1, 60]]


def engines(model, **options):
    """One that plays the tape, and one that plays each operation at once."""
    backend = choose_backend(torch.device("cpu"), torch.float32)
    taped = make_engine(model, kernels=backend.kernels, make_runner=backend.make_runner, **options)
    return taped, make_engine(model, kernels=backend.kernels, **options)


@pytest.mark.parametrize("name", TINY)
def test_the_tape_has_the_bits_of_the_eager_kernels_and_the_tokens_of_the_reference(name):
    model = tiny(name)
    taped, eager = engines(model, max_num_batched_tokens=24, max_num_seqs=8)
    assert not taped.runner.why_eager
    requests = [ask(i, prompt) for i, prompt in enumerate(PROMPTS)]
    by_tape, by_hand = run(taped, requests), run(eager, requests)
    reference = run(make_engine(model), requests)
    for key, (ids, logprobs, _) in by_tape.items():
        assert (ids, logprobs) == by_hand[key][:2]
        assert_same(model, PROMPTS[int(key[0])], by_tape[key], reference[key])


@pytest.mark.parametrize("name", TINY)
def test_a_request_has_the_same_logprobs_bit_for_bit_alone_and_in_company(name):
    model = tiny(name)
    requests = [ask(i, prompt) for i, prompt in enumerate(PROMPTS)]
    together = run(engines(model, max_num_batched_tokens=13)[0], requests)
    for i, prompt in enumerate(PROMPTS):
        alone = run(engines(model)[0], [ask(0, prompt)])
        assert alone["0", 0][:2] == together[str(i), 0][:2]


def test_a_step_larger_than_the_tape_runs_all_the_same():
    model = tiny("llama")
    taped, eager = engines(model, max_num_batched_tokens=4096, max_num_seqs=4)
    taped.runner._arrays.ids_T = taped.runner._arrays.ids_T[:8]
    requests = [ask(0, PROMPTS[1]), ask(1, PROMPTS[0])]
    assert [s[:2] for s in run(taped, requests).values()] == [s[:2] for s in run(eager, requests).values()]


def test_a_tape_can_be_read():
    taped, _ = engines(tiny("llama"))
    lines = str(taped.runner.tape).splitlines()
    layer = [line.split(maxsplit=1)[1] for line in lines[1:6]]
    assert layer == [
        "product       T rows: rms norm, float32 [64, 32]",
        "rotary+store  T rows",
        "attention     T rows",
        "product       T rows: float32 [32, 32] + residual",
        "product       T rows: rms norm, float32 [96, 32] silu gate",
    ]
    assert lines[-1].endswith("product       R rows: rms norm, float32 [97, 32]")
    assert len(taped.runner.tape.timed(1, 1, 0)) == len(lines)


def test_buffers_share_memory():
    """Twice the layers need no more room: what a layer worked with is free for the next."""
    taped, _ = engines(tiny("llama"))
    tape, rows = taped.runner.tape, len(taped.runner._arrays.ids_T)
    assert tape.working_bytes < rows * 4 * (97 + 8 + 8 + 32 * 12)
    assert GREEDY.temperature == 0
