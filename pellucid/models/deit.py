"""DeiT (Touvron et al. 2021): a ViT with a second token that learned from a teacher; both vote."""

from dataclasses import replace

from pellucid.models import vit
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.head_config import VotingHeadConfig
from pellucid.models.published import PublishedConfig
from pellucid.models.vision import Vision
from pellucid.models.vision_config import VisionConfig


def read_config(published: PublishedConfig) -> VisionConfig:
    """config.json → VisionConfig. The class with the teacher's head has two last products, else one."""
    config = vit.read_vit(published, special_tokens=2)
    names = published.get("architectures", list, [])
    if config.head and any(str(name).endswith("WithTeacher") for name in names):
        return replace(config, head=VotingHeadConfig(**vars(config.head), voters=2))
    return config


FAMILY = Family(
    model_type="deit",
    read_config=read_config,
    build=Vision,
    weights={
        **vit.WEIGHTS,
        "embeddings.distillation_token": "input.special_tokens.1",
        **weights_and_biases(
            {
                "cls_classifier": "heads.picture.voters.0",
                "distillation_classifier": "heads.picture.voters.1",
            }
        ),
    },
    transforms={**vit.TRANSFORMS, "embeddings.distillation_token": vit.flattened},
    inverses={**vit.INVERSES, "embeddings.distillation_token": vit.as_token},
    outside=("classifier.", "cls_classifier.", "distillation_classifier."),
    ignored=vit.POOLER,
    prefixes=("deit.",),
)
