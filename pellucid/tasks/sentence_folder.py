"""Reads a sentence-transformers folder: how token vectors become one sentence vector, and what goes before a
text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pellucid.errors import ConfigError
from pellucid.models.json_file import read_json, read_objects
from pellucid.models.published import ACTIVATIONS, PublishedConfig

# Published names of the ways to pool, in the order in which several are joined, and ours.
POOLING = {
    "cls": "first",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "root_mean",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, kw_only=True)
class DenseConfig:
    """A product over the pooled vector, with weights in a folder of its own."""

    folder: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str | None


@dataclass(frozen=True, kw_only=True)
class SentenceConfig:
    """What happens to token vectors, in order: pooling (several are joined), products, normalising."""

    pooling: tuple[str, ...] = ("mean",)
    dense: tuple[DenseConfig, ...] = ()
    normalize: bool = False
    max_length: int | None = None
    """Texts are cut to so many tokens; None: a text that is too long is refused."""
    lower_case: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    """What goes before a text, by the name of what the text is for ("query", "passage")."""
    default_prompt: str | None = None


def read_sentence_config(folder: Path) -> SentenceConfig:
    """What `modules.json` and the folders it names say; the mean of the tokens where there is none.

    Raises ConfigError for a module that cannot be carried out.
    """
    listing = folder / "modules.json"
    if not listing.exists():
        return SentenceConfig()
    found: dict[str, Any] = {"dense": ()}
    for module in read_objects(listing):
        kind, inner = str(module.get("type")).rpartition(".")[2], folder / str(module.get("path", ""))
        if kind == "Transformer":
            found |= _read_transformer(inner)
        elif kind == "Pooling":
            found |= _read_pooling(inner / "config.json")
        elif kind == "Dense":
            found["dense"] += (_read_dense(inner),)
        elif kind == "Normalize":
            found["normalize"] = True
        else:
            raise ConfigError(
                f"{listing}: module {module.get('type')!r} is not supported; Transformer, Pooling, Dense and "
                "Normalize are"
            )
    return SentenceConfig(**found, **_read_prompts(folder / "config_sentence_transformers.json"))


def _read_transformer(folder: Path) -> dict[str, Any]:
    path = folder / "sentence_bert_config.json"
    if not path.exists():
        return {}
    fields = PublishedConfig(read_json(path), str(path))
    return {
        "max_length": fields.optional("max_seq_length", int),
        "lower_case": fields.get("do_lower_case", bool, False),
    }


def _read_pooling(path: Path) -> dict[str, Any]:
    fields = read_json(path)
    modes = fields.get("pooling_mode")
    if modes is None:
        modes = [mode for flag, mode in FLAGS.items() if fields.get(flag)]
    modes = [modes] if isinstance(modes, str) else modes
    unknown = [mode for mode in modes if mode not in POOLING]
    if unknown or not modes:
        raise ConfigError(f"{path}: pooling {modes!r}; it must be one or several of {', '.join(POOLING)}")
    return {"pooling": tuple(POOLING[mode] for mode in modes)}


def _read_dense(folder: Path) -> DenseConfig:
    path = folder / "config.json"
    fields = PublishedConfig(read_json(path), str(path))
    published = fields.get("activation_function", str, "torch.nn.modules.activation.Tanh")
    name = published.rpartition(".")[2].lower()
    if name not in ("identity", *ACTIVATIONS):
        raise ConfigError(
            f"{path}: `activation_function` is {published!r}; known are Identity, Tanh, ReLU, GELU"
        )
    return DenseConfig(
        folder=folder,
        in_features=fields.size("in_features"),
        out_features=fields.size("out_features"),
        bias=fields.get("bias", bool, True),
        activation=None if name == "identity" else ACTIVATIONS[name],
    )


def _read_prompts(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    fields = PublishedConfig(read_json(path), str(path))
    return {
        "prompts": {str(k): str(v) for k, v in fields.get("prompts", dict, {}).items()},
        "default_prompt": fields.optional("default_prompt_name", str),
    }
