"""The prefix cache: whole blocks, exact comparison, a world of its own for each key."""

import pytest

from pellucid.cache import prefix_cache
from pellucid.cache.block_pool import BlockPool
from pellucid.cache.block_table import BlockTable
from pellucid.cache.prefix_cache import PrefixCache


def make(num_blocks=8, block_size=2):
    pool = BlockPool(num_blocks)
    return pool, PrefixCache(pool, block_size)


def computed(pool, prefix, token_ids, key=None):
    """A table that went through a whole prefill of these tokens; with how many were hits."""
    table = BlockTable(pool, prefix)
    hits = table.adopt(key, token_ids)
    table.reserve(hits, len(token_ids))
    table.commit(token_ids, len(token_ids))
    return table, hits


def test_a_known_beginning_is_found_in_whole_blocks():
    pool, prefix = make()
    first, hits = computed(pool, prefix, [1, 2, 3, 4, 5])
    assert hits == 0
    second, hits = computed(pool, prefix, [1, 2, 3, 4, 9, 9])
    assert hits == 4 and second.blocks[:2] == first.blocks[:2] and second.blocks[2] != first.blocks[2]


def test_a_block_is_not_found_after_another_beginning():
    pool, prefix = make()
    computed(pool, prefix, [1, 2, 3, 4])
    assert computed(pool, prefix, [9, 9, 3, 4])[1] == 0


@pytest.mark.parametrize("other", [("salt", 2), "adapter", None])
def test_another_key_is_another_world(other):
    pool, prefix = make()
    computed(pool, prefix, [1, 2], key=("salt", 1))
    assert computed(pool, prefix, [1, 2], key=other)[1] == 0
    assert computed(pool, prefix, [1, 2], key=("salt", 1))[1] == 2


def test_equal_hashes_do_not_make_equal_prefixes(monkeypatch):
    class Colliding(tuple):
        def __hash__(self):
            return 0

    monkeypatch.setattr(prefix_cache, "tuple", Colliding, raising=False)
    pool, prefix = make()
    computed(pool, prefix, [1, 2, 3, 4])
    assert hash(Colliding([1, 2])) == hash(Colliding([7, 8]))
    assert computed(pool, prefix, [7, 8, 3, 4])[1] == 0
    assert computed(pool, prefix, [1, 2, 3, 4])[1] == 4


def test_what_nobody_holds_stays_until_its_block_is_needed_and_the_end_goes_before_the_beginning():
    pool, prefix = make(num_blocks=3)
    table, _ = computed(pool, prefix, [1, 2, 3, 4, 5, 6])
    table.release()
    assert pool.num_in_use == 0 and len(prefix.match(None, [1, 2, 3, 4, 5, 6])) == 3
    pool.take()
    assert len(prefix.match(None, [1, 2, 3, 4, 5, 6])) == 2
    pool.take()
    pool.take()
    assert len(prefix) == 0


def test_two_that_computed_the_same_block_at_once_end_up_sharing_it():
    pool, prefix = make()
    a, b = BlockTable(pool, prefix), BlockTable(pool, prefix)
    for table in (a, b):
        assert table.adopt(None, [1, 2]) == 0
        table.reserve(0, 2)
    assert pool.num_in_use == 2
    a.commit([1, 2], 2)
    b.commit([1, 2], 2)
    assert a.blocks == b.blocks and pool.num_in_use == 1
