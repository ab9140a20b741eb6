"""The guide's tokenizer, and a model of its shape that has learned nothing."""

from tokenizers import Tokenizer

from pellucid.models.decoder import Decoder
from pellucid.models.hub import bundled_models
from pellucid.models.registry import read_config
from pellucid.training import initialise
from recipes.guide import SHAPE

PATH = bundled_models()["pellucid/guide"] / "tokenizer.json"


def guide_tokenizer() -> Tokenizer:
    """The bundled model's."""
    return Tokenizer.from_file(str(PATH))


def untrained(tokenizer: Tokenizer) -> Decoder:
    """A model of the guide's shape with its first weights."""
    family, config = read_config(SHAPE | {"vocab_size": tokenizer.get_vocab_size()})
    model = family.build(config)
    assert isinstance(model, Decoder)
    initialise(model, seed=0)
    return model
