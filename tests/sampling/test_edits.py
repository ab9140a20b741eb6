"""Penalties, bias and masks: against their definitions and against transformers."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MinNewTokensLengthLogitsProcessor,
    NoBadWordsLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
)

from pellucid.errors import RequestError
from pellucid.sampling.bad_words import bad_word_ids
from pellucid.sampling.edits import edit
from pellucid.sampling.params import SamplingParams
from pellucid.sampling.state import SamplingState

V = 30
ids = st.integers(0, V - 1)
edits_ = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.sampled_from([0.5, 1.25, 2.0]),
        "frequency_penalty": st.sampled_from([-1.0, 0.25, 2.0]),
        "presence_penalty": st.sampled_from([-0.5, 0.75]),
        "logit_bias": st.dictionaries(ids, st.sampled_from([-2.0, 0.5, 100.0]), max_size=4),
        "allowed_token_ids": st.lists(ids, min_size=1, max_size=6),
        "stop_token_ids": st.lists(ids, max_size=3),
        "min_tokens": st.integers(0, 6),
    },
)
requests = st.tuples(
    edits_,
    st.lists(ids, max_size=8),
    st.lists(ids, max_size=8),
    st.lists(st.lists(ids, min_size=1, max_size=3), max_size=3),
)


def make(params, prompt, output, bad):
    return SamplingState(SamplingParams(**params), prompt, output, eos_token_ids=(2, 5), bad_word_ids=bad)


def by_definition(logits, params, prompt, output, bad):
    p = SamplingParams(**params)
    out = []
    for token, x in enumerate(logits):
        x += p.logit_bias.get(token, 0.0)
        if token in prompt or token in output:
            x = x / p.repetition_penalty if x > 0 else x * p.repetition_penalty
        x -= p.frequency_penalty * output.count(token)
        x -= p.presence_penalty * (token in output)
        forbidden = (
            (p.allowed_token_ids is not None and token not in p.allowed_token_ids)
            or (len(output) < p.min_tokens and token in (2, 5, *p.stop_token_ids))
            or any(
                word[-1] == token and output[len(output) - len(word) + 1 :] == word[:-1]
                for word in bad
                if len(word) - 1 <= len(output)
            )
        )
        out.append(-math.inf if forbidden else x)
    return out


@settings(max_examples=200, deadline=None)
@given(st.lists(requests, min_size=1, max_size=4), st.integers(0, 2**31))
def test_a_batch_of_edits_is_the_definition_row_by_row(batch, seed) -> None:
    logits = torch.randint(-8, 9, (len(batch), V), generator=torch.Generator().manual_seed(seed)) / 4
    before = logits.clone()
    edited = edit(logits, [make(*request) for request in batch])
    assert torch.equal(logits, before), "the model's logits stay as they are"
    for row, request in enumerate(batch):
        assert edited[row].tolist() == pytest.approx(by_definition(logits[row].tolist(), *request), abs=1e-5)


def test_tokens_are_counted_as_the_output_grows() -> None:
    output = []
    state = make({"frequency_penalty": 1.0}, [1], output, [])
    logits = torch.zeros(1, V)
    for token in (4, 4, 1, 7):
        output.append(token)
        assert edit(logits, [state])[0].tolist() == [-float(output.count(i)) for i in range(V)]
    ahead = state.ahead([4, 9])
    assert edit(logits, [ahead])[0, [4, 9]].tolist() == [-3.0, -1.0]
    assert edit(logits, [state])[0, [4, 9]].tolist() == [-2.0, 0.0]


def test_transformers_edits_the_same() -> None:
    logits = torch.randn(1, V, generator=torch.Generator().manual_seed(0))
    seen = [3, 4, 4, 9]
    tensor = torch.tensor([seen])
    bad = [[4], [4, 9, 11], [8, 9, 12]]
    cases = [
        (make({"repetition_penalty": 1.7}, seen[:2], seen[2:], []), RepetitionPenaltyLogitsProcessor(1.7)),
        (make({}, [], seen, bad), NoBadWordsLogitsProcessor(bad, eos_token_id=[])),
        (make({"min_tokens": 5}, [], seen, []), MinNewTokensLengthLogitsProcessor(0, 5, [2, 5])),
        (make({"logit_bias": {7: 1.5}}, [], seen, []), SequenceBiasLogitsProcessor({(7,): 1.5})),
    ]
    for state, processor in cases:
        assert torch.equal(edit(logits, [state]), processor(tensor, logits.clone()))


def test_nothing_to_edit_is_no_copy() -> None:
    logits = torch.zeros(1, V, dtype=torch.bfloat16)
    assert edit(logits, [make({}, [], [], [])]) is logits
    assert edit(logits, [make({"min_tokens": 1}, [], [], [])]).dtype == torch.float32


def test_bad_words_are_spelt_with_and_without_a_space() -> None:
    class Letters:
        def encode(self, text, add_special_tokens=True):
            return ([1] if add_special_tokens else []) + [ord(c) for c in text]

    def spelt(*words):
        return bad_word_ids(SamplingParams(bad_words=words), Letters())

    assert spelt("ab", " ab", "c") == ((97, 98), (32, 97, 98), (99,), (32, 99))
    assert spelt(" ", "\n") == ((32,), (32, 32), (10,), (32, 10))


def test_words_without_a_tokenizer_are_refused() -> None:
    assert bad_word_ids(SamplingParams(), None) == ()
    for params in (SamplingParams(bad_words=["a"]), SamplingParams(stop="a")):
        with pytest.raises(RequestError, match="needs a tokenizer"):
            bad_word_ids(params, None)
