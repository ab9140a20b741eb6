"""The structs of src/operations.h, field by field, for ctypes.

Pointers are addresses that torch tensors own; a struct does not keep them alive, whoever plays it must.
"""

import ctypes
from collections.abc import Iterator
from ctypes import c_double, c_int64, c_void_p
from enum import IntEnum

import torch


class Kind(IntEnum):
    """The operations, numbered as in C++."""

    PRODUCT = 0
    NORM = 1
    ROTARY = 2
    STORE = 3
    ROTARY_STORE = 4
    ATTENTION = 5
    EMBEDDING = 6
    ADD = 7
    SCALE = 8
    ACTIVATION = 9
    GATED = 10
    GATHER = 11
    TOP = 12
    WEIGH = 13
    WEIGHT_SUMS = 14


FORMATS = {"float32": 0, "bfloat16": 1, "float16": 2, "int8": 3, "int4": 4, "q4_k": 5, "q6_k": 6}
NORMS = {"none": 0, "rms": 1, "layer": 2}
ACTIVATIONS = {"none": 0, "relu": 1, "gelu": 2, "gelu_tanh": 3, "quick_gelu": 4, "silu": 5, "tanh": 6}
CACHE_TYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2, torch.int8: 3}
TOKENS, OUTPUTS = 0, 1
"""Whose rows an operation counts: the batch's tokens, or the rows that meet the vocabulary."""


class Step(ctypes.Structure):
    """How many rows there are now."""

    _fields_ = (("rows", c_int64 * 2), ("sequences", c_int64))


class Operation(ctypes.Structure):
    """One entry of a tape: what, over whose rows, with which arguments."""

    _fields_ = (("kind", c_int64), ("rows_of", c_int64), ("arguments", c_void_p))


class Rows(ctypes.Structure):
    """A float32 matrix, its rows `stride` apart."""

    _fields_ = (("data", c_void_p), ("stride", c_int64))


class Heads(ctypes.Structure):
    """A float32 matrix whose rows are cut into heads."""

    _fields_ = (
        ("data", c_void_p),
        ("stride", c_int64),
        ("head_stride", c_int64),
        ("count", c_int64),
        ("size", c_int64),
    )


class Weight(ctypes.Structure):
    """A weight matrix in one of FORMATS."""

    _fields_ = (
        ("format", c_int64),
        ("outputs", c_int64),
        ("inputs", c_int64),
        ("stride", c_int64),
        ("values", c_void_p),
        ("scales", c_void_p),
        ("supers", c_void_p),
    )


class Norm(ctypes.Structure):
    """Which norm, with float32 weight and bias."""

    _fields_ = (("kind", c_int64), ("weight", c_void_p), ("bias", c_void_p), ("epsilon", c_double))


class Product(ctypes.Structure):
    """`residual + act(norm(x) Wᵀ + bias)`, or gated: `act(gate) * up`."""

    _fields_ = (
        ("x", Rows),
        ("norm", Norm),
        ("weight", Weight),
        ("bias", c_void_p),
        ("activation", c_int64),
        ("gated", c_int64),
        ("panels", c_int64),
        ("residual", Rows),
        ("out", Rows),
    )


class NormRows(ctypes.Structure):
    """A norm over every head of every row."""

    _fields_ = (("x", Heads), ("norm", Norm), ("out", Heads))


class Rotary(ctypes.Structure):
    """A rotation of every head by its row's angles."""

    _fields_ = (
        ("x", Heads),
        ("out", Heads),
        ("cos", c_void_p),
        ("sin", c_void_p),
        ("angle_stride", c_int64),
        ("rotated", c_int64),
    )


class Cache(ctypes.Structure):
    """One layer's keys and values in blocks."""

    _fields_ = (
        ("keys", c_void_p),
        ("values", c_void_p),
        ("scales", c_void_p),
        ("type", c_int64),
        ("block_size", c_int64),
        ("kv_heads", c_int64),
        ("head_size", c_int64),
    )


class Store(ctypes.Structure):
    """Keys and values into their slots."""

    _fields_ = (("k", Heads), ("v", Heads), ("cache", Cache), ("slots", c_void_p))


class RotaryStore(ctypes.Structure):
    """Queries rotated, keys rotated straight into their slots, values stored."""

    _fields_ = (("q", Rotary), ("k", Rotary), ("store", Store))


class Attention(ctypes.Structure):
    """Attention over blocks."""

    _fields_ = (
        ("q", Heads),
        ("out", Heads),
        ("cache", Cache),
        ("scale", c_double),
        ("soft_cap", c_double),
        ("causal", c_int64),
        ("window", c_int64),
        ("query_starts", c_void_p),
        ("context_lengths", c_void_p),
        ("block_tables", c_void_p),
        ("table_stride", c_int64),
        ("bias", c_void_p),
        ("bias_entries", c_int64),
    )


class Embedding(ctypes.Structure):
    """Rows of a table by id."""

    _fields_ = (("ids", c_void_p), ("weight", Weight), ("out", Rows))


class Add(ctypes.Structure):
    """`a + b`."""

    _fields_ = (("a", Rows), ("b", Rows), ("out", Rows), ("size", c_int64))


class Scale(ctypes.Structure):
    """`x * factor`."""

    _fields_ = (("x", Rows), ("out", Rows), ("size", c_int64), ("factor", c_double))


class Activate(ctypes.Structure):
    """`act(x)`."""

    _fields_ = (("x", Rows), ("out", Rows), ("size", c_int64), ("activation", c_int64))


class Gate(ctypes.Structure):
    """`act(first half) * second half`."""

    _fields_ = (("x", Rows), ("out", Rows), ("size", c_int64), ("activation", c_int64))


class Gather(ctypes.Structure):
    """The rows that an index names."""

    _fields_ = (("x", Rows), ("out", Rows), ("size", c_int64), ("index", c_void_p))


class Top(ctypes.Structure):
    """The largest entries of each row and their ids."""

    _fields_ = (("x", Rows), ("size", c_int64), ("count", c_int64), ("values", c_void_p), ("ids", c_void_p))


class Weigh(ctypes.Structure):
    """`exp((x - best) / temperature)`."""

    _fields_ = (("x", Rows), ("out", Rows), ("size", c_int64), ("best", c_void_p), ("temperature", c_void_p))


class WeightSums(ctypes.Structure):
    """Of those weights the sums of runs of 128."""

    _fields_ = (
        ("x", Rows),
        ("size", c_int64),
        ("best", c_void_p),
        ("temperature", c_void_p),
        ("sums", c_void_p),
    )


STRUCTS: tuple[type[ctypes.Structure], ...] = (
    Product, NormRows, Rotary, Store, RotaryStore, Attention, Embedding, Add, Scale, Activate, Gate, Gather,
    Top, Weigh, WeightSums, Step, Operation,
)  # fmt: skip
"""In the order in which `pellucid_size_of` numbers them."""


def pointers(struct: ctypes.Structure, path: str = "") -> Iterator[tuple[str, ctypes.Structure, str, int]]:
    """Every pointer of a struct that is set: its path (`x.data`), where it stands, its address."""
    for name, kind in struct._fields_:  # type: ignore[misc]  # ours have no bit fields
        value = getattr(struct, name)
        if issubclass(kind, ctypes.Structure):
            yield from pointers(value, f"{path}{name}.")
        elif kind is c_void_p and value:
            yield path + name, struct, name, value
