"""Reads a published config.json: both dialects, every field by name, nothing that matters ignored."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pellucid.errors import ConfigError

Value = TypeVar("Value")

# Published names of the non-linearities, and ours.
ACTIVATIONS = {
    "relu": "relu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
}

# Fields that change what some published family computes. One that is set, and that the family at hand did not
# read, is refused by name. Neutral values are those with which it changes nothing; a list is neutral if each
# of its entries is.
ARITHMETIC: dict[str, tuple[object, ...]] = {
    "add_cross_attention": (False,),
    "add_final_layer_norm": (False,),
    "alibi": (False,),
    "attention_bias": (False,),
    "attention_chunk_size": (),
    "attention_multiplier": (),
    "attn_logit_softcapping": (),
    "clip_qkv": (),
    "embedding_multiplier": (1, 1.0),
    "final_logit_softcapping": (),
    "first_k_dense_replace": (),
    "head_dim": (),
    "hidden_activation": (),
    "hidden_size_per_layer_input": (0,),
    "is_decoder": (False,),
    "kv_lora_rank": (),
    "layer_types": ("full_attention",),
    "logit_scale": (1, 1.0),
    "logits_scaling": (1, 1.0),
    "mlp_bias": (False,),
    "mlp_only_layers": (),
    "moe_intermediate_size": (),
    "mrope_section": (),
    "multi_query": (False,),
    "n_routed_experts": (0,),
    "n_shared_experts": (0,),
    "no_rope_layers": (1,),
    "normalize_before": (False,),
    "num_experts": (0,),
    "num_kv_shared_layers": (0,),
    "num_local_experts": (0,),
    "num_shared_experts": (0,),
    "parallel_attn": (False,),
    "partial_rotary_factor": (1, 1.0),
    "position_embedding_type": ("absolute",),
    "qk_layernorm": (False,),
    "qkv_bias": (False,),
    "quantization_config": (),
    "query_pre_attn_scalar": (),
    "residual_multiplier": (1, 1.0),
    "rope_interleave": (False,),
    "rope_local_base_freq": (),
    "rope_parameters": ({},),
    "rope_scaling": ({},),
    "rope_theta": (),
    "rotary_dim": (),
    "rotary_emb_base": (),
    "rotary_pct": (1, 1.0),
    "routed_scaling_factor": (1, 1.0),
    "scale_attn_by_inverse_layer_idx": (False,),
    "scale_attn_weights": (True,),
    "shared_expert_intermediate_size": (0,),
    "shared_intermediate_size": (0,),
    "sliding_window": (),
    "sliding_window_pattern": (),
    "swiglu_limit": (),
    "tie_word_embeddings": (),
    "use_bidirectional_attention": (False,),
    "use_bias": (False,),
    "use_mrope": (False,),
    "use_parallel_residual": (False,),
    "use_qk_norm": (False,),
    "use_qkv_bias": (False,),
    "use_sliding_window": (False,),
    "use_weighted_layer_sum": (False,),
}


# No model is nearly as large; what is written down larger is damage, and would only run out of memory.
LARGEST = 2**24
LARGEST_INT = 2**62
FARTHEST = 1e30
MOST = (
    ("layer", 1024),
    ("expert", 1024),
    ("head", 2**16),
    ("kv", 2**16),
    ("image", 4096),
    ("patch", 4096),
    ("channels", 4096),
)
"""Limits of what has this word in its name."""


class PublishedConfig:
    """A config.json being read. Every error names the field, what it holds and what is allowed."""

    def __init__(self, fields: Mapping[str, Any], where: str, model_type: str | None = None) -> None:
        """`where` names the file in messages; `model_type` stands in where the fields have none."""
        self.fields = fields
        self.where = where
        self.model_type = str(fields.get("model_type", model_type))
        self.read: set[str] = set()
        """The names that were asked for."""

    def with_defaults(self, fields: Mapping[str, Any]) -> "PublishedConfig":
        """The same config, these fields standing in for those that are missing or null."""
        said = {name: value for name, value in self.fields.items() if value is not None}
        other = PublishedConfig({**self.fields, **fields, **said}, self.where, self.model_type)
        other.read = self.read
        return other

    def get(self, name: str, kind: type[Value], default: Value) -> Value:
        """A field of the given type; the default where it is missing or null."""
        self.read.add(name)
        value = self.fields.get(name)
        return default if value is None else self._checked(name, value, kind)

    def optional(self, name: str, kind: type[Value], missing: Value | None = None) -> Value | None:
        """A field of the given type, or None where it is null; `missing` where it is not there."""
        self.read.add(name)
        value = self.fields.get(name, missing)
        return None if value is None else self._checked(name, value, kind)

    def need(self, name: str, kind: type[Value]) -> Value:
        """A field that must be there."""
        value = self.optional(name, kind)
        if value is None:
            raise ConfigError(f"{self.where}: `{name}` is missing; a {self.model_type} config must have it")
        return value

    def size(self, name: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least `least`."""
        value = self.need(name, int) if default is None else self.get(name, int, default)
        most = next((limit for word, limit in MOST if word in name), LARGEST)
        if not least <= value <= most:
            raise ConfigError(f"{self.where}: `{name}` is {value}; it must be from {least} to {most}")
        return value

    def within(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A number above `low` and at most `high`."""
        value = self.need(name, float) if default is None else self.get(name, float, default)
        if not low < value <= high:
            raise ConfigError(
                f"{self.where}: `{name}` is {value}; it must be above {low:g} and at most {high:g}"
            )
        return value

    def heads(self, total_name: str, kv_name: str, kv_missing: int | None = None) -> tuple[int, int]:
        """Query heads and KV heads; the first must be a multiple of the second. Null, or missing without
        `kv_missing`, is as many KV heads as query heads."""
        heads = self.size(total_name)
        kv_heads = self.optional(kv_name, int, kv_missing) or heads
        if kv_heads < 1 or heads % kv_heads:
            raise ConfigError(
                f"{self.where}: `{total_name}` is {heads} and `{kv_name}` is {kv_heads}; the first must be a "
                "multiple of the second, so that each KV head serves the same number of query heads"
            )
        return heads, kv_heads

    def head_dim(self, hidden_size: int, num_heads: int, missing: int | None = None) -> int:
        """The published `head_dim`; null, or missing without `missing`, is hidden_size / heads."""
        published = self.optional("head_dim", int, missing)
        if published is not None:
            return self.size("head_dim", published)
        if hidden_size % num_heads:
            raise ConfigError(
                f"{self.where}: the hidden size {hidden_size} is not a multiple of the {num_heads} heads and "
                "`head_dim` does not say how large a head is"
            )
        return hidden_size // num_heads

    def activation(self, name: str, default: str) -> str:
        """Our name for a published activation."""
        published = self.get(name, str, default)
        if published not in ACTIVATIONS:
            known = ", ".join(sorted(ACTIVATIONS))
            raise ConfigError(f"{self.where}: `{name}` is {published!r}; known activations are {known}")
        return ACTIVATIONS[published]

    def token_ids(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """One id, or a list of them, as a tuple; null is none, `default` holds where the field is missing."""
        self.read.add(name)
        if name not in self.fields:
            return default
        value = self.fields[name]
        if value is None:
            return ()
        ids = value if isinstance(value, list) else [value]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in ids):
            raise ConfigError(f"{self.where}: `{name}` is {value!r}; it must be a token id or a list of them")
        return tuple(ids)

    def dtype(self) -> str | None:
        """`dtype` in the newer dialect, `torch_dtype` in the older one."""
        value = self.optional("dtype", str) or self.optional("torch_dtype", str)
        return value.removeprefix("torch.") if value else None

    def inside(self, name: str) -> "PublishedConfig":
        """The fields within a field, empty where it is missing."""
        return PublishedConfig(self.get(name, dict, {}), f"{self.where}, `{name}`", self.model_type)

    def refuse_unread(self) -> None:
        """Refuse what would change the arithmetic and nobody asked for."""
        for name, neutral in ARITHMETIC.items():
            value = self.fields.get(name)
            values = value if isinstance(value, list) else [value]
            if value is not None and name not in self.read and any(v not in neutral for v in values):
                raise ConfigError(
                    f"{self.where}: `{name}` is {value!r}, and Pellucid's {self.model_type} does not support "
                    "it; running on without it would give other numbers than the checkpoint's authors meant"
                )

    def _checked(self, name: str, value: Any, kind: type[Value]) -> Value:
        if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
            if not -FARTHEST < value < FARTHEST:
                raise ConfigError(f"{self.where}: `{name}` is {value!r}; it must be a finite number")
            return float(value)  # type: ignore[return-value]  # kind is float here
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise ConfigError(f"{self.where}: `{name}` is {value!r}; it must be of type {kind.__name__}")
        if kind is int and not -LARGEST_INT < value < LARGEST_INT:  # type: ignore[operator]  # an int here
            raise ConfigError(f"{self.where}: `{name}` is {value!r}; no machine counts so far")
        return value
