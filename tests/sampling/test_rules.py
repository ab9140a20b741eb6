"""Published rules forbid and force what they say, and nothing else."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.sampling.rules import LastIs, Never, NoRepeatedRun, NotBefore, NotFirst, obey

LOGITS = torch.arange(6, dtype=torch.float32)


def forbidden(rule, output, prompt=()) -> set[int]:
    after = rule(list(prompt), list(output), LOGITS)
    kept = after > -math.inf
    assert torch.equal(after[kept], LOGITS[kept])
    return set((~kept).nonzero().flatten().tolist())


def test_never_and_not_first() -> None:
    assert forbidden(Never((1, 4)), [2]) == {1, 4}
    assert forbidden(NotFirst((1, 4)), []) == {1, 4}
    assert forbidden(NotFirst((1, 4)), [2]) == set()


def test_not_before() -> None:
    assert forbidden(NotBefore((5,), 2), [0]) == {5}
    assert forbidden(NotBefore((5,), 2), [0, 0]) == set()


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4))
def test_no_run_is_repeated(ids, size) -> None:
    runs = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
    expected = {t for t in range(6) if tuple([*ids, t][-size:]) in runs and len(ids) + 1 >= size}
    assert forbidden(NoRepeatedRun(size), ids[2:], ids[:2]) == expected


def test_the_last_token_is_forced() -> None:
    assert forbidden(LastIs(3, 4), [0, 0]) == set()
    assert LastIs(3, 4)([], [0, 0, 0], LOGITS).tolist() == [-math.inf] * 3 + [0.0] + [-math.inf] * 2


def test_rules_leave_the_given_logits_alone() -> None:
    before = LOGITS.clone()
    obey((Never((1,)), LastIs(2, 1)), [], [], LOGITS)
    assert torch.equal(LOGITS, before)
