"""The engine in a thread of its own, for asyncio: requests go in, their outputs come out as they are made.

    async with AsyncEngine(engine) as served:
        async for output in served.generate(request):
            ...

Whoever stops listening has its request aborted. An error in one request reaches only its own caller; an error
in the loop reaches every caller, and those who come later.
"""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Self

from pellucid.engine.admission import width_of
from pellucid.engine.engine import Engine
from pellucid.engine.output import Output
from pellucid.engine.request import FinishReason, Request
from pellucid.errors import QueueFullError, RequestError


class EngineStoppedError(RuntimeError):
    """The engine's loop has ended: it was shut down, or failed, which is then the cause."""


class Listener:
    """One caller, in its own event loop, and the request it waits for."""

    def __init__(self, request: Request, may_wait: bool) -> None:
        self.request = request
        self.may_wait = may_wait
        self.loop = asyncio.get_running_loop()
        self.unheard = self.untold = width_of(request.params)
        """How many of its samples have not ended, as the caller and as the engine's thread see it."""
        self.news: asyncio.Queue[Output | BaseException] = asyncio.Queue()

    def tell(self, news: Output | BaseException) -> None:
        """From the engine's thread: hand over what is new."""
        if isinstance(news, Output) and news.finish_reason is not None:
            self.untold -= 1
        try:
            self.loop.call_soon_threadsafe(self.news.put_nowait, news)
        except RuntimeError:  # its event loop is closed, and with it whoever listened
            pass


class AsyncEngine:
    """Owns an engine: once started, nobody else may call it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._thread = threading.Thread(target=self._run, name="pellucid-engine", daemon=True)
        self._wake = threading.Condition()
        self._errands: deque[Callable[[], None]] = deque()
        """What callers want done between two steps."""
        self._held: deque[Listener] = deque()
        """Those that wait for room in the engine's queue, in the order they came."""
        self._listeners: dict[str, Listener] = {}
        self._closing = False
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.shutdown()

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    async def generate(self, request: Request, *, wait: bool = True) -> AsyncGenerator[Output, None]:
        """The outputs of a request until each of its samples has ended.

        While as many requests wait as may, this one waits for its turn, or raises QueueFullError with
        `wait=False`. Raises RequestError for one that can never be served, EngineStoppedError where the loop
        ends.
        """
        listener = Listener(request, wait)
        self._ask(lambda: self._admit(listener))
        try:
            while listener.unheard:
                news = await listener.news.get()
                if isinstance(news, BaseException):
                    raise news
                listener.unheard -= news.finish_reason is not None
                yield news
        finally:
            if listener.unheard:
                self._ask(lambda: self._leave(listener), quietly=True)

    async def abort(self, request_id: str) -> None:
        """End a request; whoever listens to it is told so."""
        self._ask(lambda: self._end(request_id), quietly=True)

    async def shutdown(self, *, drain: bool = False) -> None:
        """Stop. Requests in flight are aborted and their listeners told; with `drain` they are served."""

        def close() -> None:
            self._closing = True
            if not drain:
                for listener in [*self._listeners.values(), *self._held]:
                    self._end(listener.request.id)

        self._ask(close, quietly=True)
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    def _ask(self, errand: Callable[[], None], quietly: bool = False) -> None:
        with self._wake:
            if not self._thread.is_alive() or self._failure is not None:
                if quietly:
                    return
                raise EngineStoppedError("the engine does not run") from self._failure
            self._errands.append(errand)
            self._wake.notify()

    # From here on, only the engine's thread.

    def _run(self) -> None:
        try:
            while self._await_work():
                self._admit_held()
                for output in self.engine.step() if self.engine.has_work else ():
                    self._hand_out(output)
        except BaseException as error:
            self._fail(error)

    def _await_work(self) -> bool:
        """Do the errands, sleeping while there is nothing to do; False once everything is over."""
        while True:
            with self._wake:
                while not (self._errands or self.engine.has_work or self._held or self._closing):
                    self._wake.wait()
                errands, self._errands = self._errands, deque()
            for errand in errands:
                errand()
            if self.engine.has_work or self._held:
                return True
            with self._wake:
                if self._closing and not self._errands:
                    self._failure = EngineStoppedError("the engine was shut down")
                    return False

    def _admit(self, listener: Listener) -> None:
        if self._closing:
            listener.tell(EngineStoppedError("the engine is shutting down"))
        elif self._held and listener.may_wait:
            self._held.append(listener)
        else:
            self._add(listener)

    def _add(self, listener: Listener) -> bool:
        """Give the engine a request; False if it has to wait."""
        try:
            self.engine.add(listener.request)
        except QueueFullError as error:
            if listener.may_wait:
                self._held.append(listener)
                return False
            listener.tell(error)
        except RequestError as error:
            listener.tell(error)
        else:
            self._listeners[listener.request.id] = listener
        return True

    def _admit_held(self) -> None:
        now = time.monotonic()
        for listener in [held for held in self._held if (held.request.deadline or math.inf) <= now]:
            self._end_held(listener, "timeout")
        for _ in range(len(self._held)):
            listener = self._held.popleft()
            if not self._add(listener):
                self._held.rotate(1)
                return

    def _hand_out(self, output: Output) -> None:
        listener = self._listeners[output.request_id]
        listener.tell(output)
        if not listener.untold:
            del self._listeners[output.request_id]

    def _end(self, request_id: str) -> None:
        for output in self.engine.abort(request_id):
            self._hand_out(output)
        for listener in [held for held in self._held if held.request.id == request_id]:
            self._end_held(listener, "abort")

    def _end_held(self, listener: Listener, reason: FinishReason) -> None:
        self._held.remove(listener)
        for index in range(listener.untold):
            listener.tell(Output(request_id=listener.request.id, index=index, finish_reason=reason))

    def _leave(self, listener: Listener) -> None:
        if listener in self._held:
            self._held.remove(listener)
        elif self._listeners.get(listener.request.id) is listener:
            self._end(listener.request.id)

    def _fail(self, error: BaseException) -> None:
        with self._wake:
            self._failure = error
            errands, self._errands = self._errands, deque()
        self._closing = True
        listeners = [*self._listeners.values(), *self._held]
        self._listeners.clear()
        self._held.clear()
        for listener in listeners:
            stopped = EngineStoppedError(f"the engine failed: {type(error).__name__}: {error}")
            stopped.__cause__ = error
            listener.tell(stopped)
        for errand in errands:
            errand()
