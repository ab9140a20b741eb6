"""Reads the adapter_config.json of a LoRA adapter: its ranks and scales, or why it cannot be served.

The format is that of the `peft` library (https://huggingface.co/docs/peft, "LoraConfig").
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pellucid.errors import ConfigError
from pellucid.models.json_file import read_json
from pellucid.models.published import PublishedConfig

CONFIG = "adapter_config.json"

# What makes an adapter more than a low-rank sum, or other than one, and what stands there where it does not.
REFUSED: dict[str, tuple[object, ...]] = {
    "alora_invocation_tokens": (),
    "arrow_config": (),
    "bias": ("none",),
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal"),
    "kasa_config": (),
    "layer_replication": (),
    "lora_bias": (),
    "modules_to_save": (),
    "monteclora_config": (),
    "target_parameters": (),
    "trainable_token_indices": (),
    "use_bdlora": (),
    "use_dora": (),
    "use_qalora": (),
}
REPEATS = re.compile(r"[*+{]")
MOST_REPEATS, LONGEST = 3, 300
"""What of a pattern in a file is tried: more could take longer than anyone waits."""


@dataclass(frozen=True, kw_only=True)
class AdapterConfig:
    """How strongly each product is adapted, and by what rank."""

    where: str
    base: str | None
    """The name of the model it was trained on, where that was kept."""
    rank: int
    alpha: float
    ranks: Mapping[str, int]
    """Other ranks, by a pattern for the end of a module's name."""
    alphas: Mapping[str, float]
    rank_stabilised: bool
    targets: tuple[str, ...]
    """How the names end of all modules that are adapted; empty where the config says it in another way."""

    def rank_of(self, module: str) -> int:
        """The R of a published module name."""
        return next((rank for key, rank in self.ranks.items() if self._ends(module, key)), self.rank)

    def scale_of(self, module: str) -> float:
        """What its `B A` is multiplied by: alpha / R, or alpha / √R (Kalajdzievski 2023, "rsLoRA")."""
        alpha = next((alpha for key, alpha in self.alphas.items() if self._ends(module, key)), self.alpha)
        rank = self.rank_of(module)
        return alpha / (math.sqrt(rank) if self.rank_stabilised else rank)

    def _ends(self, module: str, key: str) -> bool:
        return re.match(rf"(.*\.)?({key})$", module) is not None


def read_adapter_config(folder: Path) -> AdapterConfig:
    """The config of an adapter's folder. Raises ConfigError naming file and field."""
    where = str(folder / CONFIG)
    fields = PublishedConfig(read_json(folder / CONFIG), where, "LoRA adapter")
    kind = fields.need("peft_type", str)
    if kind != "LORA":
        raise ConfigError(f"{where}: `peft_type` is {kind!r}; Pellucid serves LORA adapters")
    for name, neutral in REFUSED.items():
        value = fields.fields.get(name)
        if value and value not in neutral:
            raise ConfigError(
                f"{where}: `{name}` is {value!r}, which Pellucid does not support; without it the answers "
                "would not be the ones that were trained. Merge the adapter into its model and open that"
            )
    targets = fields.fields.get("target_modules")
    chosen = any(fields.fields.get(name) for name in ("layers_to_transform", "exclude_modules"))
    named = isinstance(targets, list) and not chosen and all(isinstance(target, str) for target in targets)
    return AdapterConfig(
        where=where,
        base=fields.optional("base_model_name_or_path", str),
        rank=fields.size("r"),
        alpha=_number(fields, "lora_alpha", fields.fields.get("lora_alpha", 8)),
        ranks={key: _rank(fields, key, value) for key, value in _patterns(fields, "rank_pattern").items()},
        alphas={
            key: _number(fields, f"alpha_pattern, {key}", value)
            for key, value in _patterns(fields, "alpha_pattern").items()
        },
        rank_stabilised=fields.get("use_rslora", bool, False),
        targets=tuple(targets) if named and targets else (),
    )


def _patterns(fields: PublishedConfig, name: str) -> Mapping[str, object]:
    patterns: dict[str, object] = fields.get(name, dict, {})
    for key in patterns:
        try:
            re.compile(key)
        except re.error as error:
            raise ConfigError(
                f"{fields.where}: `{name}` has {key!r}, which is no pattern: {error}"
            ) from error
        if len(key) > LONGEST or len(REPEATS.findall(key)) > MOST_REPEATS or re.search(r"\)[*+{]", key):
            raise ConfigError(
                f"{fields.where}: `{name}` has {key[:60]!r}, a pattern that could take long to try; "
                "write the names of the modules instead"
            )
    return patterns


def _rank(fields: PublishedConfig, key: str, value: object) -> int:
    if type(value) is not int or value < 1:
        raise ConfigError(f"{fields.where}: `rank_pattern` has {value!r} for {key!r}; it must be at least 1")
    return value


def _number(fields: PublishedConfig, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{fields.where}: `{name}` is {value!r}; it must be a number")
    return float(value)
