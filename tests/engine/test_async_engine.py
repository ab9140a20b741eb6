"""The engine in its thread: many callers at once, back-pressure, aborts, errors to those they concern, a clean end."""

import asyncio
import threading
import time

import pytest
from engine_runs import GREEDY, ask, greedy_by_hand, make_engine
from tiny_models import tiny

from pellucid.engine.async_engine import AsyncEngine, EngineStoppedError
from pellucid.errors import QueueFullError, RequestError
from pellucid.sampling.params import BeamSearchParams, SamplingParams

PROMPT = [3, 14, 15, 92, 65]
LONG = SamplingParams(temperature=0, max_tokens=240, ignore_eos=True)


def serve(scenario, **options):
    """Run a scenario against a served engine; afterwards the engine holds nothing and its thread is gone."""

    async def whole():
        engine = AsyncEngine(make_engine(tiny("llama"), **options))
        async with engine:
            await asyncio.wait_for(scenario(engine), 60)
        return engine.engine

    engine = asyncio.run(whole())
    assert not engine.has_work and engine.scheduler.pool.num_in_use == 0
    assert "pellucid-engine" not in [thread.name for thread in threading.enumerate()]


async def under_way(engine):
    """Until a first token has come out."""
    while not engine.engine.totals.new_tokens:
        await asyncio.sleep(0.001)


async def listen(engine, request, **options):
    """All tokens of sample 0, and every output."""
    outputs = [output async for output in engine.generate(request, **options)]
    return [token.token_id for output in outputs if output.index == 0 for token in output.tokens], outputs


def test_many_callers_at_once_get_their_own_tokens():
    expected = {i: greedy_by_hand(tiny("llama"), [i, *PROMPT], 24) for i in range(8)}

    async def scenario(engine):
        answers = await asyncio.gather(*(listen(engine, ask(i, [i, *PROMPT])) for i in range(8)))
        assert {i: ids for i, (ids, _) in enumerate(answers)} == expected
        assert max(len(step.work) for step in engine.engine.steps) > 4

    serve(scenario)


def test_outputs_come_while_the_request_runs_and_each_sample_ends_once():
    async def scenario(engine):
        params = SamplingParams(n=3, temperature=1.0, seed=1, max_tokens=9, ignore_eos=True)
        _, outputs = await listen(engine, ask("n", PROMPT, params))
        assert len(outputs) == 27 and sum(o.finish_reason is not None for o in outputs) == 3
        _, outputs = await listen(engine, ask("beams", PROMPT, BeamSearchParams(beam_width=3, max_tokens=5)))
        assert [o.index for o in outputs] == [0, 1, 2]

    serve(scenario)


def test_whoever_stops_listening_has_its_request_aborted():
    async def scenario(engine):
        outputs = engine.generate(ask("a", PROMPT, LONG))
        await anext(outputs)
        await outputs.aclose()
        task = asyncio.create_task(listen(engine, ask("b", PROMPT, LONG)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await listen(engine, ask("c", PROMPT))
        assert not engine.engine.has_work
        assert engine.engine.totals.new_tokens < 200

    serve(scenario)


def test_an_abort_tells_the_listener():
    async def scenario(engine):
        task = asyncio.create_task(listen(engine, ask("a", PROMPT, LONG)))
        await under_way(engine)
        await engine.abort("a")
        _, outputs = await task
        assert outputs[-1].finish_reason == "abort"

    serve(scenario)


def test_a_full_queue_holds_callers_back_in_order_or_refuses_those_who_do_not_wait():
    async def scenario(engine):
        tasks = [asyncio.create_task(listen(engine, ask(i, PROMPT))) for i in range(6)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError):
            await listen(engine, ask("hurried", PROMPT), wait=False)
        late = asyncio.create_task(listen(engine, ask("late", PROMPT, deadline=time.monotonic() + 0.001)))
        gone = asyncio.create_task(listen(engine, ask("gone", PROMPT)))
        await asyncio.sleep(0)
        await engine.abort("gone")
        answers = await asyncio.gather(*tasks)
        assert all(len(ids) == 24 for ids, _ in answers)
        assert (await late)[1][-1].finish_reason == "timeout" and (await gone)[1][-1].finish_reason == "abort"
        order = list(dict.fromkeys(work.request_id for step in engine.engine.steps for work in step.work))
        assert order == [str(i) for i in range(6)]

    serve(scenario, max_waiting=1, max_num_seqs=1, max_num_batched_tokens=8)


def test_an_error_in_one_request_reaches_only_its_caller():
    def fail(index, token_id):
        raise KeyError("broken")

    async def scenario(engine):
        good = asyncio.create_task(listen(engine, ask("good", PROMPT)))
        with pytest.raises(RequestError, match="0 to 96"):
            await listen(engine, ask("refused", [97]))
        _, outputs = await listen(engine, ask("bad", PROMPT, GREEDY, on_token=fail))
        assert outputs[-1].finish_reason == "error"
        assert len((await good)[0]) == 24

    serve(scenario)


def test_an_error_in_the_loop_reaches_everybody_and_those_who_come_later():
    async def scenario():
        engine = AsyncEngine(
            make_engine(tiny("llama"), max_waiting=1, max_num_seqs=1, max_num_batched_tokens=8)
        )
        engine.start()
        tasks = [asyncio.create_task(listen(engine, ask(i, PROMPT, LONG))) for i in range(4)]
        await under_way(engine)

        def explode(*_):
            raise MemoryError("no more")

        engine.engine.runner.run = explode
        for task in tasks:
            with pytest.raises(EngineStoppedError, match="MemoryError: no more"):
                await task
        with pytest.raises(EngineStoppedError) as caught:
            await listen(engine, ask("later", PROMPT))
        assert isinstance(caught.value.__cause__, MemoryError)
        await engine.shutdown()

    asyncio.run(asyncio.wait_for(scenario(), 60))


@pytest.mark.parametrize("drain, reason", [(False, "abort"), (True, "length")])
def test_shutting_down_with_requests_in_flight(drain, reason):
    async def scenario(engine):
        tasks = [asyncio.create_task(listen(engine, ask(i, PROMPT, LONG))) for i in range(3)]
        await under_way(engine)
        await engine.shutdown(drain=drain)
        for _, outputs in await asyncio.gather(*tasks):
            assert outputs[-1].finish_reason == reason
        with pytest.raises(EngineStoppedError):
            await listen(engine, ask("later", PROMPT))

    serve(scenario, max_num_seqs=1, max_waiting=1, max_num_batched_tokens=8)
