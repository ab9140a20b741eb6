"""The block pool: exact counts, blank blocks before cached ones, the longest unused cached one first."""

from hypothesis import given
from hypothesis import strategies as st

from pellucid.cache.block_pool import BlockPool


def test_a_taken_block_is_held_once_and_a_released_one_is_free():
    pool = BlockPool(2)
    a, b = pool.take(), pool.take()
    assert {a, b} == {0, 1} and pool.num_free == 0 and pool.references(a) == 1
    pool.share(a)
    pool.release(a)
    assert pool.num_free == 0
    pool.release(a)
    assert pool.num_free == 1 and pool.take() == a


def test_cached_blocks_are_evicted_only_when_no_blank_is_left_and_the_oldest_goes_first():
    pool, lost = BlockPool(3), []
    blocks = [pool.take() for _ in range(3)]
    for block in blocks[:2]:
        pool.keep(block, lambda block=block: lost.append(block))
    for block in blocks:
        pool.release(block)
    assert pool.take() == blocks[2] and not lost
    assert pool.take() == blocks[0] and lost == [blocks[0]]


def test_sharing_an_idle_block_saves_it_from_eviction():
    pool, lost = BlockPool(1), []
    block = pool.take()
    pool.keep(block, lambda: lost.append(block))
    pool.release(block)
    assert pool.num_idle == 1
    pool.share(block)
    assert pool.num_free == 0 and pool.num_idle == 0 and not lost


@given(
    st.lists(
        st.tuples(st.sampled_from(["take", "share", "release", "keep"]), st.integers(0, 99)), max_size=80
    )
)
def test_no_sequence_of_operations_breaks_an_invariant(operations):
    pool, held, kept = BlockPool(5), [], set()
    for name, pick in operations:
        if name == "take" and pool.num_free:
            held.append(pool.take())
            assert held[-1] not in kept
        elif name == "share" and held:
            held.append(held[pick % len(held)])
            pool.share(held[-1])
        elif name == "release" and held:
            pool.release(held.pop(pick % len(held)))
        elif name == "keep" and held and not pool.is_kept(held[pick % len(held)]):
            block = held[pick % len(held)]
            kept.add(block)
            pool.keep(block, lambda block=block: kept.remove(block))
        pool.check()
        assert [pool.references(b) for b in range(5)] == [held.count(b) for b in range(5)]
        assert pool.num_in_use == len(set(held))
