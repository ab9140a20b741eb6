"""What a model takes: how many numbers it has learned, in which format, and their bytes."""

from pellucid.kernels import QuantisedWeight
from pellucid.layers.embedding import Embedding
from pellucid.layers.linear import Linear
from pellucid.layers.quantised import QuantisedEmbedding, QuantisedLinear
from pellucid.models.body import Body
from pellucid.models.quantising import stored_weights


class Footprint:
    """The figures of a model as it was loaded."""

    def __init__(self, body: Body) -> None:
        stored = list(stored_weights(body))
        modules = list(body.modules())
        multiplied = {id(m.weight): m.weight for m in modules if isinstance(m, Linear | QuantisedLinear)}
        tables = {id(m.weight): m.weight for m in modules if isinstance(m, Embedding | QuantisedEmbedding)}
        formats = {w.format for w in stored if isinstance(w, QuantisedWeight)}
        dtypes = {str(w.dtype).removeprefix("torch.") for w in multiplied.values()}
        self.num_parameters = sum(weight.numel() for weight in stored)
        """How many numbers the model has learned; a tied table counts once."""
        self.weight_bytes = sum(weight.nbytes for weight in stored)
        """What the weights take in memory."""
        self.weight_bytes_per_token = self.weight_bytes - sum(
            table.nbytes for key, table in tables.items() if key not in multiplied
        )
        """The weights that one decoding step reads: all but a table of which it takes one row."""
        self.dtype = "+".join(sorted(formats or dtypes))
        """The dtype of the weights that multiply, or the formats they are quantised to."""
