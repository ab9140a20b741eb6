"""Drives one engine for callers who want text: hands requests in, steps until theirs are done."""

import itertools
import logging
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from rich.progress import Progress

from pellucid.answer import Answer, Beams
from pellucid.engine.engine import Engine
from pellucid.engine.request import Request
from pellucid.layers.adapter import Adapter
from pellucid.outputs import Piece
from pellucid.prompts import ReadPrompt
from pellucid.sampling.bad_words import bad_word_ids
from pellucid.sampling.params import BeamSearchParams, SamplingParams
from pellucid.sampling.rules import LastIs, Rule
from pellucid.text import Tokenizer
from pellucid.trace.record import Record
from pellucid.trace.watcher import Watcher

log = logging.getLogger(__name__)

Begun = TypeVar("Begun", Answer, Beams)
Result = TypeVar("Result")


class Driver:
    """One engine and what its unfinished requests become. Every caller's steps move all of them on."""

    def __init__(self, engine: Engine, tokenizer: Tokenizer | None) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self._unfinished: dict[str, Answer | Beams] = {}
        self._watcher = Watcher()
        self._stepping = False
        self._dropped: list[Answer | Beams] = []
        self._numbers = itertools.count()

    def answer(
        self,
        read: ReadPrompt,
        params: SamplingParams,
        adapter: Adapter | None = None,
        record: Record | None = None,
    ) -> Answer:
        """Begin a request; a `record` is given every value of its run. Raises RequestError."""
        request_id = str(next(self._numbers))
        answer = Answer(request_id, read, params, self.tokenizer)
        request = Request(
            id=request_id,
            prompt_token_ids=read.token_ids,
            params=params,
            adapter=adapter,
            whole_prompt=record is not None,
            on_token=answer.on_token,
            bad_word_ids=bad_word_ids(params, self.tokenizer),
            source=read.source,
            rules=rules_for(read, params.max_tokens),
        )
        self.engine.add(request)
        self._unfinished[request_id] = answer
        if record is not None:
            self._watcher.watch(request, record)
        return answer

    def search(self, read: ReadPrompt, params: BeamSearchParams) -> Beams:
        """Begin a beam search. Raises RequestError."""
        beams = Beams(str(next(self._numbers)), read, self.tokenizer)
        self.engine.add(
            Request(
                id=beams.request_id,
                prompt_token_ids=read.token_ids,
                params=params,
                source=read.source,
                rules=rules_for(read, params.max_tokens),
            )
        )
        self._unfinished[beams.request_id] = beams
        return beams

    def begin(self, each: Sequence[Callable[[], Begun]]) -> list[Begun]:
        """Begin all of several requests, or none: one that is refused takes those before it back."""
        begun: list[Begun] = []
        try:
            for one in each:
                begun.append(one())
        except BaseException:
            for one_begun in begun:
                self._forget(one_begun)
            raise
        return begun

    def run(self, wanted: Sequence[Answer | Beams], *, show: bool = False) -> None:
        """Step until these are finished; whatever ends it early, an interrupt too, aborts them."""
        try:
            with Progress(transient=True, disable=not show) as progress:
                bar = progress.add_task("prompts", total=len(wanted))
                while left := sum(not one.finished for one in wanted):
                    if show:
                        progress.update(bar, completed=len(wanted) - left)
                    self.step()
        finally:
            for one in wanted:
                self._forget(one)

    def together(self, tasks: Sequence[Generator[Answer | Beams, None, Result]]) -> list[Result]:
        """Run several tasks side by side, all in one batch. A task yields each request that it has begun and
        is resumed once that is finished; whatever ends this early aborts them all."""
        results: dict[int, Result] = {}
        pending: dict[int, Answer | Beams] = {}
        try:
            ready = list(range(len(tasks)))
            while ready or pending:
                for number in ready:
                    try:
                        pending[number] = next(tasks[number])
                    except StopIteration as ended:
                        results[number] = ended.value
                ready = [number for number, one in pending.items() if one.finished]
                for number in ready:
                    self._forget(pending.pop(number))
                if not ready and pending:
                    self.step()
        finally:
            for one in pending.values():
                self._forget(one)
        return [results[number] for number in range(len(tasks))]

    def stream(
        self, read: ReadPrompt, params: SamplingParams, adapter: Adapter | None = None
    ) -> Generator[Piece, None, None]:
        """Begin a request at once; its pieces as they come. Closing or dropping the generator aborts it."""
        pieces = self._pieces(self.answer(read, params, adapter))
        next(pieces)  # only a generator that has begun is told when nobody wants it any more
        return pieces

    def step(self) -> None:
        """One step of the engine, for everybody."""
        self._stepping = True
        try:
            for output in self.engine.step(self._watcher or None):
                self._unfinished[output.request_id].take(output)
                if output.error is not None:
                    log.warning("request %s failed: %s", output.request_id, output.error)
        finally:
            self._stepping = False
        while self._dropped:
            self._forget(self._dropped.pop())

    def _pieces(self, answer: Answer) -> Generator[Piece, None, None]:
        try:
            yield Piece("", [], 0, None, answer.output)
            while True:
                # while a piece is out, another caller's step may bring this one's next
                while pieces := answer.take_pieces():
                    yield from pieces
                if answer.finished:
                    return
                self.step()
        finally:
            self._forget(answer)

    def _forget(self, one: Answer | Beams) -> None:
        if self._stepping:  # the collector may drop a stream at any moment
            self._dropped.append(one)
            return
        if not one.finished:
            self.engine.abort(one.request_id)
        self._unfinished.pop(one.request_id, None)
        self._watcher.forget(one.request_id)


def rules_for(read: ReadPrompt, max_tokens: int | None) -> tuple[Rule, ...]:
    """The prompt's rules, with the end that is forced on an answer that reaches its longest length."""
    if read.last_token_id is None or max_tokens is None:
        return read.rules
    return (*read.rules, LastIs(read.last_token_id, max_tokens))
