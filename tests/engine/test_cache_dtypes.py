"""Keys and values kept in 8 bits: near the float cache's answers, and with our own kernels the same bits whatever the
company and however the engine gets there."""

import pytest
import torch
from engine_runs import ask, make_engine, run
from tiny_models import TINY, tiny

from pellucid.engine.backend import choose_backend
from pellucid.engine.drafting import ModelSpeculation, NgramSpeculation
from pellucid.kernels import torch_ops
from pellucid.kernels.cpu import library
from pellucid.sampling.params import BeamSearchParams, SamplingParams

OWN = choose_backend(torch.device("cpu"), torch.float32)
PROMPT = [5, 17, 3, 40, 8, 90, 33, 2, 1, 60, 12, 75, 31, 4, 4, 66, 9]
GREEDY = SamplingParams(temperature=0, max_tokens=30, logprobs=0, ignore_eos=True)
WAYS = {
    "prefix cache": {},
    "no prefix cache": {"enable_prefix_caching": False},
    "chunks of 1": {"max_num_batched_tokens": 5, "max_num_seqs": 4},
    "chunks of 7": {"max_num_batched_tokens": 11, "max_num_seqs": 4},
    "n-gram drafts": {"speculation": NgramSpeculation(num_speculative_tokens=3), "max_num_seqs": 3},
    "no cache at all": {"use_cache": False, "max_num_seqs": 4},
    "one by one": {"make_runner": None},
    "preempted": {"max_num_seqs": 6, "enable_prefix_caching": False},
}
own_kernels = pytest.mark.skipif(isinstance(library.load(), str), reason=str(library.load()))


def engine_of(model, **options):
    options = {"kernels": OWN.kernels, "make_runner": OWN.make_runner, "kv_dtype": torch.int8, **options}
    return make_engine(model, **{key: value for key, value in options.items() if value is not None})


def company():
    """Others with some of the prompt, several samples of one prompt among them, which share its last block."""
    drawn = SamplingParams(n=3, temperature=1.0, seed=1, max_tokens=9, ignore_eos=True)
    return [ask(1, PROMPT[:9], drawn), ask(2, list(range(60)), GREEDY), ask(3, PROMPT[:14], GREEDY)]


@own_kernels
@pytest.mark.parametrize("name", TINY)
def test_the_same_bits_by_every_way_of_serving(name):
    model = tiny(name)
    alone = run(engine_of(model), [ask("me", PROMPT, GREEDY)])["me", 0][:2]
    drafting = {"model drafts": {"speculation": ModelSpeculation(model=model, num_speculative_tokens=3)}}
    for way, options in {**WAYS, **drafting}.items():
        engine = engine_of(model, **options)

        def preempt(step, engine=engine, way=way):
            for sample in engine.scheduler.running[:] if way == "preempted" and step % 5 == 4 else ():
                engine.scheduler.preempt(sample)

        requests = [ask("first", PROMPT, GREEDY), *company(), ask("me", PROMPT, GREEDY)]
        said = run(engine, requests, before_step=preempt)
        for who in ("first", "me"):
            assert said[who, 0][:2] == alone, way
        assert len(said) == 7


@own_kernels
def test_beams_that_copy_blocks_find_the_same_in_company():
    search = ask("beams", PROMPT, BeamSearchParams(beam_width=4, max_tokens=15))
    alone = run(engine_of(tiny("llama")), [search])
    together = run(engine_of(tiny("llama"), max_num_batched_tokens=9, max_num_seqs=8), [*company(), search])
    scores = [[said["beams", i][2].score for i in range(4)] for said in (alone, together)]
    assert scores[0] == scores[1]
    assert [alone["beams", i][0] for i in range(4)] == [together["beams", i][0] for i in range(4)]


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("backend", ["own", "torch"])
def test_what_is_said_is_near_what_the_float_cache_says(name, backend):
    kernels = {"kernels": torch_ops, "make_runner": None} if backend == "torch" else {}
    params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=0)
    logprobs = []
    for kept in (torch.float32, torch.int8):
        said = run(engine_of(tiny(name), kv_dtype=kept, **kernels), [ask("me", PROMPT * 3, params)])
        found = said["me", 0][2].prompt_logprobs[1:]
        logprobs.append(torch.tensor([next(iter(each.values())).logprob for each in found]))
    off = (logprobs[1] - logprobs[0]).abs()
    assert 0 < off.mean() < 0.03 and off.max() < 0.3


def test_a_token_takes_its_numbers_and_a_scale_a_head():
    model = tiny("llama")
    kept = {dtype: make_engine(model, kv_dtype=dtype) for dtype in (torch.float32, torch.int8)}
    assert kept[torch.float32].kv_bytes_per_token == 2 * 2 * 2 * 8 * 4
    assert kept[torch.int8].kv_bytes_per_token == 2 * 2 * 2 * (8 + 4)
    assert kept[torch.int8].cache_size.bytes_per_block == 4 * kept[torch.int8].kv_bytes_per_token
