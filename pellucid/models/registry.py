"""Which family reads which `model_type`."""

from collections.abc import Mapping
from typing import Any

from pellucid.errors import ConfigError, did_you_mean
from pellucid.models import (
    bart,
    bert,
    deit,
    distilbert,
    gemma2,
    gemma3,
    gpt2,
    llama,
    marian,
    mistral,
    mixtral,
    modernbert,
    olmo2,
    phi,
    phi3,
    qwen2,
    qwen3,
    qwen3_moe,
    roberta,
    smollm3,
    stablelm,
    t5,
    transformer,
    vit,
    whisper,
)
from pellucid.models.body import BodyConfig
from pellucid.models.family import Family
from pellucid.models.published import PublishedConfig

FAMILIES: dict[str, Family[Any]] = {
    family.model_type: family
    for family in (
        bart.FAMILY,
        bert.FAMILY,
        deit.FAMILY,
        distilbert.FAMILY,
        gemma2.FAMILY,
        gemma3.FAMILY,
        gemma3.WHOLE,
        gpt2.FAMILY,
        llama.FAMILY,
        marian.FAMILY,
        mistral.FAMILY,
        mixtral.FAMILY,
        modernbert.FAMILY,
        olmo2.FAMILY,
        phi.FAMILY,
        phi3.FAMILY,
        qwen2.FAMILY,
        qwen3.FAMILY,
        qwen3_moe.FAMILY,
        roberta.CAMEMBERT,
        roberta.FAMILY,
        roberta.XLM_ROBERTA,
        smollm3.FAMILY,
        stablelm.FAMILY,
        t5.FAMILY,
        transformer.FAMILY,
        vit.FAMILY,
        whisper.FAMILY,
    )
}


def family_of(fields: Mapping[str, Any], where: str) -> Family[Any]:
    """The family that a config's `model_type` names."""
    model_type = fields.get("model_type")
    if model_type is None:
        raise ConfigError(f"{where}: `model_type` is missing, so nothing says which family this model is of")
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        hint = did_you_mean(str(model_type), FAMILIES)
        known = ", ".join(sorted(FAMILIES))
        raise ConfigError(f"{where}: `model_type` is {model_type!r}{hint}; Pellucid opens {known}")
    return family


def read_config(fields: Mapping[str, Any], where: str = "config.json") -> tuple[Family[Any], BodyConfig]:
    """The family and the complete config. Raises ConfigError naming the field that is wrong."""
    family = family_of(fields, where)
    published = PublishedConfig(fields, where)
    config = family.read_config(published)
    published.refuse_unread()
    return family, config
