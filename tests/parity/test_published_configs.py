"""Configs as they are published read without complaint, and mean what transformers takes them to mean."""

import pytest
import torch
from parity.published_configs import PUBLISHED
from transformers import AutoConfig

from pellucid.models.registry import read_config


def read(fields):
    return read_config(fields)[1]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_means_what_transformers_takes_it_to_mean(name) -> None:
    fields = PUBLISHED[name]
    theirs = AutoConfig.for_model(**fields).to_dict()
    dtype = fields.get("torch_dtype")
    assert read(fields) == read({**theirs, "dtype": dtype})
    assert read(fields).dtype == dtype


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("gpt2", 0.124),
        ("Llama-2-7b", 6.74),
        ("Llama-3.1-8B-Instruct", 8.03),
        ("SmolLM2-135M", 0.1345),
        ("SmolLM3-3B", 3.08),
        ("Phi-3-mini-4k-instruct", 3.82),
        ("Phi-4-mini-instruct", 3.84),
        ("phi-2", 2.78),
        ("Mistral-7B-v0.1", 7.24),
        ("Mistral-Nemo-Base-2407", 12.25),
        ("Mixtral-8x7B-v0.1", 46.70),
        ("Qwen2.5-0.5B-Instruct", 0.494),
        ("Qwen3-0.6B", 0.596),
        ("Qwen3-30B-A3B", 30.53),
        ("gemma-2-2b-it", 2.61),
        ("gemma-3-1b-it", 1.00),
        ("OLMo-2-1124-7B", 7.30),
        ("stablelm-2-12b", 12.14),
    ],
)
def test_the_body_has_as_many_parameters_as_its_card_says(name, billions) -> None:
    family, config = read_config(PUBLISHED[name])
    with torch.device("meta"):
        body = family.build(config)
    assert sum(p.numel() for p in body.parameters()) / 1e9 == pytest.approx(billions, rel=0.005)


def test_a_model_in_which_no_layer_turns_is_as_long_as_it_says() -> None:
    fields = PUBLISHED["SmolLM3-3B"]
    config = read({**fields, "no_rope_layers": [0] * fields["num_hidden_layers"]})
    assert config.max_position_embeddings == fields["max_position_embeddings"]
    assert all(block.attention.rotary is None for block in config.blocks)
