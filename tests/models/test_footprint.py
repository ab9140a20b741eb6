"""What a model takes is counted as it is held: shared tables once, rounded weights as rounded."""

import pytest
import transformers

from pellucid.models.footprint import Footprint
from pellucid.models.loading import load_model

SHAPE = {
    "vocab_size": 128,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
}


@pytest.mark.parametrize("tied", [True, False])
def test_counts_and_bytes(tied, tmp_path) -> None:
    config = transformers.LlamaConfig(**SHAPE, tie_word_embeddings=tied)
    published = transformers.LlamaForCausalLM(config)
    published.save_pretrained(tmp_path)
    found = Footprint(load_model(tmp_path, dtype="float32", device="cpu"))
    assert found.num_parameters == published.num_parameters()
    assert found.weight_bytes == 4 * found.num_parameters and found.dtype == "float32"
    read_by_row = 0 if tied else 4 * 128 * 64
    assert found.weight_bytes_per_token == found.weight_bytes - read_by_row
    rounded = Footprint(load_model(tmp_path, device="cpu", quantization="int4"))
    assert rounded.dtype == "int4+int8" and rounded.weight_bytes < found.weight_bytes / 3
