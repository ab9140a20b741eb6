"""A step as arrays: whose tokens, at which positions, into which slots, and which rows meet the vocabulary.

Letters: T tokens of the step, N samples, B blocks of the longest, R output rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pellucid.engine.scheduler import Plan, Share

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]


@dataclass(slots=True)
class Batch:
    """All that a forward pass reads beside weights and cache."""

    shares: list[Share]
    """Whose tokens they are: share i owns rows `query_starts_N1[i]:query_starts_N1[i + 1]`."""
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
    """Share i owns the logits `output_starts[i]:output_starts[i + 1]`, which are of its last rows."""
    max_query_len: int
    max_context_len: int
    copies: list[tuple[int, int]]


def build_batch(plan: Plan, block_size: int) -> Batch:
    """Lay a plan's shares end to end."""
    shares = plan.shares
    N = len(shares)
    ids: list[int] = []
    starts, ends, lengths, prompts = ([0] * N for _ in range(4))
    query_starts, output_starts = [0], [0]
    output_rows: list[int] = []
    longest = max(len(share.sample.table.blocks) for share in shares)
    block_tables_NB = np.full((N, longest), -1, dtype=np.int32)
    for i, share in enumerate(shares):
        sample = share.sample
        ids += sample.token_ids[share.start : share.end]
        ids += share.drafts
        starts[i], ends[i] = share.start, share.end + len(share.drafts)
        lengths[i], prompts[i] = len(sample.token_ids), sample.num_prompt
        query_starts.append(len(ids))
        count = ends[i] - share.first_output
        output_rows += range(len(ids) - count, len(ids))
        output_starts.append(len(output_rows))
        blocks = sample.table.blocks
        block_tables_NB[i, : len(blocks)] = blocks
    query_starts_N1, starts_N = np.array(query_starts, dtype=np.int32), np.array(starts)
    counts_N = np.diff(query_starts_N1)
    owner_T = np.repeat(np.arange(N), counts_N)
    positions_T = np.arange(len(ids)) - (query_starts_N1[:-1] - starts_N)[owner_T]
    blocks_T = block_tables_NB[owner_T, positions_T // block_size].astype(np.int64)
    return Batch(
        shares=shares,
        ids_T=np.array(ids, dtype=np.int64),
        positions_T=positions_T,
        # a draft's row is what it would be if the drafts before it were its sequence's tokens already
        lengths_T=np.maximum(np.array(lengths)[owner_T], positions_T + 1),
        prompt_lengths_T=np.array(prompts)[owner_T],
        slots_T=blocks_T * block_size + positions_T % block_size,
        query_starts_N1=query_starts_N1,
        context_lens_N=np.array(ends, dtype=np.int32),
        block_tables_NB=block_tables_NB,
        output_rows_R=np.array(output_rows, dtype=np.int64),
        output_starts=output_starts,
        max_query_len=int(counts_N.max()),
        max_context_len=max(ends),
        copies=plan.copies,
    )
