"""adapter_config.json: ranks and scales as peft reads them; what would change the arithmetic is refused by name."""

import pytest
from adapter_folder import write_adapter

from pellucid.errors import ConfigError
from pellucid.models.adapter_config import read_adapter_config

Q = "model.layers.1.self_attn.q_proj"
DOWN = "model.layers.1.mlp.down_proj"


def read(folder, **changed):
    return read_adapter_config(write_adapter(folder, **changed))


def test_the_scale_is_alpha_over_the_rank_or_its_root(tmp_path) -> None:
    assert read(tmp_path).scale_of(Q) == 2.0
    assert read(tmp_path, r=4, use_rslora=True).scale_of(Q) == 2.0


def test_a_pattern_names_how_a_module_ends(tmp_path) -> None:
    config = read(tmp_path, rank_pattern={"q_proj": 8}, alpha_pattern={r"1\.mlp\.\w+_proj": 5})
    assert (config.rank_of(Q), config.rank_of(DOWN)) == (8, 2)
    assert (config.scale_of(Q), config.scale_of(DOWN)) == (0.5, 2.5)
    assert config.rank_of("model.layers.1.self_attn.not_q_proj") == 2


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alora_invocation_tokens", [1, 2]),
        ("bias", "lora_only"),
        ("init_lora_weights", "pissa"),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("lora_bias", True),
        ("modules_to_save", ["lm_head"]),
        ("peft_type", "IA3"),
        ("target_parameters", ["mlp.experts.gate_up_proj"]),
        ("trainable_token_indices", [3]),
        ("use_dora", True),
    ],
)
def test_what_is_more_than_a_low_rank_sum_is_refused_by_name(tmp_path, field, value) -> None:
    with pytest.raises(ConfigError, match=rf"adapter_config.json: `{field}` is"):
        read(tmp_path, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alpha_pattern", {"q_proj": "4"}),
        ("lora_alpha", "4"),
        ("peft_type", ...),
        ("r", 0),
        ("r", ...),
        ("rank_pattern", {"q_proj": 0}),
        ("rank_pattern", {"(": 2}),
        ("rank_pattern", {"(a*)*b": 2}),
        ("rank_pattern", {"a*a*a*a*b": 2}),
    ],
)
def test_odd_values_are_refused_naming_file_and_field(tmp_path, field, value) -> None:
    with pytest.raises(ConfigError, match=rf"adapter_config.json: `{field}"):
        read(tmp_path, **{field: value})
