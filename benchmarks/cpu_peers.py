"""Pellucid beside llama.cpp and transformers on this machine's CPU: paired rounds, ratios with their spread.

    python benchmarks/random_gguf.py 1.1b Q4_0 /tmp/b-q4.gguf
    python benchmarks/cpu_peers.py /tmp/b-q4.gguf --rounds 9

Every engine runs in a process of its own and all take turns within a round, so that what else happens on the
machine happens to all; the ratio of each round is what counts. Ours runs through `LLM.generate`, sampler
included; llama.cpp through its C functions (llama-cpp-python, compiled for this machine), with no Python in
the loop but for the calls. Tasks: decode (64 tokens after a prompt of 128), batch (16 sequences at once),
prefill (512 tokens), long (decode at a context of 4,096). On a busy machine, `--threads 1 --cpu-time`
compares what the engines cost instead of how long they wait.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CLOCK = time.perf_counter
Task = dict[str, int]
TASKS: dict[str, Task] = {
    "decode": {"sequences": 1, "prompt": 128, "new": 64},
    "batch": {"sequences": 16, "prompt": 32, "new": 24},
    "prefill": {"sequences": 1, "prompt": 512, "new": 0},
    "long": {"sequences": 1, "prompt": 4064, "new": 32},
}


def prompts_of(task: Task, vocabulary: int) -> list[list[int]]:
    """Different ids for each sequence, the same for every engine."""
    return [
        [3 + (s * 7919 + i * 104729) % (vocabulary - 3) for i in range(task["prompt"])]
        for s in range(task["sequences"])
    ]


class Pellucid:
    """`LLM.generate`."""

    def __init__(self, file: str, threads: int) -> None:
        import torch

        from pellucid import LLM

        torch.set_num_threads(threads)
        self.llm = LLM(
            file,
            max_num_seqs=16,
            max_num_batched_tokens=512,
            num_gpu_blocks_override=320,
            enable_prefix_caching=False,
            skip_tokenizer_init=True,
        )

    def seconds(self, prompts: list[list[int]], new: int) -> float:
        from pellucid import SamplingParams

        params = SamplingParams(temperature=0, max_tokens=new, ignore_eos=True)
        start = CLOCK()
        self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        return CLOCK() - start

    def run(self, task: Task) -> float:
        """Tokens a second: of the prompt where nothing is generated, else of what is."""
        prompts = prompts_of(task, self.llm.config.vocab_size)
        if not task["new"]:
            return task["prompt"] / self.seconds(prompts, 1)
        before, after = self.seconds(prompts, 1), self.seconds(prompts, 1 + task["new"])
        return task["sequences"] * task["new"] / (after - before)


class LlamaCpp:
    """`llama_decode` and the greedy sampler, called from Python."""

    def __init__(self, file: str, threads: int) -> None:
        import llama_cpp as c

        self.c = c
        c.llama_log_set(c.llama_log_callback(lambda level, text, data: None), None)
        self._quiet = c.llama_log_callback(lambda level, text, data: None)
        c.llama_log_set(self._quiet, None)
        self.model = c.llama_model_load_from_file(file.encode(), c.llama_model_default_params())
        self.vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = 5120, 512, 512, 16
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        self.ctx = c.llama_init_from_model(self.model, params)
        self.batch = c.llama_batch_init(512, 0, 16)
        self.greedy = c.llama_sampler_init_greedy()

    def decode(self, tokens: list[tuple[int, int, int, bool]]) -> None:
        """One step over (token, position, sequence, whether logits are wanted)."""
        self.batch.n_tokens = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, position, wanted
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
        if self.c.llama_decode(self.ctx, self.batch):
            raise RuntimeError("llama_decode failed")

    def run(self, task: Task) -> float:
        """As Pellucid.run."""
        self.c.llama_memory_clear(self.c.llama_get_memory(self.ctx), True)
        prompts = prompts_of(task, self.vocabulary)
        n = task["prompt"]
        start = CLOCK()
        latest = []
        for s, ids in enumerate(prompts):
            for at in range(0, n, 512):
                part = ids[at : at + 512]
                self.decode([(token, at + i, s, at + i == n - 1) for i, token in enumerate(part)])
            latest.append(self.c.llama_sampler_sample(self.greedy, self.ctx, -1))
        if not task["new"]:
            return n / (CLOCK() - start)
        start = CLOCK()
        for step in range(task["new"]):
            self.decode([(token, n + step, s, True) for s, token in enumerate(latest)])
            latest = [self.c.llama_sampler_sample(self.greedy, self.ctx, i) for i in range(len(latest))]
        return task["sequences"] * task["new"] / (CLOCK() - start)


class Transformers:
    """`generate` of transformers, the GGUF file unpacked to a dtype."""

    def __init__(self, file: str, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        path = Path(file)
        self.model = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.bfloat16
        ).eval()

    def run(self, task: Task) -> float:
        """As Pellucid.run."""
        import torch

        ids = torch.tensor(prompts_of(task, self.model.config.vocab_size))
        with torch.inference_mode():
            start = CLOCK()
            out = self.model(ids, use_cache=True, logits_to_keep=1)
            if not task["new"]:
                return task["prompt"] / (CLOCK() - start)
            start = CLOCK()
            for _ in range(task["new"]):
                latest = out.logits[:, -1:].argmax(-1)
                out = self.model(latest, past_key_values=out.past_key_values, use_cache=True)
        return task["sequences"] * task["new"] / (CLOCK() - start)


ENGINES: dict[str, Callable[[str, int], Any]] = {
    "pellucid": Pellucid,
    "llama.cpp": LlamaCpp,
    "transformers": Transformers,
}


def work(engine: str, file: str, threads: int, cpu_time: bool) -> None:
    """Answer tasks, a JSON line each, until there are no more."""
    global CLOCK
    CLOCK = time.process_time if cpu_time else time.perf_counter
    try:
        running = ENGINES[engine](file, threads)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps({"rate": running.run(json.loads(line))}), flush=True)


class Worker:
    """An engine in a process of its own, idle between tasks."""

    def __init__(self, engine: str, file: str, threads: int, cpu_time: bool) -> None:
        command = [sys.executable, __file__, file, "--engine", engine, "--threads", str(threads)]
        command += ["--cpu-time"] * cpu_time
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.missing = self._answer().get("missing")

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        return {"missing": f"its process ended with status {self.process.wait()}"}

    def run(self, task: Task) -> float:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        return float(self._answer()["rate"])


def compare(
    file: str, peers: list[str], tasks: list[str], rounds: int, threads: int, cpu_time: bool
) -> list[dict[str, Any]]:
    """Each peer's rate and our ratio to it, by task."""
    workers = {name: Worker(name, file, threads, cpu_time) for name in ["pellucid", *peers]}
    for name in [name for name, worker in workers.items() if worker.missing]:
        print(f"{name} is left out: {workers.pop(name).missing}", file=sys.stderr)
    found = []
    for task in tasks:
        rates: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(rounds + 1):  # the first warms up
            for name, worker in workers.items():
                rates[name].append(worker.run(TASKS[task]))
        for name in workers:
            ratios = [a / b for a, b in zip(rates["pellucid"][1:], rates[name][1:], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            found.append(
                {
                    "task": task,
                    "engine": name,
                    "tokens_per_second": round(statistics.median(rates[name][1:]), 2),
                    "ours_over_it": [round(x, 3) for x in (low, middle, high)],
                }
            )
            print(found[-1], flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", help="a GGUF file")
    parser.add_argument("--peers", default="llama.cpp")
    parser.add_argument("--tasks", default="decode,batch,prefill")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time instead of time, for one thread"
    )
    parser.add_argument("--engine", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.engine:
        return work(given.engine, given.file, given.threads, given.cpu_time)
    peers, tasks = given.peers.split(","), given.tasks.split(",")
    compare(given.file, peers, tasks, given.rounds, given.threads, given.cpu_time)


if __name__ == "__main__":
    main()
