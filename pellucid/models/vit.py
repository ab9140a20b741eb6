"""ViT (Dosovitskiy et al. 2021): a picture's patches as tokens, norm first, the class read from the first."""

from torch import Tensor

from pellucid.errors import ConfigError
from pellucid.kernels import AttentionSpec
from pellucid.layers.attention import AttentionConfig
from pellucid.layers.block import BlockConfig
from pellucid.layers.feed_forward import FeedForwardConfig
from pellucid.layers.norm import NormConfig
from pellucid.layers.patch_input import PatchInputConfig
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.head_config import HeadConfig
from pellucid.models.published import PublishedConfig
from pellucid.models.published_head import read_labels, read_scores, read_task
from pellucid.models.vision import Vision
from pellucid.models.vision_config import VisionConfig


def read_config(published: PublishedConfig) -> VisionConfig:
    """config.json → VisionConfig."""
    return read_vit(published, special_tokens=1)


def read_vit(published: PublishedConfig, *, special_tokens: int) -> VisionConfig:
    """What ViT and DeiT publish alike; they differ in the tokens before the patches."""
    hidden_size, heads = published.size("hidden_size", 768), published.size("num_attention_heads", 12)
    head_dim = published.head_dim(hidden_size, heads)
    norm = NormConfig(kind="layer_norm", eps=published.get("layer_norm_eps", float, 1e-12))
    spec = AttentionSpec(
        num_heads=heads, num_kv_heads=heads, head_dim=head_dim, scale=head_dim**-0.5, causal=False
    )
    block = BlockConfig(
        wiring="pre_norm",
        norm=norm,
        attention=AttentionConfig(spec=spec, qkv_bias=published.get("qkv_bias", bool, True), o_bias=True),
        feed_forward=FeedForwardConfig(
            size=published.size("intermediate_size", 3072),
            activation=published.activation("hidden_act", "gelu"),
            gated=False,
            bias=True,
        ),
    )
    return VisionConfig(
        model_type=published.model_type,
        hidden_size=hidden_size,
        input=_read_input(published, special_tokens),
        blocks=(block,) * published.size("num_hidden_layers", 12),
        final_norm=norm,
        head=_read_head(published),
        dtype=published.dtype(),
    )


def _read_input(published: PublishedConfig, special_tokens: int) -> PatchInputConfig:
    image, patch = _sides(published, "image_size", 224), _sides(published, "patch_size", 16)
    if image[0] % patch[0] or image[1] % patch[1]:
        raise ConfigError(
            f"{published.where}: an `image_size` of {image} is no whole number of patches of {patch}"
        )
    return PatchInputConfig(
        channels=published.size("num_channels", 3),
        image_size=image,
        patch_size=patch,
        special_tokens=special_tokens,
    )


def _sides(published: PublishedConfig, name: str, default: int) -> tuple[int, int]:
    value = published.fields.get(name)
    if isinstance(value, list) and len(value) == 2 and all(type(side) is int and side > 0 for side in value):
        return value[0], value[1]
    side = published.size(name, default)
    return side, side


def _read_head(published: PublishedConfig) -> HeadConfig | None:
    task = read_task(published)
    if task is None:
        return None
    if task != "picture":
        raise ConfigError(
            f"{published.where}: its head is for {task}; Pellucid's {published.model_type} has classes"
        )
    labels = read_labels(published)
    return HeadConfig(
        task=task,
        pool="first",
        transform=None,
        outputs=len(labels),
        labels=labels,
        scores=read_scores(published, len(labels)),
    )


def flattened(token_11D: Tensor) -> Tensor:
    """`[1, 1, D]` as published → `[D]`."""
    return token_11D.flatten()


def without_batch(value: Tensor) -> Tensor:
    """`[1, P, D]` as published → `[P, D]`."""
    return value.squeeze(0)


def as_product(weight_DCYX: Tensor) -> Tensor:
    """A convolution that never overlaps, as published → a product `[D, C * Y * X]`."""
    return weight_DCYX.flatten(1)


def as_token(value_D: Tensor, config: VisionConfig) -> Tensor:
    """What `flattened` undoes."""
    return value_D[None, None]


def with_batch(value: Tensor, config: VisionConfig) -> Tensor:
    """What `without_batch` undoes."""
    return value[None]


def as_convolution(weight: Tensor, config: VisionConfig) -> Tensor:
    """What `as_product` undoes."""
    return weight.view(-1, config.input.channels, *config.input.patch_size)


WEIGHTS = {
    "embeddings.cls_token": "input.special_tokens.0",
    "embeddings.position_embeddings": "input.embed_positions.weight",
    **weights_and_biases(
        {
            "embeddings.patch_embeddings.projection": "input.patch_proj",
            "encoder.layer.{}.attention.attention.query": "blocks.{}.attn.qkv_proj[q]",
            "encoder.layer.{}.attention.attention.key": "blocks.{}.attn.qkv_proj[k]",
            "encoder.layer.{}.attention.attention.value": "blocks.{}.attn.qkv_proj[v]",
            "encoder.layer.{}.attention.output.dense": "blocks.{}.attn.o_proj",
            "encoder.layer.{}.layernorm_before": "blocks.{}.attn_norm",
            "encoder.layer.{}.layernorm_after": "blocks.{}.mlp_norm",
            "encoder.layer.{}.intermediate.dense": "blocks.{}.mlp.up_proj",
            "encoder.layer.{}.output.dense": "blocks.{}.mlp.down_proj",
            "layernorm": "norm",
            "classifier": "heads.picture.out_proj",
        }
    ),
}
TRANSFORMS = {
    "embeddings.cls_token": flattened,
    "embeddings.position_embeddings": without_batch,
    "embeddings.patch_embeddings.projection.weight": as_product,
}
INVERSES = {
    "embeddings.cls_token": as_token,
    "embeddings.position_embeddings": with_batch,
    "embeddings.patch_embeddings.projection.weight": as_convolution,
}
POOLER = ("pooler.dense.weight", "pooler.dense.bias")

FAMILY = Family(
    model_type="vit",
    read_config=read_config,
    build=Vision,
    weights=WEIGHTS,
    transforms=TRANSFORMS,
    inverses=INVERSES,
    outside=("classifier.",),
    ignored=POOLER,
    prefixes=("vit.",),
)
