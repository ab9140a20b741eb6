"""Brings weights into 8 or 4 bits while they load: which of a body's, and how its layers change.

`int8` holds every product's weights and the token table in 8 bits; `int4` the products' in 4 bits, the table
and the head, which choose among all tokens, in 8. Norms, biases, positions and routers stay as they are.
"""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

import torch
from torch import Tensor, nn

from pellucid.kernels import QuantisedWeight
from pellucid.kernels.large_pages import Zeros
from pellucid.kernels.packing import LAYOUTS, empty, interleave, round_rows
from pellucid.kernels.spec import QuantisedFormat
from pellucid.layers.embedding import Embedding
from pellucid.layers.linear import FusedLinear, Linear
from pellucid.layers.quantised import QuantisedEmbedding, QuantisedLinear
from pellucid.models.body import Body
from pellucid.models.encodings import Encoding
from pellucid.models.gguf_blocks import q4_k_parts, q6_k_parts

QUANTIZATIONS = ("int8", "int4")
HEAD, ROUTER = "lm_head.weight", ".router"


Parts = tuple[Tensor, Tensor, Tensor | None]
"""Whole numbers `[N, V]` of N blocks, scales `[N, groups, kinds]`, and what the scales are scaled by."""


def _eight_bits(blocks_NS: Tensor) -> Parts:
    return blocks_NS[:, 2:].view(torch.int8), _scale(blocks_NS), None


def _four_bits(blocks_NS: Tensor) -> Parts:
    both = blocks_NS[:, 2:]
    return torch.cat((both & 15, both >> 4), dim=1).view(torch.int8) - 8, _scale(blocks_NS), None


def _scale(blocks_NS: Tensor) -> Tensor:
    return blocks_NS[:, :2].contiguous().view(torch.float16).unsqueeze(1)


# How a file's blocks become whole numbers and scales, where it is packed in groups of 32 as we are.
STORED: dict[str, tuple[QuantisedFormat, Callable[[Tensor], Parts]]] = {
    "Q8_0": ("int8", _eight_bits),
    "Q4_0": ("int4", _four_bits),
    "Q4_K": ("q4_k", q4_k_parts),
    "Q6_K": ("q6_k", q6_k_parts),
}


def plan_as_stored(body: Body, encodings: Mapping[str, AbstractSet[Encoding]]) -> dict[str, QuantisedFormat]:
    """The formats of weights that a file has packed, by name: its own where we have it, else 8 bits, which
    lose nothing that can be noticed of fewer. `encodings` are those of each parameter's parts."""
    formats: dict[str, QuantisedFormat] = {}
    for name in plan(body, "int8"):
        stored = encodings.get(name, frozenset())
        if any(encoding.values > 1 for encoding in stored):
            own = {STORED[e.name][0] if e.name in STORED else "int8" for e in stored}
            formats[name] = own.pop() if len(own) == 1 else "int8"
    return formats


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


class PackedRows:
    """A quantised weight that is filled some rows at a time, in any order."""

    def __init__(self, kind: QuantisedFormat, shape: torch.Size, zeros: Zeros) -> None:
        self.weight = empty(kind, shape[0], shape[1], zeros)

    def write(self, start: int, rows_OI: Tensor) -> None:
        """Round rows and put them at `start` and after."""
        rows = torch.arange(start, start + len(rows_OI))
        self._put(rows, *round_rows(rows_OI.float(), self.weight.format))

    def takes(self, encoding: Encoding) -> bool:
        """Whether a file's blocks can be taken as they are."""
        return encoding.name in STORED and STORED[encoding.name][0] == self.weight.format

    def write_stored(self, rows: Tensor, blocks_NS: Tensor, encoding: Encoding) -> Tensor:
        """Put a file's blocks at the given rows; those of their scales that could be no numbers."""
        q, scales, supers = STORED[encoding.name][1](blocks_NS)
        count, layout = len(rows), LAYOUTS[self.weight.format]
        above = None if supers is None else supers.reshape(count, -1, layout.supers)
        self._put(rows, q.reshape(count, -1), scales.reshape(count, -1, layout.scales), above)
        return scales if supers is None else supers

    def _put(self, rows: Tensor, *parts: Tensor | None) -> None:
        device = self.weight.device
        q_OI, scales_ONK, supers_OMK = [None if p is None else p.to(device) for p in (*parts, None)][:3]
        assert q_OI is not None and scales_ONK is not None
        interleave(self.weight, rows.to(device), q_OI, scales_ONK, supers_OMK)


def swap(body: Body, packed: Mapping[str, QuantisedWeight]) -> None:
    """Put layers over packed weights in the place of those over parameters of these names, and of those that
    share them."""
    parameters = dict(body.named_parameters(remove_duplicate=False))
    for name, weight in packed.items():
        for path in [_owner(other) for other, p in parameters.items() if p is parameters[name]]:
            old, parent = body.get_submodule(path), body.get_submodule(_owner(path))
            setattr(parent, path.rpartition(".")[2], _layer(old, weight))


def stored_weights(body: Body) -> list[Tensor | QuantisedWeight]:
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
