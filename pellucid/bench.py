"""Measures what running a model costs on this machine: speed, and where the time of a step goes."""

import statistics
import time

import torch

from pellucid.cost import Cost
from pellucid.device import read_bandwidth
from pellucid.kernels.cpu import library
from pellucid.llm import LLM
from pellucid.sampling.params import SamplingParams

ROUNDS = 3


def bench(llm: LLM, prompt_tokens: int = 512, new_tokens: int = 64) -> Cost:
    """Run one random prompt a few times, and look at the medians."""
    new_tokens = max(2, min(new_tokens, llm.engine.max_model_len // 2))
    prompt_tokens = max(1, min(prompt_tokens, llm.engine.max_model_len - new_tokens - 1))
    vocab_size, generator = llm.engine.vocab_size, torch.Generator().manual_seed(0)
    bandwidth = read_bandwidth(llm.device)
    prefills, decodes = [], []
    for _ in range(ROUNDS):
        ids = torch.randint(vocab_size, (prompt_tokens,), generator=generator).tolist()
        prefills.append(prompt_tokens / _seconds(llm, ids, 1))
        _seconds(llm, ids, new_tokens)
        steps = [s for s in llm.engine.steps if all(part.phase == "decode" for part in s.work)]
        decodes += steps[1 - new_tokens :]
    return Cost(
        model=llm.name,
        backend=llm.backend.name,
        weights=llm.footprint.dtype,
        weight_bytes_per_token=llm.footprint.weight_bytes_per_token,
        kv_cache=str(llm.engine.kv_dtype).removeprefix("torch."),
        kv_bytes_per_token=llm.engine.kv_bytes_per_token,
        threads=torch.get_num_threads(),
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        prefill_rate=statistics.median(prefills),
        decode_rate=1e3 / statistics.median(step.total_ms for step in decodes),
        read_bandwidth=bandwidth,
        schedule_ms=statistics.median(step.schedule_ms for step in decodes),
        model_ms=statistics.median(step.model_ms for step in decodes),
        sample_ms=statistics.median(step.sample_ms for step in decodes),
        operations_ms={name: s * 1e3 for name, s in llm.engine.runner.profile().items()},
        why_no_tape=llm.engine.runner.why_eager,
        instruction_sets=_instruction_sets(),
    )


def _seconds(llm: LLM, ids: list[int], new_tokens: int) -> float:
    params = SamplingParams(temperature=0, max_tokens=new_tokens, ignore_eos=True)
    start = time.perf_counter()
    llm.generate({"prompt_token_ids": ids}, params, use_tqdm=False)
    return time.perf_counter() - start


def _instruction_sets() -> dict[str, bool]:
    loaded = library.load()
    return {} if isinstance(loaded, str) else loaded.paths()
