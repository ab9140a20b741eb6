"""Drafts make an output come sooner and never make it another one, greedy or sampled."""

from collections import Counter

import pytest
from engine_runs import ask, make_engine, run
from tiny_models import tiny

from pellucid.engine.drafting import ModelSpeculation, NgramDrafter, NgramSpeculation
from pellucid.errors import ConfigError
from pellucid.sampling.params import SamplingParams

PROMPT = [3, 14, 15, 92, 65, 3, 14, 15]
SAMPLED = SamplingParams(
    temperature=0.9, top_p=0.95, seed=11, max_tokens=40, ignore_eos=True, repetition_penalty=1.1, logprobs=1
)


@pytest.mark.parametrize(
    "token_ids, count, expected",
    [
        ([1, 2, 3, 9, 1, 2, 3], 2, [9, 1]),
        ([1, 2, 3, 7, 5, 2, 3, 8, 1, 2, 3], 1, [7]),  # the longer match, though the shorter one is later
        ([2, 3, 7, 2, 3, 8, 2, 3], 1, [8]),  # of equal ones the latest
        ([4, 4, 4], 3, [4]),
        ([1, 2, 3], 3, []),
        ([1], 3, []),
        ([256, 1], 2, []),  # 1, 0, 0, 0 also lies across the bytes of 256
    ],
    ids=str,
)
def test_what_followed_the_newest_tokens_last_time(token_ids, count, expected):
    assert NgramDrafter(NgramSpeculation()).look_up(token_ids, count) == expected


@pytest.mark.parametrize(
    "params",
    [SAMPLED, SamplingParams(temperature=0, max_tokens=40, ignore_eos=True)],
    ids=["sampled", "greedy"],
)
@pytest.mark.parametrize(
    "speculation",
    [
        NgramSpeculation(num_speculative_tokens=5),
        ModelSpeculation(model=tiny("llama", seed=0)),
        ModelSpeculation(model=tiny("llama", seed=1)),
    ],
    ids=["n-gram", "itself", "another"],
)
def test_the_tokens_are_those_of_a_run_without(speculation, params):
    model = tiny("llama", seed=0)
    plain = run(make_engine(model), [ask("a", PROMPT, params)])["a", 0]
    engine = make_engine(model, speculation=speculation)
    said = run(engine, [ask("a", PROMPT, params), ask("b", PROMPT[:4], params)])
    assert said["a", 0][0] == plain[0]
    if params is SAMPLED:
        assert said["a", 0][1] == pytest.approx(plain[1], abs=1e-4)
    assert engine.totals.drafted_tokens > 0


def test_a_draft_model_that_agrees_saves_steps():
    model = tiny("llama")
    engine = make_engine(model, speculation=ModelSpeculation(model=model, num_speculative_tokens=4))
    run(engine, [ask("a", PROMPT, SAMPLED)])
    assert engine.totals.acceptance_rate > 0.95 and engine.totals.steps <= 1 + -(-40 // 5) + 1


def test_stopping_in_the_middle_of_right_drafts_stops_there():
    model = tiny("llama")
    plain = run(make_engine(model), [ask("a", PROMPT)])["a", 0][0]
    engine = make_engine(model, speculation=ModelSpeculation(model=model, num_speculative_tokens=6))
    stop = SamplingParams(temperature=0, max_tokens=24, stop_token_ids=[plain[4]])
    ids, _, last = run(engine, [ask("a", PROMPT, stop)])["a", 0]
    assert ids == plain[: plain.index(plain[4]) + 1] and last.stop_reason == plain[4]


def test_the_distribution_of_samples_is_the_models():
    """First tokens over many seeds, with drafts that are often wrong, against what is drawn without."""
    model = tiny("llama")

    def counts(**options):
        engine = make_engine(model, num_blocks=256, max_num_seqs=100, max_num_batched_tokens=800, **options)
        params = SamplingParams(n=100, temperature=1.0, max_tokens=3, seed=3, ignore_eos=True)
        return Counter(tuple(ids) for ids, *_ in run(engine, [ask("a", PROMPT, params)]).values())

    assert counts() == counts(
        speculation=ModelSpeculation(model=tiny("llama", seed=1), num_speculative_tokens=2)
    )


def test_rejected_drafts_never_reach_the_prefix_cache():
    model = tiny("llama")
    engine = make_engine(
        model, speculation=ModelSpeculation(model=tiny("llama", seed=1), num_speculative_tokens=4)
    )
    first = run(engine, [ask("a", PROMPT)])["a", 0][0]
    assert (
        run(engine, [ask("b", PROMPT + first)])["b", 0][0]
        == run(make_engine(model), [ask("b", PROMPT + first)])["b", 0][0]
    )
    assert engine.totals.hit_tokens >= 24


def test_a_draft_model_with_another_vocabulary_is_refused():
    other = tiny("llama")
    other = type(other)(other.config.__class__(**{**vars(other.config), "vocab_size": 50}))
    with pytest.raises(ConfigError, match="50 tokens and the model 97"):
        make_engine(tiny("gpt2"), speculation=ModelSpeculation(model=other))
