"""What a GGUF file says of itself, read by the words of its architecture (`llama.block_count`), checked."""

from array import array
from collections.abc import Sequence
from typing import Any

from pellucid.errors import ConfigError
from pellucid.models.published import PublishedConfig
from pellucid.models.stored import StoredTensor

# Metadata that changes what some architecture computes. A value that is set, and that nobody read, is
# refused by name.
ARITHMETIC = (
    "attention.clamp_kqv",
    "attention.max_alibi_bias",
    "attention.output_scale",
    "attention.q_lora_rank",
    "attention.kv_lora_rank",
    "attention.scale",
    "attention.shared_kv_layers",
    "attention.sliding_window",
    "attention.temperature_length",
    "attention.temperature_scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "expert_count",
    "expert_gating_func",
    "expert_group_count",
    "expert_shared_count",
    "expert_weights_scale",
    "final_logit_softcapping",
    "leading_dense_block_count",
    "logit_scale",
    "nextn_predict_layers",
    "residual_scale",
    "rope.dimension_sections",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
    "router_logit_softcapping",
)
# llama.cpp's own value of what is 1 where it is neutral.
NEUTRAL = (0, 0.0, False, 1.0)


LONG = 32


class GGUFHeader:
    """The metadata and tensors of a whole checkpoint, one file or several."""

    def __init__(self, metadata: dict[str, Any], tensors: Sequence[StoredTensor], where: str) -> None:
        """`where` names the file in messages."""
        self.where = where
        self.metadata = metadata
        self.tensors = {tensor.name: tensor for tensor in tensors}
        self.architecture = str(metadata.get("general.architecture", ""))
        prefix = f"{self.architecture}."
        own = {key.removeprefix(prefix): v for key, v in metadata.items() if key.startswith(prefix)}
        self._own = PublishedConfig(own, f"{where}, `{prefix}*`", self.architecture)
        self._read: set[str] = set()

    def size(self, name: str) -> int:
        """A positive whole number that must be there."""
        self._read.add(name)
        return self._own.size(name)

    def whole(self, name: str) -> int | None:
        """A whole number, or None where it is missing."""
        self._read.add(name)
        return self._own.optional(name, int)

    def number(self, name: str, missing: float | None = None) -> float | None:
        """A number, or `missing`."""
        self._read.add(name)
        return self._own.optional(name, float, missing)

    def text(self, name: str) -> str | None:
        """A text, or None where it is missing."""
        self._read.add(name)
        return self._own.optional(name, str)

    def has(self, tensor: str) -> bool:
        """Whether the file holds a tensor of this name."""
        return tensor in self.tensors

    def rows(self, tensor: str) -> int:
        """The rows of a tensor that must be there."""
        if tensor not in self.tensors:
            raise ConfigError(
                f"{self.where}: tensor {tensor!r} is missing; a file of a vocabulary alone, or a part of a "
                "split one, holds no model"
            )
        return self.tensors[tensor].num_rows

    def values(self, tensor: str) -> list[float]:
        """A short tensor's numbers."""
        return self.tensors[tensor].whole().tolist()

    def special(self, role: str) -> int | None:
        """The id of a special token, `bos` or `eos`."""
        key = f"tokenizer.ggml.{role}_token_id"
        value = self.metadata.get(key)
        if value is not None and not isinstance(value, int):
            raise ConfigError(f"{self.where}: `{key}` is {value!r}; it must be a token id")
        return value

    def in_brief(self) -> dict[str, Any]:
        """The metadata, with the length of a long array (a vocabulary) in its place."""
        return {key: _brief(value) for key, value in self.metadata.items()}

    def refuse_unread(self) -> None:
        """Refuse what would change the arithmetic and nobody asked for."""
        for name in ARITHMETIC:
            value = self._own.fields.get(name)
            if value is not None and name not in self._read and value not in NEUTRAL:
                raise ConfigError(
                    f"{self.where}: `{self.architecture}.{name}` is {value!r}, and Pellucid's "
                    f"{self.architecture} does not support it; running on without it would give other numbers"
                )


def _brief(value: Any) -> Any:
    if not isinstance(value, list | array):
        return value
    return list(value) if len(value) <= LONG else f"{len(value)} values"
