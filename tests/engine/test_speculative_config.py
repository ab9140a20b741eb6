"""vLLM's speculative_config is understood, and a mistake in it is named."""

import pytest
from tiny_models import tiny

from pellucid.engine.drafting import ModelSpeculation, NgramSpeculation, NoSpeculation
from pellucid.engine.speculative_config import read_speculative_config
from pellucid.errors import ConfigError


def read(given):
    return read_speculative_config(given, lambda source: tiny(source))


def test_the_ways_to_speculate():
    assert read(None) == NoSpeculation()
    assert read({"method": "ngram"}) == NgramSpeculation()
    many = {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_max": 4, "prompt_lookup_min": 2}
    assert read(many) == NgramSpeculation(num_speculative_tokens=5, prompt_lookup_max=4, prompt_lookup_min=2)
    assert read({"model": "llama", "num_speculative_tokens": 2}) == ModelSpeculation(
        model=tiny("llama"), num_speculative_tokens=2
    )


@pytest.mark.parametrize(
    "given, message",
    [
        ({}, "method None: allowed are ngram, draft_model"),
        ({"method": "eagle"}, "method 'eagle'"),
        ({"method": "ngram", "model": "x"}, "of ngram has no 'model'"),
        ({"method": "ngram", "num_speculative_tokens": 0}, "num_speculative_tokens=0"),
        ({"method": "ngram", "prompt_lookup_max": 1, "prompt_lookup_min": 2}, "swap them"),
        ({"method": "draft_model"}, "needs a model"),
    ],
    ids=str,
)
def test_a_mistake_is_named(given, message):
    with pytest.raises(ConfigError, match=message):
        read(given)
