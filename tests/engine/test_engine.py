"""The engine serves many requests at once, ends each with a reason, and gives everything back."""

import time
from types import SimpleNamespace

import pytest
import torch
from engine_runs import GREEDY, ask, greedy_by_hand, make_engine, run
from tiny_models import tiny

from pellucid.errors import QueueFullError, RequestError
from pellucid.sampling.params import SamplingParams

PROMPT = [3, 14, 15, 92, 65, 35, 89, 79, 32, 38]


@pytest.fixture
def model():
    return tiny("llama")


def test_greedy_tokens_are_the_models_own(model):
    said = run(make_engine(model), [ask("a", PROMPT)])
    ids, logprobs, last = said["a", 0]
    assert ids == greedy_by_hand(model, PROMPT, 24) and last.finish_reason == "length"
    expected = model.logits([*PROMPT, *ids])[len(PROMPT) - 1 : -1].log_softmax(-1)
    torch.testing.assert_close(torch.tensor(logprobs), expected.max(-1).values, rtol=0, atol=1e-4)


def test_without_a_cache_the_tokens_are_the_same_and_the_work_is_square(model):
    cached, uncached = make_engine(model), make_engine(model, use_cache=False)
    assert run(cached, [ask("a", PROMPT)])["a", 0][0] == run(uncached, [ask("a", PROMPT)])["a", 0][0]
    work = [sum(w.tokens for step in engine.steps for w in step.work) for engine in (cached, uncached)]
    assert work == [10 + 23, sum(range(10, 34))]


def test_samples_of_one_prompt_are_those_of_requests_of_their_own(model):
    params = SamplingParams(n=4, seed=5, max_tokens=12, temperature=1.5, ignore_eos=True)
    said = run(make_engine(model), [ask("a", PROMPT, params)])
    assert len({tuple(said["a", i][0]) for i in range(4)}) == 4
    alone = run(
        make_engine(model),
        [ask("a", PROMPT, SamplingParams(seed=5, max_tokens=12, temperature=1.5, ignore_eos=True))],
    )
    assert said["a", 0][0] == alone["a", 0][0]
    assert {output[2].finish_reason for output in said.values()} == {"length"}


def test_stop_tokens_and_eos_end_an_output(model):
    ids = greedy_by_hand(model, PROMPT, 24)
    engine = make_engine(model, eos_token_ids=[ids[6]])
    first = ids.index(ids[6])
    said = run(
        engine,
        [
            ask("eos", PROMPT, SamplingParams(temperature=0, max_tokens=24)),
            ask("stop", PROMPT, SamplingParams(temperature=0, max_tokens=24, stop_token_ids=[ids[3]])),
        ],
    )
    assert said["eos", 0][0] == ids[: first + 1]
    assert (said["eos", 0][2].finish_reason, said["eos", 0][2].stop_reason) == ("stop", None)
    assert said["stop", 0][0] == ids[: ids.index(ids[3]) + 1] and said["stop", 0][2].stop_reason == ids[3]


def test_the_callers_own_function_sees_each_token_and_may_end_its_sample(model):
    seen = []

    def watch(index, token_id):
        seen.append(token_id)
        return "enough" if len(seen) == 5 else None

    said = run(make_engine(model), [ask("a", PROMPT, on_token=watch)])
    assert said["a", 0][0] == seen and len(seen) == 5
    assert (said["a", 0][2].finish_reason, said["a", 0][2].stop_reason) == ("stop", "enough")


def test_an_error_in_one_request_leaves_the_others_alone(model):
    def fail(index, token_id):
        raise KeyError("broken")

    impossible = SamplingParams(temperature=0, max_tokens=4, allowed_token_ids=[5], bad_words=["x"])
    said = run(
        make_engine(model),
        [
            ask("bad", PROMPT, on_token=fail),
            ask("none", PROMPT, impossible, bad_word_ids=[[5]]),
            ask("good", PROMPT),
        ],
    )
    assert said["bad", 0][2].finish_reason == "error" and "KeyError" in said["bad", 0][2].error
    assert said["none", 0][2].finish_reason == "error" and "forbid" in said["none", 0][2].error
    assert said["good", 0][0] == greedy_by_hand(model, PROMPT, 24)


def test_abort_and_deadline_end_a_request_and_free_its_blocks(model):
    engine = make_engine(model)
    engine.add(ask("gone", PROMPT, SamplingParams(n=2, temperature=1, max_tokens=50)))
    assert [o.finish_reason for o in engine.abort("gone")] == ["abort", "abort"]
    engine.add(ask("late", PROMPT, deadline=time.monotonic()))
    engine.add(ask("running", PROMPT, SamplingParams(n=2, temperature=1, max_tokens=50, ignore_eos=True)))
    assert next((o.request_id, o.finish_reason) for o in engine.step()) == ("late", "timeout")
    engine.step()
    assert [o.finish_reason for o in engine.abort("running")] == ["abort", "abort"]
    assert engine.abort("nobody") == [] and not engine.has_work and engine.scheduler.pool.num_in_use == 0


@pytest.mark.parametrize("chunk", [3, 64])
def test_prompt_logprobs_describe_every_prompt_token(model, chunk):
    params = SamplingParams(temperature=0, max_tokens=2, prompt_logprobs=2)
    engine = make_engine(model, max_num_batched_tokens=chunk, max_num_seqs=2)
    run(engine, [ask("before", PROMPT)])
    engine.add(ask("a", PROMPT, params))
    outputs = []
    while engine.has_work:
        outputs += engine.step()
    first, second = outputs
    assert first.num_cached_tokens == 0, "a whole prompt is asked for, so none of it comes from the cache"
    assert second.prompt_logprobs is None and first.prompt_logprobs[0] is None
    expected = model.logits(PROMPT)[:-1].log_softmax(-1)
    for i, described in enumerate(first.prompt_logprobs[1:]):
        assert len(described) in (2, 3)
        assert described[PROMPT[i + 1]].logprob == pytest.approx(float(expected[i, PROMPT[i + 1]]), abs=1e-4)


def test_what_can_never_be_served_is_refused_at_once_with_the_reason(model):
    engine = make_engine(model, num_blocks=8, max_num_seqs=4)
    for request, reason in [
        (ask("a", []), "no tokens"),
        (ask("a", [1] * 32), "can have 32"),
        (ask("a", [97]), "0 to 96"),
        (ask("a", PROMPT, SamplingParams(n=5)), "max_num_seqs=4"),
        (ask("a", PROMPT, SamplingParams(stop_token_ids=[97])), "97"),
    ]:
        with pytest.raises(RequestError, match=reason):
            engine.add(request)
    assert not engine.has_work


def test_the_queue_is_bounded_and_ids_are_unique(model):
    engine = make_engine(model, max_waiting=2)
    engine.add(ask("a", PROMPT))
    with pytest.raises(RequestError, match="running already"):
        engine.add(ask("a", PROMPT))
    engine.add(ask("b", PROMPT))
    with pytest.raises(QueueFullError, match="max_waiting"):
        engine.add(ask("c", PROMPT))


def test_an_output_ends_where_the_cache_or_the_model_does(model):
    engine = make_engine(model, num_blocks=8)
    ids, _, last = run(
        engine, [ask("a", PROMPT, SamplingParams(temperature=0, max_tokens=None, ignore_eos=True))]
    )["a", 0]
    assert len(PROMPT) + len(ids) == 32 and last.finish_reason == "length"


def test_every_step_is_recorded(model):
    engine = make_engine(model, num_blocks=10, max_num_batched_tokens=8, max_num_seqs=3)
    run(engine, [ask(i, PROMPT[: 5 + i]) for i in range(3)])
    steps = list(engine.steps)
    assert [step.number for step in steps] == list(range(len(steps)))
    assert {work.phase for step in steps for work in step.work} == {"prefill", "decode"}
    assert any(step.waiting for step in steps) and any(step.preempted for step in steps)
    assert sum(work.new_tokens for step in steps for work in step.work) == 3 * 24
    assert sum(step.blocks_taken for step in steps) == sum(step.blocks_freed for step in steps)
    assert all(step.blocks_in_use <= 10 and step.unused_slots < 3 * 4 and step.total_ms > 0 for step in steps)


def test_a_wrapped_context_sees_the_forward(model):
    names = []

    class Watching:
        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def tap(self, module, name, tensor):
            names.append((name, tensor.shape[0]))
            return tensor

    engine = make_engine(model)
    engine.add(ask("a", PROMPT, whole_prompt=True))
    engine.step(wrap=SimpleNamespace(step=lambda ctx, batch: Watching(ctx)))
    assert ("q", 10) in names and GREEDY.max_tokens == 24
    engine.abort("a")
