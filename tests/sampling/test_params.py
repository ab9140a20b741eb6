"""SamplingParams and BeamSearchParams: vLLM's defaults, and an error that helps for everything else."""

import copy
import dataclasses
import pickle

import pytest

from pellucid.errors import RequestError
from pellucid.sampling.params import BeamSearchParams, SamplingParams


def test_defaults_are_vllms() -> None:
    p = SamplingParams()
    assert (p.n, p.temperature, p.top_k, p.top_p, p.min_p) == (1, 1.0, 0, 1.0, 0.0)
    assert (p.max_tokens, p.min_tokens, p.seed, p.logprobs, p.prompt_logprobs) == (16, 0, None, None, None)
    assert (p.repetition_penalty, p.presence_penalty, p.frequency_penalty) == (1.0, 0.0, 0.0)
    assert (p.stop, p.stop_token_ids, p.bad_words, p.logit_bias) == ((), (), (), {})
    assert p.allowed_token_ids is None
    assert p.skip_special_tokens and not p.ignore_eos and not p.include_stop_str_in_output


def test_lists_become_tuples_and_one_text_becomes_a_list_of_one() -> None:
    p = SamplingParams(stop="END", stop_token_ids=[1, 2], bad_words=["a"], allowed_token_ids=[3, 4])
    assert (p.stop, p.stop_token_ids, p.bad_words, p.allowed_token_ids) == (("END",), (1, 2), ("a",), (3, 4))
    assert SamplingParams(stop=None, stop_token_ids=None, bad_words=None, logit_bias=None) == SamplingParams()


def test_it_is_frozen_hashable_copied_and_pickled() -> None:
    p = SamplingParams(temperature=0, stop=["x"], logit_bias={1: 2.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.temperature = 1.0
    assert pickle.loads(pickle.dumps(p)) == copy.deepcopy(p) == p
    assert hash(p) == hash(dataclasses.replace(p))
    assert dataclasses.replace(p, top_k=3).top_k == 3


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("temprature", "temperature"),
        ("max_new_tokens", "max_tokens"),
        ("topp", "top_p"),
        ("stop_tokens_ids", "stop_token_ids"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_known(given, near) -> None:
    with pytest.raises(RequestError, match=f"{given!r}.*did you mean '{near}'"):
        SamplingParams(**{given: 1})


def test_an_unknown_name_like_none_lists_all() -> None:
    with pytest.raises(RequestError, match=r"known are: .*temperature"):
        SamplingParams(zzz=1)
    with pytest.raises(RequestError, match="did you mean 'beam_width'"):
        BeamSearchParams(beamwidth=2, max_tokens=3)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1), ("temperature", float("nan")), ("temperature", float("inf")), ("temperature", "hot"),
        ("temperature", True), ("temperature", None), ("top_p", 0), ("top_p", 1.01), ("top_k", -2), ("top_k", 1.5),
        ("min_p", -0.1), ("min_p", 1.1), ("typical_p", 0), ("repetition_penalty", 0), ("presence_penalty", 2.1),
        ("repetition_penalty", 1e-300), ("logit_bias", {1: 1e300}), ("n", 10**9),
        ("frequency_penalty", -2.1), ("n", 0), ("n", True), ("max_tokens", 0), ("max_tokens", "7"), ("min_tokens", -1),
        ("logprobs", -2), ("prompt_logprobs", 1.0), ("seed", 1.5), ("stop", [""]), ("stop", [1]), ("stop", 7),
        ("bad_words", ["ok", ""]), ("stop_token_ids", [-1]), ("stop_token_ids", "12"), ("stop_token_ids", 3),
        ("allowed_token_ids", []), ("allowed_token_ids", ["a"]), ("logit_bias", {1: float("inf")}),
        ("logit_bias", {"a": 1.0}), ("logit_bias", [1]), ("ignore_eos", 1), ("skip_special_tokens", None),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name_saying_what_is_allowed(name, value) -> None:
    with pytest.raises(RequestError, match=f"^{name}=.*is not allowed: give "):
        SamplingParams(**{name: value})


def test_values_that_disagree() -> None:
    with pytest.raises(RequestError, match="min_tokens=9 is more than max_tokens=8"):
        SamplingParams(max_tokens=8, min_tokens=9)
    with pytest.raises(RequestError, match="n=2 with temperature=0"):
        SamplingParams(n=2, temperature=0)
    SamplingParams(max_tokens=None, min_tokens=9)


def test_token_ids_must_be_in_the_vocabulary() -> None:
    SamplingParams(stop_token_ids=[9], logit_bias={9: 1.0}, allowed_token_ids=[9]).check_vocabulary(10)
    for p in (
        SamplingParams(stop_token_ids=[10]),
        SamplingParams(logit_bias={10: 1.0}),
        SamplingParams(allowed_token_ids=[10]),
    ):
        with pytest.raises(RequestError, match="token id 10, but the vocabulary ends at 9"):
            p.check_vocabulary(10)


def test_beam_search_params() -> None:
    p = BeamSearchParams(beam_width=4, max_tokens=64)
    assert (p.length_penalty, p.ignore_eos, p.temperature) == (1.0, False, 0.0)
    for wrong in (
        {"beam_width": 0},
        {"max_tokens": 0},
        {"length_penalty": float("nan")},
        {"temperature": 0.5},
    ):
        with pytest.raises(RequestError, match="is not allowed"):
            BeamSearchParams(**{"beam_width": 2, "max_tokens": 2, **wrong})


@pytest.mark.parametrize("value", [float("nan"), 1e300, -11, "long", None])
def test_a_length_penalty_beyond_reckoning_is_refused(value) -> None:
    with pytest.raises(RequestError, match=r"^length_penalty=.*from -10 to 10"):
        BeamSearchParams(beam_width=2, max_tokens=3, length_penalty=value)
