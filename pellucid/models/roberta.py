"""RoBERTa (Liu et al. 2019) and its descendants in other languages: BERT's body, positions that begin after
the padding's row, heads of its own."""

from dataclasses import replace

from pellucid.layers.token_input import PositionsConfig
from pellucid.models import bert
from pellucid.models.encoder import Encoder
from pellucid.models.encoder_config import EncoderConfig
from pellucid.models.family import Family, weights_and_biases
from pellucid.models.head_config import TransformConfig
from pellucid.models.published import PublishedConfig


def read_config(published: PublishedConfig) -> EncoderConfig:
    """config.json → EncoderConfig. The position table has the rows up to the padding's for no position."""
    offset = published.get("pad_token_id", int, 1) + 1
    rows = published.size("max_position_embeddings", 512)
    return bert.read_bert(
        published,
        positions=PositionsConfig(kind="learned", size=rows - offset, offset=offset),
        words=TransformConfig(activation="gelu", norm=bert.read_norm(published)),
    )


HEADS = {
    **weights_and_biases(
        {
            "lm_head.dense": "heads.words.transform.dense",
            "lm_head.layer_norm": "heads.words.transform.norm",
            "classifier.dense": "heads.sequence.transform.dense",
            "classifier.out_proj": "heads.sequence.out_proj",
            "classifier": "heads.tokens.out_proj",
        }
    ),
    "lm_head.decoder.weight": "heads.words.out_proj.weight",
    "lm_head.bias": "heads.words.out_proj.bias",
}

FAMILY = Family(
    model_type="roberta",
    read_config=read_config,
    build=Encoder,
    weights={**bert.WEIGHTS, **HEADS},
    ignored=(
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
        "lm_head.decoder.bias",  # the same numbers as lm_head.bias
    ),
    outside=("lm_head.", "classifier."),
    prefixes=("roberta.",),
)
XLM_ROBERTA = replace(FAMILY, model_type="xlm-roberta")
CAMEMBERT = replace(FAMILY, model_type="camembert")
