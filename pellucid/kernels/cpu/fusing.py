"""Joins neighbouring operations of a tape into the larger ones that the library has.

Each rule asks that what it saves is read by nobody else. None changes a result by a bit: the joined operation
does the same arithmetic in the same order.
"""

from collections.abc import Callable, Sequence

from pellucid.kernels.cpu import operations as ops
from pellucid.kernels.cpu.operations import FORMATS, Kind
from pellucid.kernels.cpu.recording import Buffer, Places, Recorded

MOST_READERS_OF_A_NORM = 2
"""A norm moves into the products that read it; beyond so many, computing it anew in each would not pay."""


class Rewriter:
    """A list of operations on its way to a shorter one."""

    def __init__(self, operations: Sequence[Recorded], places: Places) -> None:
        self.operations = list(operations)
        self.places = places

    def readers(self, buffer: Buffer | None) -> list[Recorded]:
        return [o for o in self.operations if buffer in self.places.read(o)]

    def only_reader(self, operation: Recorded) -> Recorded | None:
        """The one operation that reads what this one writes."""
        readers = self.readers(self.places.written(operation))
        return readers[0] if len(readers) == 1 else None

    def replace(self, old: Sequence[Recorded], new: Recorded) -> None:
        """Put a new operation where the last of the old ones stood."""
        self.operations[self.operations.index(old[-1])] = new
        for operation in old[:-1]:
            self.operations.remove(operation)


def fuse(operations: Sequence[Recorded], places: Places) -> list[Recorded]:
    """The same work in fewer operations."""
    rewriter = Rewriter(operations, places)
    for kind, rule in RULES.items():
        for operation in [o for o in rewriter.operations if o.kind is kind]:
            if operation in rewriter.operations:
                rule(rewriter, operation)
    return rewriter.operations


def joined(kind: Kind, arguments: object, parts: Sequence[Recorded]) -> Recorded:
    """One operation in the place of several."""
    held = tuple(tensor for part in parts for tensor in part.held)
    return Recorded(kind, arguments, parts[-1].rows_of, held)  # type: ignore[arg-type]  # a ctypes struct


def finish_product(rewriter: Rewriter, product: Recorded) -> None:
    """An activation, a gate or a residual sum that is all that becomes of a product."""
    follower = rewriter.only_reader(product)
    finish = FINISHES.get(follower.kind) if follower else None
    if follower is None or finish is None:
        return
    arguments = ops.Product.from_buffer_copy(product.arguments)
    if not finish(arguments, follower.arguments):
        return
    both = joined(Kind.PRODUCT, arguments, (product, follower))
    rewriter.replace((product, follower), both)
    finish_product(rewriter, both)


def _activated(product: ops.Product, activation: ops.Activate) -> bool:
    if product.activation or product.gated or product.residual.data or not _whole(product, activation):
        return False
    product.activation, product.out = activation.activation, activation.out
    return True


def _gated(product: ops.Product, gate: ops.Gate) -> bool:
    halves = 2 * gate.size == product.weight.outputs and product.out.data == gate.x.data
    packed = product.weight.format >= FORMATS["int8"]
    if product.activation or product.residual.data or not halves or (packed and gate.size % 16):
        return False
    product.activation, product.gated, product.out = gate.activation, 1, gate.out
    return True


def _added(product: ops.Product, add: ops.Add) -> bool:
    size = product.weight.outputs // (2 if product.gated else 1)
    if product.residual.data or add.size != size or add.a.data == add.b.data:
        return False
    if product.out.data == add.b.data:
        product.residual = add.a
    elif product.out.data == add.a.data:
        product.residual = add.b
    else:
        return False
    product.out = add.out
    return True


def _whole(product: ops.Product, activation: ops.Activate) -> bool:
    return bool(activation.size == product.weight.outputs and product.out.data == activation.x.data)


FINISHES: dict[Kind, Callable[..., bool]] = {
    Kind.ACTIVATION: _activated,
    Kind.GATED: _gated,
    Kind.ADD: _added,
}


def norm_into_products(rewriter: Rewriter, norm: Recorded) -> None:
    """A norm of whole rows that only products read."""
    readers = rewriter.readers(rewriter.places.written(norm))
    rows = norm.arguments
    assert isinstance(rows, ops.NormRows)
    fits = all(
        reader.kind is Kind.PRODUCT
        and reader.arguments.x.data == rows.out.data
        and reader.arguments.weight.inputs == rows.x.size
        and rewriter.places.read(reader) >= {rewriter.places.written(norm)}
        and (reader.arguments.residual.data or 0) != rows.out.data
        for reader in readers
    )
    if rows.x.count != 1 or not fits or not 1 <= len(readers) <= MOST_READERS_OF_A_NORM:
        return
    for reader in readers:
        arguments = ops.Product.from_buffer_copy(reader.arguments)
        arguments.norm = rows.norm
        arguments.x = ops.Rows(rows.x.data, rows.x.stride)
        rewriter.replace((reader,), joined(Kind.PRODUCT, arguments, (norm, reader)))
    rewriter.operations.remove(norm)


def rotary_into_store(rewriter: Rewriter, queries: Recorded) -> None:
    """The rotations of queries and keys, next to each other, and the keys' way into their slots."""
    at = rewriter.operations.index(queries)
    keys = rewriter.operations[at + 1] if at + 1 < len(rewriter.operations) else queries
    store = rewriter.only_reader(keys)
    if keys.kind is not Kind.ROTARY or store is None or store.kind is not Kind.STORE:
        return
    q, k, s = queries.arguments, keys.arguments, store.arguments
    assert isinstance(q, ops.Rotary) and isinstance(k, ops.Rotary) and isinstance(s, ops.Store)
    if k.out.data != s.k.data or k.out.count != s.k.count:
        return
    parts = (queries, keys, store)
    both = joined(Kind.ROTARY_STORE, ops.RotaryStore(q, k, s), parts)
    both.arguments.k.out = ops.Heads()  # nobody reads the rotated keys but the cache
    both.arguments.store.k.data = None
    rewriter.replace(parts, both)


RULES: dict[Kind, Callable[[Rewriter, Recorded], None]] = {
    Kind.PRODUCT: finish_product,
    Kind.NORM: norm_into_products,
    Kind.ROTARY: rotary_into_store,
}
"""In the order in which they are tried."""
