"""Every decoder family says through the C++ kernels what transformers says, with the same bits in any company."""

import pytest
import torch
from engine.engine_runs import ask, make_engine, run
from parity.checkpoints import make, prompt, save
from parity.decoder_cases import CASES

from pellucid.engine.backend import choose_backend
from pellucid.kernels.cpu import library
from pellucid.models.loading import load_model
from pellucid.sampling.params import SamplingParams

if isinstance(library.load(), str):
    pytest.skip(library.load(), allow_module_level=True)
GREEDY = SamplingParams(temperature=0, max_tokens=12, logprobs=2, ignore_eos=True)
# Experts are chosen as the tokens come, logits soft-capped and each head normed by itself with torch's operators.
EAGER = {
    "mixtral",
    "mixtral-window-3-of-8",
    "qwen3-moe",
    "qwen3-moe-normalised-some-layers",
    "qwen3-moe-window",
    "gemma2",
    "gemma2-tight-caps",
    "gemma3-pattern-cap",
    "stablelm-parallel-head-norms",
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_tokens_and_bits(name, tmp_path) -> None:
    case = CASES[name]
    theirs = make(case.model_type, case.fields)
    model = load_model(save(theirs, tmp_path), device="cpu")
    backend = choose_backend(torch.device("cpu"), torch.float32)
    options = {"kernels": backend.kernels, "make_runner": backend.make_runner}
    prompts = [prompt(length, theirs.config.vocab_size, seed=length) for length in (30, 9, 3)]
    requests = [ask(i, ids, GREEDY) for i, ids in enumerate(prompts)]
    engine = make_engine(model, max_num_batched_tokens=11, **options)
    assert bool(engine.runner.why_eager) == (name in EAGER)
    together = run(engine, requests)
    for i, ids in enumerate(prompts):
        alone = run(make_engine(model, **options), [ask(0, ids, GREEDY)])["0", 0]
        assert alone[:2] == together[str(i), 0][:2]
    made = theirs.generate(torch.tensor([prompts[0]]), max_new_tokens=12, do_sample=False, pad_token_id=0)
    assert together["0", 0][0] == made[0, len(prompts[0]) :].tolist()
