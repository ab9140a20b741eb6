"""transformers on the same requests: padded static batches, and its continuous batching."""

import time

import torch
import transformers
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

Pairs = list[tuple[list[int], int]]
"""A prompt and how many tokens to add to it, for each request."""
BATCH = 16


def load(folder: str, dtype: str):
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation="sdpa"
    )
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=None, pad_token_id=0)
    return model.eval()


@torch.inference_mode()
def static_batches(folder: str, dtype: str, pairs: Pairs) -> float:
    """Seconds for `generate` on batches of 16 in the order of arrival, padded left; a batch runs until its
    longest output is done."""
    model = load(folder, dtype)
    model.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4)
    began = time.perf_counter()
    for first in range(0, len(pairs), BATCH):
        some = pairs[first : first + BATCH]
        longest = max(len(prompt) for prompt, _ in some)
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt, _ in some])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt, _ in some])
        model.generate(ids, attention_mask=mask, max_new_tokens=max(count for _, count in some))
    return time.perf_counter() - began


def continuous_batching(folder: str, dtype: str, pairs: Pairs) -> float:
    """Seconds for transformers' continuous batching, each request with its own output length."""
    model = load(folder, dtype)
    tokens = sum(len(prompt) + count for prompt, count in pairs)
    config = ContinuousBatchingConfig(
        page_size=16,
        num_blocks=tokens // 16 + 2 * len(pairs),
        max_batch_tokens=256,
        allow_block_sharing=False,
    )
    manager = model.init_continuous_batching(continuous_batching_config=config)
    manager.start()
    try:
        manager.add_request([5, 6, 7], max_new_tokens=4)
        collect(manager, 1)
        began = time.perf_counter()
        for prompt, count in pairs:
            manager.add_request(prompt, max_new_tokens=count)
        found = collect(manager, len(pairs))
        seconds = time.perf_counter() - began
        assert found == sum(count for _, count in pairs), f"{found} tokens came out"
        return seconds
    finally:
        manager.stop(block=True)


def collect(manager, count: int) -> int:
    """Wait for so many requests to finish; how many tokens they have."""
    tokens = 0
    while count:
        result = manager.get_result(timeout=1)
        if result is not None and result.is_finished():
            count -= 1
            tokens += len(result.generated_tokens)
    return tokens
