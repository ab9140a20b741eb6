"""What keeping keys and values in fewer bits costs and saves, in the engine itself.

    python benchmarks/kv_cache.py quality
    python benchmarks/kv_cache.py speed MODEL [--context 4096]

`quality`: for each dtype of the cache the perplexity of the guide's own text by the bundled model, in pieces
of 256 tokens, the mean KL divergence from the float32 cache, and how often the likeliest token stays.
`speed`: the milliseconds of a decoding step and the bytes of a token after a context of random tokens, the
dtypes in turn.
"""

import argparse
import statistics
from collections.abc import Sequence
from functools import cache

import torch
from guide_quality import SOURCE, Logits, compared, pieces

from pellucid import LLM, SamplingParams

DTYPES = ("float32", "bfloat16", "float16", "int8")


def through_the_engine(kept: str) -> Logits:
    """Log-probabilities of the whole vocabulary, as the engine gives them for a prompt."""
    llm = LLM(
        SOURCE, kv_cache_dtype=kept, device="cpu", skip_tokenizer_init=True, enable_prefix_caching=False
    )
    params = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=-1)

    def logits(ids: Sequence[int]) -> torch.Tensor:
        (output,) = llm.generate({"prompt_token_ids": list(ids)}, params, use_tqdm=False)
        assert output.prompt_logprobs is not None
        rows = torch.zeros(len(ids), llm.engine.vocab_size)  # the last is of the token after the prompt
        for row, found in enumerate(output.prompt_logprobs[1:]):
            assert found is not None
            rows[row, list(found)] = torch.tensor([one.logprob for one in found.values()])
        return rows

    return logits


def quality() -> None:
    some, exact = [tuple(piece) for piece in pieces()], cache(through_the_engine("float32"))
    print(f"{sum(map(len, some))} tokens of the guide's text")
    for kept in DTYPES[1:]:
        before, after, divergence, same = compared(exact, through_the_engine(kept), some)
        print(
            f"{kept:10} perplexity {before:.4f} -> {after:.4f}, KL {divergence:.7f}, "
            f"same winner {100 * same:.2f} %",
            flush=True,
        )


def speed(model: str, context: int, rounds: int, tokens: int) -> None:
    llms = {
        kept: LLM(
            model, kv_cache_dtype=kept, device="cpu", skip_tokenizer_init=True, max_num_seqs=1,
            max_model_len=context + rounds * tokens + 1,
        )
        for kept in DTYPES
    }  # fmt: skip
    ids = torch.randint(1000, (context,), generator=torch.Generator().manual_seed(0)).tolist()
    params = SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True)
    times: dict[str, list[float]] = {kept: [] for kept in DTYPES}
    for _ in range(rounds + 1):  # in the first one the prompt is read, then the prefix cache has it
        for kept, llm in llms.items():
            llm.generate({"prompt_token_ids": ids}, params, use_tqdm=False)
            times[kept].append(
                statistics.median(step.model_ms for step in list(llm.engine.steps)[1 - tokens :])
            )
    for kept, llm in llms.items():
        low, middle, high = statistics.quantiles(times[kept][1:], n=4)
        print(
            f"{kept:10} {middle:.2f} ms a step ({low:.2f} to {high:.2f}), "
            f"{llm.engine.kv_bytes_per_token:,} bytes a token"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("quality", "speed"))
    parser.add_argument("model", nargs="?", default=SOURCE)
    parser.add_argument("--context", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=16)
    given = parser.parse_args()
    if given.what == "quality":
        quality()
    else:
        speed(given.model, given.context, given.rounds, given.tokens)


if __name__ == "__main__":
    main()
