"""The scheduler: one token budget, fair to decodes and prefills, preemption that loses nothing, blocks exact."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from scheduler_harness import Harness, whole_output


def shares_of(plan):
    return {share.sample.request.id: (share.start, share.end) for share in plan.shares}


def test_a_long_prompt_is_computed_in_chunks_of_the_budget():
    h = Harness(max_num_batched_tokens=8)
    h.add([1] * 19, 2)
    assert [shares_of(h.step()) for _ in range(4)] == [
        {"1": (0, 8)},
        {"1": (8, 16)},
        {"1": (16, 19)},
        {"1": (19, 20)},
    ]


def test_decodes_never_wait_for_a_prefill_and_the_prefill_gets_the_rest():
    h = Harness(max_num_batched_tokens=8)
    h.add([1], 9)
    h.add([2], 9)
    h.step()
    h.add([3] * 30, 1)
    for step in range(4):
        shares = shares_of(h.step())
        assert shares["1"][1] - shares["1"][0] == 1 and shares["2"][1] - shares["2"][0] == 1
        assert shares["3"] == (6 * step, 6 * step + 6)


def test_a_prefill_of_better_rank_leaves_the_decodes_behind_it_their_tokens():
    h = Harness(max_num_batched_tokens=8, num_blocks=40)
    h.add([1], 20, priority=5)
    h.step()
    h.add([2] * 30, 1, priority=-5)
    h.step()
    assert shares_of(h.step()) == {"2": (7, 14), "1": (2, 3)}


def test_first_come_first_served_and_priority_before_that():
    h = Harness(max_num_seqs=1, max_num_batched_tokens=8)
    for priority in (0, 0, -1, 1):
        h.add([1], 1, priority=priority)
    h.run()
    assert [i for i, _ in h.finished] == ["3", "1", "2", "4"]


def test_what_matters_less_waits_longer_but_not_for_ever():
    h = Harness(max_num_seqs=1, max_num_batched_tokens=8)
    late = h.add([1], 1, priority=1, patience=3)
    overtakers = 0
    while late in h.live:
        h.add([1], 1)
        h.step()
        overtakers += 1
    assert overtakers <= 5


def test_one_that_does_not_fit_holds_back_those_behind_it():
    h = Harness(num_blocks=4, max_num_batched_tokens=16)
    h.add([1] * 8, 4)
    h.step()
    h.add([2] * 12, 1)
    h.add([3], 1)
    assert set(shares_of(h.step())) == {"1"}


def test_the_worst_rank_is_preempted_and_loses_nothing():
    h = Harness(num_blocks=4, max_num_batched_tokens=16, enable_prefix_caching=False)
    first, second = h.add([1] * 7, 8), h.add([2] * 7, 8)
    h.run()
    assert second.num_preemptions > 0 and first.num_preemptions == 0
    assert h.finished["2", 0].token_ids == whole_output(second.request, 0, 15)


def test_a_preempted_sample_finds_its_own_blocks_again():
    h = Harness(num_blocks=5, max_num_batched_tokens=16)
    h.add([1] * 7, 8)
    second = h.add([2] * 7, 8)
    h.run()
    readmitted = [s for plan in h.plans for s in plan.shares if s.sample is second and s.hits]
    assert second.num_preemptions and readmitted


def test_a_shared_beginning_is_taken_from_the_cache_but_the_last_token_is_always_computed():
    h = Harness()
    h.add([1] * 8, 1)
    h.run()
    again = h.add([1] * 8, 1)
    (share,) = h.step().shares
    assert (share.start, share.end, share.hits) == (4, 8, 4) and again.cached_tokens == 4


@pytest.mark.parametrize("change", [{"cache_key": "other"}, {"whole_prompt": True}], ids=str)
def test_no_hits_for_another_key_or_for_one_who_wants_the_whole_prompt(change):
    h = Harness()
    h.add([1] * 8, 1)
    h.run()
    h.add([1] * 8, 1, **change)
    assert h.step().shares[0].hits == 0


def test_samples_of_one_prompt_share_its_blocks():
    h = Harness(num_blocks=10, max_num_batched_tokens=16)
    h.add([1] * 10, 2, n=4)
    h.step()
    assert h.scheduler.pool.num_in_use == 3
    plan = h.step()
    assert len(plan.copies) == 3 and h.scheduler.pool.num_in_use == 0
    assert len(h.finished) == 4


def test_blocks_before_the_window_are_given_back():
    h = Harness(window=6, num_blocks=6, max_num_batched_tokens=7, max_num_seqs=2)
    h.add([1] * 30, 20)
    most = 0
    while h.live:
        h.step()
        most = max(most, h.scheduler.pool.num_in_use)
    assert most <= h.scheduler.blocks_for(50) < 13


def test_a_sample_whose_regime_changes_is_computed_anew_once():
    h = Harness(regime=lambda prompt, length: length > 12, num_speculative_tokens=2)
    sample = h.add([1] * 10, 8)
    h.run()
    assert sample.num_preemptions == 1


def test_drafts_are_verified_within_budget_and_cut_off_at_the_end():
    h = Harness(num_speculative_tokens=3, max_num_seqs=2, max_num_batched_tokens=6)
    h.add([1, 2], 9)
    steps = h.run()
    assert steps < 9 and any(share.drafts for plan in h.plans for share in plan.shares)


def test_without_a_cache_everything_is_computed_at_every_step():
    h = Harness(forgetful=True, max_num_batched_tokens=60)
    h.add([1] * 3, 4)
    assert [shares_of(h.step())["1"] for _ in range(4)] == [(0, 3), (0, 4), (0, 5), (0, 6)]


class RandomCompany(RuleBasedStateMachine):
    @initialize(
        blocks=st.integers(7, 14), seqs=st.integers(1, 5), extra=st.integers(1, 9), window=st.sampled_from([None, None, 5]),
        drafts=st.sampled_from([0, 2]), caching=st.booleans(), switch=st.sampled_from([99, 9]), forgetful=st.booleans(),
    )  # fmt: skip
    def begin(self, blocks, seqs, extra, window, drafts, caching, switch, forgetful):
        self.h = Harness(
            num_blocks=blocks, max_num_seqs=seqs, max_num_batched_tokens=seqs + extra, window=window,
            num_speculative_tokens=drafts, enable_prefix_caching=caching, forgetful=forgetful and not drafts,
            regime=lambda prompt, length: length > switch,
        )  # fmt: skip

    @rule(prompt=st.lists(st.integers(0, 1), min_size=1, max_size=16), tokens=st.integers(1, 10), priority=st.integers(-1, 1),
          n=st.integers(1, 3), key=st.sampled_from([None, "a"]), whole=st.booleans())  # fmt: skip
    def add(self, prompt, tokens, priority, n, key, whole):
        n = min(n, self.h.config.max_num_seqs)
        self.h.add(prompt, tokens, priority=priority, n=n, cache_key=key, whole_prompt=whole)

    @precondition(lambda self: self.h.live)
    @rule(steps=st.integers(1, 4))
    def step(self, steps):
        for _ in range(steps):
            self.h.step()

    @precondition(lambda self: self.h.live)
    @rule(pick=st.integers(0, 99))
    def abort(self, pick):
        self.h.finish(self.h.live[pick % len(self.h.live)])
        self.h.check()

    @precondition(lambda self: self.h.scheduler.running)
    @rule(pick=st.integers(0, 99))
    def preempt(self, pick):
        running = self.h.scheduler.running
        self.h.scheduler.preempt(running[pick % len(running)])
        self.h.check()

    def teardown(self):
        if hasattr(self, "h"):
            self.h.run()
            self.h.check()


RandomCompany.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestRandomCompany = RandomCompany.TestCase
