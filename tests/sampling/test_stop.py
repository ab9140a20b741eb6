"""StopChecker: the same text is shown however it is cut, nothing is held back without need."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.sampling.params import SamplingParams
from pellucid.sampling.stop import StopChecker, finish_reason

texts = st.text("ab ", max_size=20)
stops = st.lists(st.text("ab ", min_size=1, max_size=5), max_size=3)


def cut(text, places):
    borders = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[a:b] for a, b in pairwise(borders)] + [""]


def run(checker, deltas):
    shown = []
    for delta in deltas:
        shown.append(checker.add(delta))
        if checker.stopped_by is not None:
            return shown
    return [*shown, checker.finish()]


def by_definition(text, stops, include):
    """Cut at the stop string complete first, the longest of those complete at once."""
    for end in range(1, len(text) + 1):
        for stop in sorted(stops, key=len, reverse=True):
            if text[:end].endswith(stop):
                return text[: end if include else end - len(stop)], stop
    return text, None


@settings(max_examples=300, deadline=None)
@given(texts, stops, st.lists(st.integers(0, 20), max_size=8), st.booleans())
def test_however_the_text_is_cut_the_definition_holds(text, stops, places, include) -> None:
    checker = StopChecker(stops, include_stop_str_in_output=include)
    shown = "".join(run(checker, cut(text, places)))
    assert (shown, checker.stopped_by) == by_definition(text, stops, include)


@settings(max_examples=300, deadline=None)
@given(texts, stops, st.lists(st.integers(0, 20), max_size=8))
def test_only_what_may_begin_a_stop_string_is_held_back(text, stops, places) -> None:
    checker = StopChecker(stops)
    seen = shown = ""
    for delta in cut(text, places):
        seen += delta
        shown += checker.add(delta)
        if checker.stopped_by is not None:
            return
        held = seen[len(shown) :]
        assert seen == shown + held
        assert not held or any(stop.startswith(held) and stop != held for stop in stops)


def test_across_token_borders() -> None:
    checker = StopChecker(["\n\nHuman:"])
    assert [checker.add(t) for t in ["Hi", "\n", "\nHu", "ge", "!\n", "\nHuman", ": x"]] == [
        "Hi", "", "", "\n\nHuge", "!", "", "",
    ]  # fmt: skip
    assert checker.stopped_by == "\n\nHuman:"


def test_kept_in_the_output_nothing_is_held_back_and_the_rest_is_cut() -> None:
    checker = StopChecker(["END"], include_stop_str_in_output=True)
    assert [checker.add(t) for t in ["a E", "N", "D b"]] == ["a E", "N", "D"]


def test_before_min_tokens_a_stop_string_does_not_stop_but_may_begin() -> None:
    checker = StopChecker(["ab"], min_tokens=2)
    assert [checker.add(t) for t in ["ab", "xa", "b"]] == ["ab", "x", ""]
    assert checker.stopped_by == "ab"


def test_finish_gives_back_what_was_held() -> None:
    checker = StopChecker(["END"])
    assert (checker.add("the EN"), checker.finish(), checker.finish()) == ("the ", "EN", "")


@pytest.mark.parametrize(
    ("params", "output", "reason"),
    [
        ({}, [5], None),
        ({}, [5, 2], ("stop", None)),
        ({"ignore_eos": True}, [2], None),
        ({"stop_token_ids": [7]}, [7], ("stop", 7)),
        ({"stop_token_ids": [7], "ignore_eos": True}, [7], ("stop", 7)),
        ({"min_tokens": 2}, [2], None),
        ({"min_tokens": 2}, [2, 3], ("stop", None)),
        ({"max_tokens": 2}, [5, 6], ("length", None)),
        ({"max_tokens": 2}, [5, 2], ("stop", None)),
        ({"max_tokens": None}, [5] * 99, None),
    ],
)
def test_what_a_token_or_the_length_ends(params, output, reason) -> None:
    assert finish_reason(SamplingParams(**params), output, eos_token_ids=(2, 3)) == reason
