"""No field of a published config that changes the arithmetic is ignored: it is read, or refused by name."""

import dataclasses

import pytest
from parity.decoder_cases import CASES
from transformers import AutoConfig, PreTrainedConfig

from pellucid.errors import ConfigError
from pellucid.models.published import ARITHMETIC, PublishedConfig
from pellucid.models.registry import FAMILIES, read_config

# What transformers' classes of these families have beside: training, output and classifier settings.
NO_ARITHMETIC = {
    "attention_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "hidden_dropout",
    "initializer_range",
    "output_router_logits",
    "pretraining_tp",  # how a product was cut up in training
    "reorder_and_upcast_attn",  # the order of a rounding
    "resid_pdrop",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "use_cache",
}
FIRST = {case.model_type: case for case in reversed(CASES.values())}


def fields_of(model_type, **more):
    fields = AutoConfig.for_model(model_type, **FIRST[model_type].fields).to_dict()
    return {**fields, "dtype": "float32", **more}


@pytest.mark.parametrize("model_type", FIRST)
def test_every_field_of_the_published_class_is_accounted_for(model_type) -> None:
    published = PublishedConfig(fields_of(model_type), "config.json")
    FAMILIES[model_type].read_config(published)
    general = {field.name for field in dataclasses.fields(PreTrainedConfig)}
    own = {field.name for field in dataclasses.fields(type(AutoConfig.for_model(model_type)))} - general
    assert own - published.read - ARITHMETIC.keys() - NO_ARITHMETIC == set()


@pytest.mark.parametrize("model_type", FIRST)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attention_multiplier", 0.0078125),
        ("clip_qkv", 8.0),
        ("kv_lora_rank", 512),
        ("layer_types", ["full_attention", "chunked_attention"]),
        ("logit_scale", 0.0625),
        ("num_kv_shared_layers", 4),
        ("quantization_config", {"quant_method": "gptq", "bits": 4}),
        ("residual_multiplier", 0.22),
        ("rotary_pct", 0.25),
        ("use_bidirectional_attention", True),
    ],
)
def test_a_field_that_changes_the_arithmetic_is_refused_by_name(model_type, name, value) -> None:
    with pytest.raises(ConfigError, match=f"`{name}`"):
        read_config(fields_of(model_type, **{name: value}))


@pytest.mark.parametrize(
    ("model_type", "name", "value"),
    [
        ("gpt2", "add_cross_attention", True),
        ("gpt2", "position_embedding_type", "relative_key"),
        ("gemma3_text", "attn_logit_softcapping", 50.0),
        ("llama", "attn_logit_softcapping", 30.0),
        ("llama", "no_rope_layers", [1, 0]),
        ("llama", "num_local_experts", 16),
        ("llama", "partial_rotary_factor", 0.5),
        ("llama", "sliding_window", 4096),
        ("mistral", "attention_bias", True),
        ("mistral", "use_qk_norm", True),
        ("mixtral", "shared_intermediate_size", 1024),
        ("olmo2", "sliding_window", 4096),
        ("phi3", "attention_bias", True),
        ("qwen2", "num_experts", 60),
        ("qwen2", "query_pre_attn_scalar", 256),
        ("qwen3", "final_logit_softcapping", 30.0),
        ("stablelm", "rotary_pct", 0.5),
    ],
)
def test_what_another_family_has_is_refused_where_this_one_has_it_not(model_type, name, value) -> None:
    with pytest.raises(ConfigError, match=f"`{name}`"):
        read_config(fields_of(model_type, **{name: value}))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rope_type": "default", "partial_rotary_factor": 0.5}, "`partial_rotary_factor`"),
        ({"rope_type": "default", "mrope_section": [16, 24, 24]}, "`mrope_section`"),
        ({"rope_type": "xpos"}, "'xpos'"),
        ({"rope_type": "linear"}, "`factor`"),
        ({"rope_type": "llama3", "factor": 8.0}, "`low_freq_factor`"),
    ],
)
def test_rope_settings_that_are_not_supported_or_not_whole_are_refused_by_name(settings, named) -> None:
    with pytest.raises(ConfigError, match=named):
        read_config(fields_of("llama", rope_parameters={"rope_theta": 10000.0, **settings}))


@pytest.mark.parametrize("model_type", FIRST)
def test_neutral_values_are_no_obstacle(model_type) -> None:
    plain = read_config(fields_of(model_type))
    neutral = {"attention_multiplier": None, "residual_multiplier": 1.0, "use_qk_norm": False, "alibi": False}
    assert read_config(fields_of(model_type, **neutral)) == plain


def test_a_layer_type_needs_its_window() -> None:
    types = ["sliding_attention", "full_attention"]
    with pytest.raises(ConfigError, match="sliding_window"):
        read_config(fields_of("qwen2", layer_types=types, use_sliding_window=False))


@pytest.mark.parametrize("types", [[[], 0], ["chunked_attention"] * 22, ["full_attention"]])
def test_modernberts_layer_types_are_as_many_known_words_as_layers(types) -> None:
    with pytest.raises(ConfigError, match="`layer_types` must be 22 entries"):
        read_config({"model_type": "modernbert", "layer_types": types})


@pytest.mark.parametrize("model_type", ["mistral", "phi3", "gemma2", "qwen2"])
@pytest.mark.parametrize("window", [0, -4, 10**30])
def test_a_window_sees_something_and_is_a_number_that_machines_have(model_type, window) -> None:
    fields = fields_of(model_type, sliding_window=window, use_sliding_window=True, max_window_layers=0)
    with pytest.raises(ConfigError, match=r"config\.json: `sliding_window` is"):
        read_config({name: value for name, value in fields.items() if name != "layer_types"})


@pytest.mark.parametrize(
    ("buckets", "farthest", "named"), [(3, 128, "num_buckets"), (32, 16, "max_distance")]
)
def test_t5s_buckets_reach_beyond_the_distances_that_have_one_each(buckets, farthest, named) -> None:
    fields = {"relative_attention_num_buckets": buckets, "relative_attention_max_distance": farthest}
    with pytest.raises(ConfigError, match=f"`relative_attention_{named}` is"):
        read_config({"model_type": "t5", **fields})
