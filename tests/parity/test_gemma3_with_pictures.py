"""A Gemma 3 published with eyes opens as the text model it has within."""

import logging

import pytest
import torch
from parity.checkpoints import prompt, save, spread
from parity.decoder_cases import GEMMA, GEMMA_ROPES
from transformers import Gemma3Config, Gemma3ForConditionalGeneration

from pellucid.errors import ConfigError
from pellucid.models.loading import load_model
from pellucid.models.registry import read_config

EYES = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
# google/gemma-3-4b-it, which leaves most of its text model unsaid
PUBLISHED = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eoi_token_index": 256000,
    "eos_token_id": [1, 106],
    "image_token_index": 262144,
    "initializer_range": 0.02,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "vision_config": {"hidden_size": 1152, "image_size": 896, "model_type": "siglip_vision_model"},
}


@torch.no_grad()
def test_its_text_is_equal(tmp_path, caplog) -> None:
    config = Gemma3Config(text_config={**GEMMA, **GEMMA_ROPES}, vision_config=EYES)
    config._attn_implementation = "eager"
    theirs = Gemma3ForConditionalGeneration(config).eval()
    spread(theirs, 0)
    with caplog.at_level(logging.WARNING):
        ours = load_model(save(theirs, tmp_path), device="cpu")
    assert "without its vision_tower" in caplog.text
    ids = prompt(30, 97)
    expected_TV = theirs(torch.tensor([ids])).logits[0]
    torch.testing.assert_close(ours.logits(ids), expected_TV, rtol=0, atol=1e-4)


def test_the_published_config_is_whole() -> None:
    family, config = read_config(PUBLISHED)
    with torch.device("meta"):
        body = family.build(config)
    assert sum(p.numel() for p in body.parameters()) / 1e9 == pytest.approx(3.88, rel=0.005)
    assert config.dtype == "bfloat16" and config.eos_token_ids == (1, 106)
    assert [block.attention.spec.window for block in config.blocks[:6]] == [1024] * 5 + [None]
    local, everywhere = (config.blocks[i].attention.rotary for i in (0, 5))
    assert (local.theta, local.scaling, everywhere.theta, everywhere.scaling) == (
        1e4,
        "default",
        1e6,
        "linear",
    )


def test_what_is_not_supported_within_is_refused_by_name() -> None:
    within = PUBLISHED["text_config"] | {"attn_logit_softcapping": 50.0}
    with pytest.raises(ConfigError, match="`attn_logit_softcapping`"):
        read_config(PUBLISHED | {"text_config": within})
