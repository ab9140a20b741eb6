"""A GGUF file is the same model as the checkpoint it was made from, whichever family it belongs to."""

from dataclasses import replace

import pytest
import torch
from gguf_writing import write_gguf
from parity.checkpoints import make, prompt
from parity.decoder_cases import CASES, GROUPED, rope

from pellucid.models.loading import load_model

# Those whose config GGUF can express.
EXPRESSIBLE = [
    "gpt2",
    "gpt2-untied-inner",
    "llama-1",
    "llama-2-grouped",
    "llama-3.1",
    "llama-3.2-tied-head-dim",
    "llama-biases",
    "llama-linear",
    "llama-yarn",
    "mistral-whole",
    "mixtral",
    "qwen2-window-off",
    "qwen2-yarn",
    "qwen3",
    "qwen3-moe",
    "gemma2",
    "gemma3",
    "gemma3-linear-global",
    "olmo2",
    "smollm",
    "smollm3",
    "stablelm",
    "stablelm-biases-partial",
    "stablelm-parallel-head-norms",
    "phi-2",
    "phi3-window",
    "phi3-longrope",
    "phi3-partial-longrope-tied",
]
# llama.cpp's graphs hold these fixed, so a file of such a model has them so.
FIXED = {
    "qwen3-moe": {"norm_topk_prob": True},
    "gemma2": {"query_pre_attn_scalar": 16},
    "gemma3": {"query_pre_attn_scalar": 16},
    "gemma3-linear-global": {"query_pre_attn_scalar": 16, "num_hidden_layers": 7},
}


CASES = {
    **CASES,
    "llama-yarn-betas": replace(
        CASES["llama-yarn"],
        fields={
            **GROUPED,
            **rope("yarn", factor=4.0, original_max_position_embeddings=32, beta_fast=8.0, beta_slow=2.0),
        },
    ),
}


@pytest.mark.parametrize("name", [*EXPRESSIBLE, "llama-yarn-betas"])
@torch.no_grad()
def test_logits_equal_the_published_implementation(name, tmp_path, cell) -> None:
    case = CASES[name]
    cell(case.row, "GGUF")
    theirs = make(case.model_type, case.fields | FIXED.get(name, {}))
    ours = load_model(write_gguf(theirs, tmp_path / "model.gguf"), device="cpu")
    for length in case.lengths:
        ids = prompt(length, theirs.config.vocab_size)
        torch.testing.assert_close(ours.logits(ids), theirs(torch.tensor([ids])).logits[0], rtol=0, atol=1e-4)
