"""The engines that `cpu_peers.py` times, each run in a process of its own.

`python benchmarks/cpu_engines.py ENGINE FILE` reads a task a line, `[[sequences, prompt, new], round]` in
JSON, and answers each with a line.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

CLOCK = time.perf_counter


class Task(NamedTuple):
    """What is timed: `new` tokens of each sequence after its prompt, or the prompt where `new` is 0."""

    sequences: int
    prompt: int
    new: int


TASKS = {
    "decode": Task(sequences=1, prompt=128, new=64),
    "batch": Task(sequences=16, prompt=32, new=32),
    "prefill": Task(sequences=1, prompt=512, new=0),
    "long": Task(sequences=1, prompt=4064, new=32),
}


def prompts_of(task: Task, vocabulary: int, seed: int = 0) -> list[list[int]]:
    """Different ids for each sequence and seed, the same for every engine."""
    return [
        [3 + (seed * 15485863 + s * 7919 + i * 104729) % (vocabulary - 3) for i in range(task.prompt)]
        for s in range(task.sequences)
    ]


class Pellucid:
    """`LLM.generate`."""

    def __init__(self, file: str, threads: int, dtype: str) -> None:
        import torch

        from pellucid import LLM

        torch.set_num_threads(threads)
        self.llm = LLM(
            file,
            dtype=dtype,
            max_num_seqs=16,
            max_num_batched_tokens=512,
            num_gpu_blocks_override=320,
            skip_tokenizer_init=True,
        )

    def seconds(self, prompts: list[list[int]], new: int) -> float:
        from pellucid import SamplingParams

        params = SamplingParams(temperature=0, max_tokens=new, ignore_eos=True)
        start = CLOCK()
        self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], params, use_tqdm=False)
        return CLOCK() - start

    def run(self, task: Task, round: int) -> float:
        """Tokens a second: of the prompt where nothing is generated, else of what is. The prefix cache has
        the prompt from the first round on, and whatever it lacks is the same in both runs."""
        vocabulary = self.llm.config.vocab_size
        if not task.new:
            return task.prompt / self.seconds(prompts_of(task, vocabulary, round), 1)
        prompts = prompts_of(task, vocabulary)
        if round == 0:
            self.seconds(prompts, 1)
        before, after = self.seconds(prompts, 1), self.seconds(prompts, 1 + task.new)
        return task.sequences * task.new / (after - before)


class LlamaCpp:
    """`llama_decode` and the greedy sampler, called from Python."""

    def __init__(self, file: str, threads: int, dtype: str) -> None:
        import llama_cpp as c

        self.c = c
        self._quiet = c.llama_log_callback(lambda level, text, data: None)
        c.llama_log_set(self._quiet, None)
        self.model = c.llama_model_load_from_file(file.encode(), c.llama_model_default_params())
        self.vocabulary = c.llama_vocab_n_tokens(c.llama_model_get_vocab(self.model))
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_seq_max = 5120, 512, 512, 16
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        self.ctx = c.llama_init_from_model(self.model, params)
        self.memory = c.llama_get_memory(self.ctx)
        self.batch = c.llama_batch_init(512, 0, 16)
        self.greedy = c.llama_sampler_init_greedy()

    def decode(self, tokens: Sequence[tuple[int, int, int, bool]]) -> None:
        """One step over (token, position, sequence, whether logits are wanted)."""
        self.batch.n_tokens = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i], self.batch.logits[i] = token, position, wanted
            self.batch.n_seq_id[i], self.batch.seq_id[i][0] = 1, sequence
        if self.c.llama_decode(self.ctx, self.batch):
            raise RuntimeError("llama_decode failed")

    def prefill(self, prompts: list[list[int]]) -> None:
        self.c.llama_memory_clear(self.memory, True)
        for s, ids in enumerate(prompts):
            for at in range(0, len(ids), 512):
                part = enumerate(ids[at : at + 512], at)
                self.decode([(token, i, s, i == len(ids) - 1) for i, token in part])

    def run(self, task: Task, round: int) -> float:
        """As Pellucid.run."""
        n = task.prompt
        if not task.new:
            prompts = prompts_of(task, self.vocabulary, round)
            start = CLOCK()
            self.prefill(prompts)
            self.c.llama_sampler_sample(self.greedy, self.ctx, -1)
            return n / (CLOCK() - start)
        prompts = prompts_of(task, self.vocabulary)
        if round == 0:
            self.prefill(prompts)
        for s in range(task.sequences):
            self.c.llama_memory_seq_rm(self.memory, s, n - 1, -1)
        self.decode([(ids[-1], n - 1, s, True) for s, ids in enumerate(prompts)])
        latest = [self.c.llama_sampler_sample(self.greedy, self.ctx, s) for s in range(task.sequences)]
        start = CLOCK()
        for step in range(task.new):
            self.decode([(token, n + step, s, True) for s, token in enumerate(latest)])
            latest = [self.c.llama_sampler_sample(self.greedy, self.ctx, i) for i in range(len(latest))]
        return task.sequences * task.new / (CLOCK() - start)


class Transformers:
    """`generate` of transformers, the GGUF file unpacked to bfloat16."""

    def __init__(self, file: str, threads: int, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        path = Path(file)
        self.model = AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.bfloat16
        ).eval()

    def run(self, task: Task, round: int) -> float:
        """As Pellucid.run."""
        import torch

        ids = torch.tensor(prompts_of(task, self.model.config.vocab_size, 0 if task.new else round))
        with torch.inference_mode():
            start = CLOCK()
            out = self.model(ids, use_cache=True, logits_to_keep=1)
            if not task.new:
                return task.prompt / (CLOCK() - start)
            start = CLOCK()
            for _ in range(task.new):
                latest = out.logits[:, -1:].argmax(-1)
                out = self.model(latest, past_key_values=out.past_key_values, use_cache=True)
        return task.sequences * task.new / (CLOCK() - start)


class OpenVino:
    """`LLMPipeline.generate` of OpenVINO GenAI (pip install openvino-genai), which reads the GGUF file itself
    and chooses how to hold keys and values (8 bits)."""

    def __init__(self, file: str, threads: int, dtype: str) -> None:
        import openvino_genai
        from gguf import GGUFReader

        self.genai = openvino_genai
        self.pipeline = openvino_genai.LLMPipeline(file, "CPU", INFERENCE_NUM_THREADS=threads)
        table = next(tensor for tensor in GGUFReader(file).tensors if tensor.name == "token_embd.weight")
        self.vocabulary = int(table.shape[1])

    def seconds(self, prompts: list[list[int]], new: int) -> float:
        import numpy as np
        from openvino import Tensor

        ids = np.array(prompts, np.int64)
        inputs = self.genai.TokenizedInputs(Tensor(ids), Tensor(np.ones_like(ids)))
        config = self.genai.GenerationConfig(max_new_tokens=new, ignore_eos=True, do_sample=False)
        start = CLOCK()
        tokens = self.pipeline.generate(inputs, config).tokens
        taken = CLOCK() - start
        assert [len(row) for row in tokens] == [new] * len(prompts)
        return taken

    def run(self, task: Task, round: int) -> float:
        """As Pellucid.run."""
        if not task.new:
            return task.prompt / self.seconds(prompts_of(task, self.vocabulary, round), 1)
        prompts = prompts_of(task, self.vocabulary)
        before, after = self.seconds(prompts, 1), self.seconds(prompts, 1 + task.new)
        return task.sequences * task.new / (after - before)


class ReadLimit:
    """What decoding one sequence cannot pass: memory's speed over the bytes of the weights that it reads."""

    def __init__(self, file: str, threads: int, dtype: str) -> None:
        import torch
        from gguf import GGUFReader

        torch.set_num_threads(threads)
        sizes = {tensor.name: int(tensor.n_bytes) for tensor in GGUFReader(file).tensors}
        if "output.weight" in sizes:
            del sizes["token_embd.weight"]
        self.bytes_a_token = sum(sizes.values())

    def run(self, task: Task, round: int) -> float:
        """Tokens a second."""
        import torch

        from pellucid.device import read_bandwidth

        return read_bandwidth(torch.device("cpu")) / self.bytes_a_token


ENGINES: dict[str, Callable[[str, int, str], Any]] = {
    "pellucid": Pellucid,
    "llama.cpp": LlamaCpp,
    "transformers": Transformers,
    "openvino": OpenVino,
    "read limit": ReadLimit,
}


def work(engine: str, file: str, threads: int, dtype: str, cpu_time: bool) -> None:
    """Answer tasks, a JSON line each, until there are no more."""
    global CLOCK
    CLOCK = time.process_time if cpu_time else time.perf_counter
    try:
        running = ENGINES[engine](file, threads, dtype)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        task, round = json.loads(line)
        print(json.dumps({"rate": running.run(Task(*task), round), "peak": peak_bytes()}), flush=True)


def peak_bytes() -> int:
    """The most memory that this process has held, pages of mapped files included."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--cpu-time", action="store_true")
    given = parser.parse_args()
    work(given.engine, given.file, given.threads, given.dtype, given.cpu_time)


if __name__ == "__main__":
    main()
