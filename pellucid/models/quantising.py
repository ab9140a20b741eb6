"""Brings weights into 8 or 4 bits while they load: which of a body's, and how its layers change.

`int8` holds every product's weights and the token table in 8 bits; `int4` the products' in 4 bits, the table
and the head, which choose among all tokens, in 8. Norms, biases, positions and routers stay as they are.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pellucid.kernels import QuantisedWeight
from pellucid.kernels.packing import BLOCK, BYTES, GROUP, interleave, round_rows
from pellucid.kernels.spec import QuantisedFormat
from pellucid.layers.embedding import Embedding
from pellucid.layers.linear import FusedLinear, Linear
from pellucid.layers.quantised import QuantisedEmbedding, QuantisedLinear
from pellucid.models.body import Body

QUANTIZATIONS = ("int8", "int4")
HEAD, ROUTER = "lm_head.weight", ".router"


def plan(body: Body, quantization: str | None) -> dict[str, QuantisedFormat]:
    """Which parameters become which format, by name; a shared one has each of its names."""
    formats: dict[str, QuantisedFormat] = {}
    if quantization is None:
        return formats
    names = [name for name, _ in body.named_parameters(remove_duplicate=False) if name.endswith(".weight")]
    owners = {name: body.get_submodule(_owner(name)) for name in names}
    tables = {id(module.weight) for module in owners.values() if isinstance(module, Embedding)}
    for name, module in owners.items():
        if not isinstance(module, Linear | Embedding) or _owner(name).endswith(ROUTER):
            continue
        chooses = name == HEAD or id(module.weight) in tables
        formats[name] = "int4" if quantization == "int4" and not chooses else "int8"
    return formats


def quantised_bytes(shape: torch.Size, kind: QuantisedFormat) -> int:
    """What a weight takes in memory."""
    outputs, inputs = shape
    blocks, groups = -(-outputs // BLOCK), -(-inputs // GROUP)
    return blocks * groups * (BYTES[kind] + 2 * BLOCK)


class PackedRows:
    """A quantised weight that is filled some rows at a time, in any order."""

    def __init__(self, kind: QuantisedFormat, shape: torch.Size, device: torch.device) -> None:
        outputs, inputs = shape
        blocks, groups = -(-outputs // BLOCK), -(-inputs // GROUP)
        values = torch.zeros(blocks, groups, BYTES[kind], dtype=torch.uint8, device=device)
        scales = torch.zeros(blocks, groups, BLOCK, dtype=torch.float16, device=device)
        self.weight = QuantisedWeight(kind, outputs, inputs, values, scales)

    def write(self, start: int, rows_OI: Tensor) -> None:
        """Round rows and put them at `start` and after."""
        rows = torch.arange(start, start + len(rows_OI))
        self.write_rounded(rows, *round_rows(rows_OI.float(), self.weight.format))

    def write_rounded(self, rows: Tensor, q_OI: Tensor, scales_ON: Tensor) -> None:
        """Put whole numbers and their scales at the given rows."""
        interleave(self.weight, rows.to(self.weight.values.device), q_OI, scales_ON)


def swap(body: Body, packed: Mapping[str, QuantisedWeight]) -> None:
    """Put layers over packed weights in the place of those over parameters of these names, and of those that
    share them."""
    parameters = dict(body.named_parameters(remove_duplicate=False))
    for name, weight in packed.items():
        for path in [_owner(other) for other, p in parameters.items() if p is parameters[name]]:
            old, parent = body.get_submodule(path), body.get_submodule(_owner(path))
            setattr(parent, path.rpartition(".")[2], _layer(old, weight))


def stored_weights(body: nn.Module) -> list[Tensor | QuantisedWeight]:
    """All that a body has learned, as it is held; what is shared is there once."""
    layers = [m for m in body.modules() if isinstance(m, QuantisedLinear | QuantisedEmbedding)]
    packed = {id(layer.weight): layer.weight for layer in layers}
    return [*body.parameters(), *packed.values()]


def _layer(old: nn.Module, weight: QuantisedWeight) -> nn.Module:
    if isinstance(old, Embedding):
        return QuantisedEmbedding(weight, old.scale)
    assert isinstance(old, Linear)
    sections = old.sections if isinstance(old, FusedLinear) else {}
    new = QuantisedLinear(weight, old.bias, {name: stop - start for name, (start, stop) in sections.items()})
    new.train(old.training)
    return new


def _owner(name: str) -> str:
    return name.rpartition(".")[0]
