"""`pellucid bench`: its figures add up, and it prints as a table and as JSON."""

import json

from typer.testing import CliRunner

from pellucid.bench import bench
from pellucid.cli import app
from pellucid.llm import LLM


def test_the_parts_of_a_step_add_up_to_it():
    llm = LLM("pellucid/guide", enable_prefix_caching=False, skip_tokenizer_init=True, device="cpu")
    cost = bench(llm, prompt_tokens=16, new_tokens=8)
    assert cost.prefill_rate > 0 and cost.decode_rate > 0 and cost.bandwidth_share > 0
    if cost.operations_ms:
        assert sum(cost.operations_ms.values()) + cost.between_ms == cost.model_ms
        assert "product" in cost.operations_ms and not cost.why_no_tape


def test_it_prints_as_a_table_and_as_json():
    command = ["bench", "--prompt-tokens", "16", "--new-tokens", "4", "--device", "cpu"]
    table = CliRunner().invoke(app, command)
    assert table.exit_code == 0 and "tokens/s" in table.output and "One decoding step" in table.output
    found = json.loads(CliRunner().invoke(app, [*command, "--kv-cache-dtype", "int8", "--json"]).stdout)
    kept = LLM("pellucid/guide", device="cpu", kv_cache_dtype="int8").engine.kv_bytes_per_token
    assert (found["kv_cache"], found["kv_bytes_per_token"]) == ("int8", kept)
    assert {
        "decode_rate",
        "prefill_rate",
        "read_bandwidth",
        "bandwidth_share",
        "operations_ms",
    } <= found.keys()
