"""A step as arrays: whose tokens, at which positions, into which slots, and which rows meet the vocabulary.

Letters: T tokens of the step, N samples, B blocks of the longest, R output rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pellucid.engine.memory import Memory, Source
from pellucid.engine.request import Sample
from pellucid.engine.scheduler import Share

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]


Copies = Sequence[tuple[int, int]]
"""Blocks to copy before the forward, (from, to)."""


class Piece(NamedTuple):
    """One sample's part of a forward: tokens that lie one after the other in its sequence."""

    sample: Sample
    token_ids: list[int]
    start: int
    """The position of the first."""
    num_outputs: int
    """How many of them, counted from the last, meet the vocabulary."""


@dataclass(slots=True)
class Batch:
    """All that a forward pass reads beside weights and cache."""

    pieces: list[Piece]
    """Whose tokens they are: piece i owns rows `query_starts_N1[i]:query_starts_N1[i + 1]`."""
    ids_T: Int64
    positions_T: Int64
    lengths_T: Int64
    prompt_lengths_T: Int64
    slots_T: Int64
    query_starts_N1: Int32
    context_lens_N: Int32
    block_tables_NB: Int32
    output_rows_R: Int64
    output_starts: list[int]
    """Piece i owns the logits `output_starts[i]:output_starts[i + 1]`, which are of its last rows."""
    max_query_len: int
    max_context_len: int
    copies: Copies
    memories: "Memories | None" = None
    """What the pieces' encoder read, where there is an encoder."""


@dataclass(slots=True)
class Memories:
    """What the encoder has read for each piece, and what it is to read first."""

    lens_N: Int32
    """How many rows the encoder made for each piece."""
    tables_NM: Int32
    """The blocks that keep them."""
    sources: list[tuple[Source, Int64]]
    """What the encoder reads before the forward, and the slots of its rows."""


def piece_of(share: Share) -> Piece:
    """A share as it is computed: its tokens, then its drafts."""
    tokens = share.sample.token_ids[share.start : share.end] + share.drafts
    return Piece(share.sample, tokens, share.start, share.start + len(tokens) - share.first_output)


def build_batch(
    pieces: list[Piece], block_size: int, copies: Copies = (), memories: Sequence[Memory] = ()
) -> Batch:
    """Lay the pieces end to end. `memories` are those to fill first."""
    ids: list[int] = []
    positions: list[int] = []
    lengths: list[int] = []
    prompt_lengths: list[int] = []
    slots: list[int] = []
    query_starts, output_starts = [0], [0]
    output_rows: list[int] = []
    ends: list[int] = []
    for sample, token_ids, start, num_outputs in pieces:
        count = len(token_ids)
        end, length, blocks = start + count, len(sample.token_ids), sample.table.blocks
        ids += token_ids
        positions += range(start, end)
        # a draft's row is what it would be if the drafts before it were its sequence's tokens already
        lengths += [max(length, position + 1) for position in range(start, end)]
        prompt_lengths += [sample.num_prompt] * count
        slots += [blocks[p // block_size] * block_size + p % block_size for p in range(start, end)]
        query_starts.append(len(ids))
        output_rows += range(len(ids) - num_outputs, len(ids))
        output_starts.append(len(output_rows))
        ends.append(end)
    return Batch(
        pieces=pieces,
        ids_T=np.array(ids, np.int64),
        positions_T=np.array(positions, np.int64),
        lengths_T=np.array(lengths, np.int64),
        prompt_lengths_T=np.array(prompt_lengths, np.int64),
        slots_T=np.array(slots, np.int64),
        query_starts_N1=np.array(query_starts, np.int32),
        context_lens_N=np.array(ends, np.int32),
        block_tables_NB=_tables([piece.sample.table.blocks for piece in pieces]),
        output_rows_R=np.array(output_rows, np.int64),
        output_starts=output_starts,
        max_query_len=max(len(piece.token_ids) for piece in pieces),
        max_context_len=max(ends),
        copies=copies,
        memories=_memories(pieces, block_size, memories),
    )


def _memories(pieces: list[Piece], block_size: int, new: Sequence[Memory]) -> Memories | None:
    held = [piece.sample.memory for piece in pieces if piece.sample.memory is not None]
    if not held:
        return None
    return Memories(
        lens_N=np.array([memory.source.num_rows for memory in held], dtype=np.int32),
        tables_NM=_tables([memory.table.blocks for memory in held]),
        sources=[(memory.source, _slots(memory, block_size)) for memory in new],
    )


def _tables(tables: list[list[int]]) -> Int32:
    """Tables side by side, with -1 beyond the end of each."""
    tables_NB = np.full((len(tables), max(map(len, tables), default=0)), -1, dtype=np.int32)
    for row_B, blocks in zip(tables_NB, tables, strict=True):
        row_B[: len(blocks)] = blocks
    return tables_NB


def _slots(memory: Memory, block_size: int) -> Int64:
    """The slot of each row of a memory."""
    row_S = np.arange(memory.source.num_rows)
    blocks_S = np.array(memory.table.blocks, dtype=np.int64)[row_S // block_size]
    return blocks_S * block_size + row_S % block_size
