"""The engine: schedule, run, sample, update, one step at a time. Token ids in, token ids out.

    engine = Engine(model, kernels=torch_ops, num_blocks=1024)
    engine.add(Request(id="a", prompt_token_ids=[1, 2, 3], params=SamplingParams(max_tokens=8)))
    while engine.has_work:
        for output in engine.step():
            print(output.request_id, [token.token_id for token in output.tokens], output.finish_reason)

`add` refuses at once what can never be served. Every sample of an accepted request ends in exactly one output
with a finish reason. An engine belongs to one thread; `async_engine.py` gives it one.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from pellucid.cache.paged_kv import KVStyle, PagedKV
from pellucid.cache.sizing import size_cache
from pellucid.device import available_memory
from pellucid.engine.adapting import with_adapters
from pellucid.engine.admission import Admission, limit_of, width_of
from pellucid.engine.batch import Batch, build_batch, piece_of
from pellucid.engine.beam import BeamRequests
from pellucid.engine.drafting import NoSpeculation, Setting, Speculation
from pellucid.engine.memory import Memory
from pellucid.engine.output import Output, Part, Taken
from pellucid.engine.record import Recorder, StepRecord, Totals
from pellucid.engine.request import FinishReason, Request, Sample
from pellucid.engine.runner import MakeRunner, Runs, Served, Wrap, plain_runner, specs_of, widest_window
from pellucid.engine.sampled import SampledRequests
from pellucid.engine.scheduler import Plan, Scheduler, SchedulerConfig
from pellucid.errors import QueueFullError, RequestError
from pellucid.kernels import Kernels
from pellucid.sampling.params import BeamSearchParams, SamplingParams

NUM_RECORDS = 4096
PATIENCE = 1000
"""How many later requests a lower priority can let go first, for each step of priority."""


class Held(Protocol):
    """An unfinished request."""

    request: Request


class Kind(Protocol):
    """What one kind of request does with its share of a step."""

    @property
    def requests(self) -> Mapping[str, Held]: ...

    def add(self, request: Request, first: Sample) -> None: ...

    def take(self, parts: Sequence[Part], logits_RV: Tensor) -> Taken: ...

    def end(self, request_id: str, reason: FinishReason) -> list[Output]: ...


class Engine:
    """A model that serves many requests at once over one paged cache."""

    def __init__(
        self,
        model: Served,
        *,
        kernels: Kernels,
        num_blocks: int | None = None,
        block_size: int = 16,
        max_num_seqs: int = 64,
        max_num_batched_tokens: int = 128,
        max_model_len: int | None = None,
        max_waiting: int | None = 4096,
        enable_prefix_caching: bool = True,
        use_cache: bool = True,
        kv_dtype: torch.dtype | None = None,
        eos_token_ids: Sequence[int] | None = None,
        speculation: Speculation | None = None,
        make_runner: MakeRunner = plain_runner,
    ) -> None:
        """`num_blocks` and `max_model_len` are by default what memory and the model can hold; `cache_size`
        says what came of it. `max_num_batched_tokens` is the budget of one step, raised where it could not
        hold a token of each sample and one more. Beyond `max_waiting` a request is told to come again, which
        is for those who serve strangers; None lets any number wait. With `use_cache=False` every step
        computes every token anew, to show what the cache is for. Raises OutOfMemoryError where not even one
        request fits.
        """
        guessing = speculation or NoSpeculation()
        models = (model, *guessing.models)
        weight = model.lm_head.weight
        self.vocab_size, self.kv_dtype = model.config.vocab_size, kv_dtype or weight.dtype
        style = KVStyle(kernels, block_size, self.kv_dtype, weight.device)
        self.cache_size = size_cache(
            bytes_per_block=sum(style.bytes_per_block(specs_of(each)) for each in models),
            block_size=block_size,
            max_num_seqs=max_num_seqs,
            longest=min(each.config.max_position_embeddings for each in models),
            longest_source=model.config.max_source_length or 0,
            max_model_len=max_model_len,
            available=available_memory(style.device),
            device=style.device.type,
            num_blocks=num_blocks,
        )
        self.kv_bytes_per_token = style.bytes_per_block(specs_of(model)) // block_size
        """What the keys and values of one token take in all layers together."""
        self.max_model_len, num_blocks = self.cache_size.max_model_len, self.cache_size.num_blocks
        if not use_cache:
            max_num_batched_tokens = max_num_seqs * self.max_model_len
        self.config = SchedulerConfig(
            block_size=block_size,
            num_blocks=num_blocks,
            max_num_seqs=max_num_seqs,
            max_num_batched_tokens=max(max_num_batched_tokens, max_num_seqs + 1),
            num_speculative_tokens=guessing.num_speculative_tokens if use_cache else 0,
            window=widest_window(models),
            enable_prefix_caching=enable_prefix_caching and use_cache,
        )
        self.scheduler = Scheduler(self.config, model.rotary_regime)

        def runner_of(model: Served) -> Runs:
            return make_runner(model, kernels, PagedKV(specs_of(model), style, num_blocks), self.config)

        self.runner = runner_of(model)
        self.eos_token_ids = tuple(model.config.eos_token_ids if eos_token_ids is None else eos_token_ids)
        sampled = SampledRequests(self.scheduler, self.eos_token_ids)
        self._drafter = guessing.drafter(Setting(model, runner_of, block_size, sampled.state_of))
        self._kinds: dict[type, Kind] = {
            SamplingParams: sampled,
            BeamSearchParams: BeamRequests(self.scheduler, self.eos_token_ids),
        }
        self.max_waiting = max_waiting
        self.steps: deque[StepRecord] = deque(maxlen=NUM_RECORDS)
        self._use_cache = use_cache
        self._admission = Admission(
            max_model_len=self.max_model_len,
            vocab_size=self.vocab_size,
            max_source_len=model.config.max_source_length,
            scheduler=self.scheduler,
        )
        self._num_added = 0
        self._recorder = Recorder(self.scheduler.pool, block_size)

    @property
    def totals(self) -> Totals:
        """Counts since the engine began: hit rate, acceptance rate, tokens, seconds."""
        return self._recorder.totals

    @property
    def has_work(self) -> bool:
        """Whether any request is unfinished."""
        return any(kind.requests for kind in self._kinds.values())

    def add(self, request: Request) -> None:
        """Accept a request. Raises RequestError for one that can never be served, QueueFullError for now."""
        if self._kind_of(request.id) is not None:
            raise RequestError(f"request id {request.id!r} is running already: give each request its own")
        if self.max_waiting is not None and len(self.scheduler.waiting) >= self.max_waiting:
            raise QueueFullError(
                f"{len(self.scheduler.waiting)} requests are waiting, which is all that may (max_waiting): "
                "try again later"
            )
        self._admission.check(request)
        self._num_added += 1
        params = request.params
        first = Sample(
            request,
            0,
            self.scheduler.new_table(),
            rank=(self._num_added + request.priority * PATIENCE, self._num_added, 0),
            limit=limit_of(request, self.max_model_len),
            width=width_of(params),
            memory=self._memory_of(request),
        )
        self._kinds[type(params)].add(request, first)
        self.scheduler.add(first)

    def abort(self, request_id: str) -> list[Output]:
        """End a request now, whatever it is doing; an unknown or finished one is left alone."""
        kind = self._kind_of(request_id)
        return [] if kind is None else kind.end(request_id, "abort")

    def step(self, wrap: Wrap | None = None) -> list[Output]:
        """Move every request on that there is room for; what is new. `wrap` may watch the forward."""
        outputs = self._end_overdue(self._recorder.begin())
        plan = self.scheduler.schedule()
        if not plan.shares:
            return outputs
        self._drafter.propose(plan)
        pieces = [piece_of(share) for share in plan.shares]
        batch = build_batch(pieces, self.config.block_size, plan.copies, plan.memories)
        self._recorder.planned(plan)
        try:
            logits_RV = self.runner.run(batch, with_adapters(batch, wrap))
        except BaseException:
            # whoever goes on (a caller interrupts one of several requests) must not find memories half filled
            for share in plan.shares:
                if share.sample.memory in plan.memories:
                    self.scheduler.preempt(share.sample)
            raise
        self._recorder.ran()
        for memory in plan.memories:
            memory.keep()
        takings = self._take(plan, batch, logits_RV)
        if not self._use_cache:
            for sample in self.scheduler.running:
                self.scheduler.forget(sample)
        self.steps.append(self._recorder.end(takings, self.scheduler.waiting))
        return outputs + [output for taking in takings for output in taking.outputs]

    def _memory_of(self, request: Request) -> Memory | None:
        source = request.source
        if source is None:
            return None
        # one that is watched wants to see its encoder at work
        known = self.config.enable_prefix_caching and not request.whole_prompt
        key = ("memory", request.cache_key, source.key) if known else None
        return Memory(source, self.scheduler.new_table(), self.config.block_size, key)

    def _take(self, plan: Plan, batch: Batch, logits_RV: Tensor) -> list[Taken]:
        """Hand every kind of request its rows."""
        parts: dict[type, list[Part]] = {kind: [] for kind in self._kinds}
        for share, first, last in zip(
            plan.shares, batch.output_starts, batch.output_starts[1:], strict=False
        ):
            request = share.sample.request
            parts[type(request.params)].append(Part(share, first, last, share.first_output))
        return [self._kinds[kind].take(some, logits_RV) for kind, some in parts.items() if some]

    def _kind_of(self, request_id: str) -> Kind | None:
        return next((kind for kind in self._kinds.values() if request_id in kind.requests), None)

    def _end_overdue(self, now: float) -> list[Output]:
        outputs = []
        for kind in self._kinds.values():
            deadlines = [(id, held.request.deadline) for id, held in kind.requests.items()]
            for request_id, deadline in deadlines:
                if deadline is not None and deadline <= now:
                    outputs += kind.end(request_id, "timeout")
        return outputs
