"""The engine: schedule, run, sample, update, one step at a time. Token ids in, token ids out.

    engine = Engine(model, kernels=torch_ops, num_blocks=1024)
    engine.add(Request(id="a", prompt_token_ids=[1, 2, 3], params=SamplingParams(max_tokens=8)))
    while engine.has_work:
        for output in engine.step():
            print(output.request_id, [token.token_id for token in output.tokens], output.finish_reason)

`add` refuses at once what can never be served. Every sample of an accepted request ends in exactly one output
with a finish reason. An engine belongs to one thread; `async_engine.py` gives it one.
"""

import time
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.cache.paged_kv import PagedKV, bytes_per_block
from pellucid.cache.sizing import size_cache
from pellucid.device import available_memory
from pellucid.engine.admission import check_request
from pellucid.engine.batch import Batch, build_batch
from pellucid.engine.choosing import Candidate, choose
from pellucid.engine.output import Output
from pellucid.engine.record import Recorder, StepRecord
from pellucid.engine.request import FinishReason, Request, Sample
from pellucid.engine.runner import Runner, Wrap
from pellucid.engine.scheduler import Scheduler, SchedulerConfig
from pellucid.errors import QueueFullError, RequestError
from pellucid.kernels import Kernels
from pellucid.models.decoder import Decoder
from pellucid.sampling.logprobs import Logprob, prompt_logprobs
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.state import SamplingState

NUM_RECORDS = 4096
PATIENCE = 1000
"""How many later requests a lower priority can let go first, for each step of priority."""


class Engine:
    """A model that serves many requests at once over one paged cache."""

    def __init__(
        self,
        model: Decoder,
        *,
        kernels: Kernels,
        num_blocks: int | None = None,
        block_size: int = 16,
        max_num_seqs: int = 64,
        max_num_batched_tokens: int = 256,
        max_model_len: int | None = None,
        max_waiting: int = 4096,
        enable_prefix_caching: bool = True,
        use_cache: bool = True,
        kv_dtype: torch.dtype | None = None,
        eos_token_ids: Sequence[int] | None = None,
    ) -> None:
        """`num_blocks` and `max_model_len` are by default what memory and the model can hold; `cache_size`
        says what came of it. `max_num_batched_tokens` is the budget of one step, raised where it could not
        hold a token of each sample and one more. With `use_cache=False` every step computes every token
        anew, to show what the cache is for. Raises OutOfMemoryError where not even one request fits.
        """
        specs = [module.spec for module in model.attentions]
        windows = [spec.window for spec in specs if spec.window is not None]
        weight = model.lm_head.weight
        dtype, device = kv_dtype or weight.dtype, weight.device
        self.cache_size = size_cache(
            bytes_per_block=bytes_per_block(specs, kernels, block_size=block_size, dtype=dtype),
            block_size=block_size,
            max_num_seqs=max_num_seqs,
            longest=model.config.max_position_embeddings,
            max_model_len=max_model_len,
            available=available_memory(device),
            device=device.type,
            num_blocks=num_blocks,
        )
        self.max_model_len, num_blocks = self.cache_size.max_model_len, self.cache_size.num_blocks
        if not use_cache:
            max_num_batched_tokens = max_num_seqs * self.max_model_len
        self.config = SchedulerConfig(
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max(max_num_batched_tokens, max_num_seqs + 1),
            window=max(windows) if len(windows) == len(specs) else None,
            enable_prefix_caching=enable_prefix_caching and use_cache,
        )
        self.scheduler = Scheduler(self.config, model.rotary_regime)
        kv = PagedKV(specs, kernels, num_blocks=num_blocks, block_size=block_size, dtype=dtype, device=device)
        self.runner = Runner(model, kernels, kv)
        self.eos_token_ids = tuple(model.config.eos_token_ids if eos_token_ids is None else eos_token_ids)
        self.max_waiting = max_waiting
        self.steps: deque[StepRecord] = deque(maxlen=NUM_RECORDS)
        self._use_cache = use_cache
        self._vocab_size = model.config.vocab_size
        self._samples: dict[str, list[Sample]] = {}
        self._prompt_logprobs: dict[str, list[dict[int, Logprob] | None]] = {}
        self._num_added = 0
        self._recorder = Recorder(self.scheduler.pool, block_size)

    @property
    def has_work(self) -> bool:
        """Whether any request is unfinished."""
        return bool(self._samples)

    def add(self, request: Request) -> None:
        """Accept a request. Raises RequestError for one that can never be served, QueueFullError for now."""
        if request.id in self._samples:
            raise RequestError(f"request id {request.id!r} is running already: give each request its own")
        if len(self.scheduler.waiting) >= self.max_waiting:
            raise QueueFullError(
                f"{len(self.scheduler.waiting)} requests are waiting, which is all that may (max_waiting): "
                "try again later"
            )
        check_request(request, self.max_model_len, self.config.max_num_seqs, self._vocab_size)
        params = request.params
        assert isinstance(params, SamplingParams)
        self._num_added += 1
        length = len(request.prompt_token_ids)
        sample = Sample(
            request,
            0,
            self.scheduler.new_table(),
            rank=(self._num_added + request.priority * PATIENCE, self._num_added, 0),
            limit=min(self.max_model_len, length + (params.max_tokens or self.max_model_len)),
            width=params.n,
        )
        sample.sampling = self._sampling_state(sample)
        if params.prompt_logprobs is not None:
            sample.next_described = 0
            self._prompt_logprobs[request.id] = [None]
        self._samples[request.id] = [sample]
        self.scheduler.add(sample)

    def abort(self, request_id: str) -> list[Output]:
        """End a request now, whatever it is doing; an unknown or finished one is left alone."""
        return self._end_request(request_id, "abort")

    def step(self, wrap: Wrap | None = None) -> list[Output]:
        """Move every request on that there is room for; what is new. `wrap` may watch the forward."""
        started = time.monotonic()
        outputs = self._end_overdue(started)
        self._recorder.begin(started)
        plan = self.scheduler.schedule()
        if not plan.shares:
            assert not self.scheduler.waiting, "requests wait and nothing can move: the scheduler is wrong"
            return outputs
        batch = build_batch(plan, self.config.block_size)
        scheduled = time.monotonic()
        logits_RV = self.runner.run(batch, wrap)
        ran = time.monotonic()
        candidates = self._update(batch, logits_RV)
        outputs += [self._output(candidate) for candidate in candidates]
        for candidate in candidates:
            if candidate.finish_reason is not None:
                self._forget(candidate.sample)
            elif not self._use_cache:
                self.scheduler.forget(candidate.sample)
        waiting, running = self.scheduler.waiting, self.scheduler.running
        self.steps.append(
            self._recorder.end(plan, candidates, waiting, running, scheduled, ran, time.monotonic())
        )
        return outputs

    def _sampling_state(self, sample: Sample) -> SamplingState:
        assert isinstance(sample.request.params, SamplingParams)
        return SamplingState(
            sample.request.params,
            sample.request.prompt_token_ids,
            sample.output_ids,
            sample_index=sample.index,
            eos_token_ids=self.eos_token_ids,
            bad_word_ids=sample.request.bad_word_ids,
        )

    def _update(self, batch: Batch, logits_RV: Tensor) -> list[Candidate]:
        """Take in what a step computed; the samples that got tokens."""
        candidates: list[Candidate] = []
        for i, share in enumerate(batch.shares):
            first, last = batch.output_starts[i], batch.output_starts[i + 1]
            if not share.draft_room:
                self.scheduler.advance(share)
            if first < last and share.first_output == share.sample.next_described:
                self._describe_prompt(share.sample, logits_RV[first:last])
            if share.completes:
                row = last - 1 - len(share.drafts)
                candidates += [Candidate(s, row, share.drafts) for s in self._fork(share.sample)]
        choose(logits_RV, candidates, self.eos_token_ids)
        accepted = {id(candidate.sample): candidate.num_accepted for candidate in candidates}
        for share in batch.shares:
            if share.draft_room:
                self.scheduler.advance(share, accepted[id(share.sample)])
        return candidates

    def _fork(self, sample: Sample) -> list[Sample]:
        """A sample whose prompt is computed becomes all of its request's samples."""
        width, sample.width = sample.width, 1
        for index in range(1, width):
            fork = self.scheduler.fork(sample, index, (*sample.rank[:2], index))
            fork.sampling = self._sampling_state(fork)
            self._samples[sample.request.id].append(fork)
        return self._samples[sample.request.id] if width > 1 else [sample]

    def _describe_prompt(self, sample: Sample, logits_TV: Tensor) -> None:
        assert isinstance(sample.request.params, SamplingParams)
        first, count = sample.next_described, sample.request.params.prompt_logprobs
        next_ids = sample.token_ids[first + 1 : min(first + 1 + len(logits_TV), sample.num_prompt)]
        found = prompt_logprobs(logits_TV[: len(next_ids)], next_ids, count or 0)
        self._prompt_logprobs[sample.request.id] += found
        sample.next_described += len(next_ids)

    def _end_overdue(self, now: float) -> list[Output]:
        overdue = [
            request_id
            for request_id, samples in self._samples.items()
            if samples[0].request.deadline is not None and samples[0].request.deadline <= now
        ]
        return [output for request_id in overdue for output in self._end_request(request_id, "timeout")]

    def _end_request(self, request_id: str, reason: FinishReason) -> list[Output]:
        ended = self._samples.get(request_id, [])[:]
        for sample in ended:
            self._forget(sample)
        return [
            Output(request_id=request_id, index=index, finish_reason=reason)
            for sample in ended
            for index in range(sample.index, sample.index + sample.width)
        ]

    def _forget(self, sample: Sample) -> None:
        """A sample ended: its blocks are free and its request goes with its last sample."""
        request_id = sample.request.id
        self.scheduler.remove(sample)
        self._samples[request_id].remove(sample)
        if not self._samples[request_id]:
            del self._samples[request_id]
            self._prompt_logprobs.pop(request_id, None)

    def _output(self, candidate: Candidate) -> Output:
        sample = candidate.sample
        first = sample.index == 0 and len(sample.output_ids) == len(candidate.tokens)
        return Output(
            request_id=sample.request.id,
            index=sample.index,
            tokens=candidate.tokens,
            finish_reason=candidate.finish_reason,
            stop_reason=candidate.stop_reason,
            error=candidate.error,
            num_cached_tokens=sample.cached_tokens,
            prompt_logprobs=self._prompt_logprobs.get(sample.request.id) if first else None,
        )
