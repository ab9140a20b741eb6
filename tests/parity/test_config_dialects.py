"""A config means the same in every dialect it is published in, and silence means what transformers' class says."""

import pytest
from parity.decoder_cases import CASES
from parity.dialects import older
from transformers import AutoConfig

from pellucid.models.registry import read_config

SIZES = {
    "vocab_size": 97,
    "hidden_size": 512,
    "intermediate_size": 48,
    "num_hidden_layers": 8,
    "num_attention_heads": 32,
}
DECODERS = sorted({case.model_type for case in CASES.values()})


def read(fields):
    return read_config(fields)[1]


def written(model_type, fields):
    """What transformers 5 writes for these fields."""
    return AutoConfig.for_model(model_type, **fields).to_dict() | {"dtype": "float32"}


@pytest.mark.parametrize("name", CASES)
def test_both_dialects_give_one_config(name) -> None:
    case = CASES[name]
    newer = written(case.model_type, case.fields)
    assert read(older(newer)) == read(newer)
    # and transformers reads the older dialect so too, but for "su", which it no longer understands
    again = AutoConfig.for_model(**older(newer, longrope="longrope")).to_dict() | {"dtype": "float32"}
    assert read(again) == read(newer)


@pytest.mark.parametrize("model_type", DECODERS)
def test_what_is_not_said_is_as_transformers_has_it(model_type) -> None:
    fields = {} if model_type == "gpt2" else SIZES
    assert read({"model_type": model_type, **fields, "dtype": "float32"}) == read(written(model_type, fields))


@pytest.mark.parametrize("model_type", DECODERS)
def test_null_special_tokens_are_none_at_all(model_type) -> None:
    fields = {} if model_type == "gpt2" else SIZES
    config = read({"model_type": model_type, **fields, "eos_token_id": None, "bos_token_id": None})
    assert config.eos_token_ids == () and config.bos_token_id is None
