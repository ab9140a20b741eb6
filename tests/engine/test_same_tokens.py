"""The same tokens come out, whatever the company and however the engine gets there, for every decoder family.

With our own kernels every logprob has the same bits; with torch's, a token may differ where two are tied.
"""

import random
from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from engine_runs import ask, assert_same, make_engine, run
from parity.checkpoints import make, prompt, save
from parity.decoder_cases import CASES

from pellucid.engine.backend import Backend, choose_backend, on_torch
from pellucid.engine.drafting import ModelSpeculation, NgramSpeculation
from pellucid.kernels import torch_ops
from pellucid.kernels.cpu import library
from pellucid.models.decoder import Decoder
from pellucid.models.loading import load_model
from pellucid.sampling.params import SamplingParams

# of every family the case with the most unusual attention, and of what is common to all a few more
CHOSEN = [
    "gpt2", "llama-2-grouped", "llama-dynamic", "mistral-window", "mixtral", "qwen2-layer-types", "qwen3",
    "qwen3-moe", "gemma2", "gemma3", "olmo2", "smollm3", "stablelm", "phi-2", "phi3-longrope",
]  # fmt: skip
LENGTH = 20
GREEDY = SamplingParams(temperature=0, max_tokens=LENGTH, logprobs=0, ignore_eos=True)
PROMPT = prompt(17, 97, seed=1)
WAYS = {
    "no prefix cache": {"enable_prefix_caching": False},
    "chunks of 1": {"max_num_batched_tokens": 5, "max_num_seqs": 4},
    "chunks of 7": {"max_num_batched_tokens": 11, "max_num_seqs": 4},
    "chunks of 64": {"max_num_batched_tokens": 68, "max_num_seqs": 4},
    "n-gram drafts": {"speculation": NgramSpeculation(num_speculative_tokens=3), "max_num_seqs": 3},
    "no cache at all": {"use_cache": False, "max_num_seqs": 4},
}


def test_every_decoder_family_is_chosen():
    chosen = {CASES[name].family or CASES[name].model_type for name in CHOSEN}
    decoders = {case.family or case.model_type for case in CASES.values()}
    assert chosen == decoders - {"smollm"}, "smollm is a llama with another name"


@dataclass
class Served:
    """A model of one family, what serves it, and what it says to one prompt alone."""

    model: Decoder
    backend: Backend

    def engine(self, **options):
        backend = self.backend
        return make_engine(self.model, kernels=backend.kernels, make_runner=backend.make_runner, **options)

    @cached_property
    def alone(self):
        return run(self.engine(), [ask("me", PROMPT, GREEDY)])["me", 0]

    def check(self, said):
        if self.backend.kernels is torch_ops:
            assert_same(self.model, PROMPT, said, self.alone)
        else:
            assert said[:2] == self.alone[:2], "not the same bits"


def backends():
    """Those there are here: torch's operators, and our own kernels where they are built."""
    own = [] if isinstance(library.load(), str) else [choose_backend(torch.device("cpu"), torch.float32)]
    return [on_torch(torch.device("cpu")), *own]


@pytest.fixture(scope="module", params=CHOSEN)
def model(request, tmp_path_factory):
    case = CASES[request.param]
    folder = save(make(case.model_type, case.fields), tmp_path_factory.mktemp("model"))
    return load_model(folder, device="cpu")


@pytest.fixture(scope="module", params=backends(), ids=lambda backend: backend.name)
def served(request, model):
    return Served(model, request.param)


def company(count, seed=0):
    """Requests of all kinds: short and long, some with my own beginning, greedy and not, several samples."""
    draw = random.Random(seed)
    for i in range(count):
        begin = PROMPT[: draw.randrange(17)] if i % 3 == 0 else []
        ids = begin + prompt(draw.randint(1, 30), 97, seed=i)
        params = SamplingParams(
            temperature=draw.choice([0, 1.0]), seed=i, max_tokens=draw.randint(2, 25), ignore_eos=True
        )
        yield ask(i, ids, params)


def test_among_64_that_share_its_steps(served):
    engine = served.engine(num_blocks=900, max_num_seqs=65, max_num_batched_tokens=2000)
    said = run(engine, [*company(63), ask("me", PROMPT, GREEDY)])
    served.check(said["me", 0])
    company_sizes = [
        len(step.work) for step in engine.steps if any(work.request_id == "me" for work in step.work)
    ]
    assert max(company_sizes) == 64 and len(said) == 64


@pytest.mark.parametrize("way", WAYS)
def test_by_every_way_of_serving(served, way):
    engine = served.engine(**WAYS[way])
    said = run(engine, [ask("first", PROMPT, GREEDY), *company(4), ask("me", PROMPT, GREEDY)])
    for name in ("first", "me"):
        served.check(said[name, 0])
    if way == "n-gram drafts":
        assert engine.totals.drafted_tokens > 0
    assert (engine.totals.hit_tokens > 0) == ("cache" not in way)


def test_under_preemption(served):
    engine = served.engine(max_num_seqs=6, max_num_batched_tokens=24, enable_prefix_caching=False)

    def preempt(step):
        for sample in engine.scheduler.running[:] if step % 5 == 4 else ():
            engine.scheduler.preempt(sample)

    said = run(engine, [*company(4), ask("me", PROMPT, GREEDY)], before_step=preempt)
    served.check(said["me", 0])
    assert (
        sum(work.tokens for step in engine.steps for work in step.work if work.request_id == "me")
        > 17 + 2 * LENGTH
    )


def test_with_a_draft_model_of_its_own_family(served):
    """The model itself drafts, so that nearly every draft is right; another one, so that nearly none is."""
    engine = served.engine(speculation=ModelSpeculation(model=served.model, num_speculative_tokens=3))
    said = run(engine, [ask("first", PROMPT, GREEDY), *company(3), ask("me", PROMPT, GREEDY)])
    for name in ("first", "me"):
        served.check(said[name, 0])
    assert engine.totals.acceptance_rate > 0.9
