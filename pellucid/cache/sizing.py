"""How many blocks the cache gets, from the memory there is."""

from dataclasses import dataclass

from pellucid.device import human_bytes
from pellucid.errors import OutOfMemoryError

SHARE = {"cpu": 0.5, "mps": 0.5, "cuda": 0.85}
"""How much of the memory that is free once the weights are loaded the cache may take: a CPU's is everybody's,
and on a GPU a step's activations need the rest."""


@dataclass(frozen=True, kw_only=True)
class CacheSize:
    """A cache that fits."""

    num_blocks: int
    block_size: int
    bytes_per_block: int
    max_model_len: int
    longest_source: int
    """How many rows an encoder makes at most for each request; 0 where there is none."""

    @property
    def num_tokens(self) -> int:
        return self.num_blocks * self.block_size

    def describe(self) -> str:
        """One line for the start: how many tokens fit and what they take."""
        fits = self.num_tokens // (self.max_model_len + self.longest_source)
        source = f" and {self.longest_source:,} rows of its source" if self.longest_source else ""
        return (
            f"KV cache: {self.num_tokens:,} tokens in {self.num_blocks:,} blocks of {self.block_size} "
            f"({human_bytes(self.num_blocks * self.bytes_per_block)}), enough for {fits:,} "
            f"request{'' if fits == 1 else 's'} of {self.max_model_len:,} tokens{source}"
        )


def size_cache(
    *,
    bytes_per_block: int,
    block_size: int,
    max_num_seqs: int,
    longest: int,
    max_model_len: int | None,
    available: int,
    device: str,
    num_blocks: int | None = None,
    longest_source: int = 0,
) -> CacheSize:
    """As many blocks as `max_num_seqs` samples can use, or as a share of the `available` bytes holds.

    `longest` is the model's own limit in tokens. Where `max_model_len` is not given it becomes what fits;
    where it is, and does not fit, raises OutOfMemoryError with the largest that does. `num_blocks` overrides
    the share, and may be as many as all that is free. `longest_source` is how many rows an encoder makes at
    most of what each sample reads.
    """
    wanted = min(max_model_len or longest, longest)
    per_request = -(-wanted // block_size)
    share = int(available * SHARE[device])
    if num_blocks is None:
        with_source = per_request + -(-longest_source // block_size)
        blocks = min(max_num_seqs * with_source, share // bytes_per_block)
        there = f"{human_bytes(share)} of the {human_bytes(available)} free on {device} may be used"
    else:
        if num_blocks * bytes_per_block > available:
            raise OutOfMemoryError(
                f"num_blocks={num_blocks} blocks of {block_size} tokens need "
                f"{human_bytes(num_blocks * bytes_per_block)}, and {human_bytes(available)} are free on "
                f"{device}: {available // bytes_per_block} would fit"
            )
        blocks = num_blocks
        there = f"num_blocks={num_blocks} blocks of {block_size} tokens were asked for"
    holds = blocks * block_size
    if holds < (wanted if max_model_len is not None else 1):
        advice = f"max_model_len={holds} is the longest that fits" if holds else "free some memory"
        raise OutOfMemoryError(
            f"the KV cache of one request of {wanted:,} tokens needs "
            f"{human_bytes(per_request * bytes_per_block)}, and {there}: {advice}"
        )
    return CacheSize(
        num_blocks=blocks,
        block_size=block_size,
        bytes_per_block=bytes_per_block,
        max_model_len=min(wanted, holds),
        longest_source=longest_source,
    )
