"""generation_config.json is honoured as published, and said in words."""

import pytest

from pellucid.errors import ConfigError
from pellucid.sampling.defaults import GenerationDefaults, in_words
from pellucid.sampling.params import SamplingParams


def test_without_do_sample_it_is_greedy() -> None:
    params = GenerationDefaults({"temperature": 0.6, "top_p": 0.9}).params(max_tokens=5)
    assert (params.temperature, params.top_p, params.max_tokens) == (0.0, 1.0, 5)


def test_with_do_sample_its_settings_hold() -> None:
    said = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "top_k": 50, "max_new_tokens": 7}
    params = GenerationDefaults(said).params()
    assert (params.temperature, params.top_p, params.top_k, params.max_tokens) == (0.6, 0.9, 50, 7)
    assert in_words(params) == "drawn by chance (temperature 0.6, top_k 50, top_p 0.9)"


def test_a_callers_changes_win() -> None:
    said = {"do_sample": True, "temperature": 0.6, "repetition_penalty": 1.1}
    params = GenerationDefaults(said).params(temperature=0.0)
    assert params.temperature == 0 and params.repetition_penalty == 1.1
    assert "greedily" in in_words(params)


@pytest.mark.parametrize(("eos", "ids"), [(None, ()), (2, (2,)), ([2, 7], (2, 7))])
def test_one_end_token_or_several(eos, ids) -> None:
    assert GenerationDefaults({"eos_token_id": eos}).eos_token_ids == ids


def test_a_damaged_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"generation_config.json: temperature=-1"):
        GenerationDefaults({"do_sample": True, "temperature": -1}).params()
    with pytest.raises(ConfigError, match="eos_token_id"):
        GenerationDefaults({"eos_token_id": "</s>"}).eos_token_ids  # noqa: B018


def test_in_words_mentions_only_what_shapes_the_draw() -> None:
    assert in_words(SamplingParams()) == "drawn by chance (temperature 1)"


@pytest.mark.parametrize("beams", [None, 1, "many"])
def test_beams_are_mentioned_where_there_are_several(beams) -> None:
    assert GenerationDefaults({"num_beams": 4}).in_words().endswith("searched for with 4 beams")
    assert "beams" not in GenerationDefaults({"num_beams": beams}).in_words()
