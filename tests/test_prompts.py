"""Prompts in every form a caller may give them; what cannot be served is refused with what would do."""

import numpy as np
import pytest
import torch

from pellucid.errors import RequestError
from pellucid.prompts import PromptReader, as_prompts

READER = PromptReader(tokenizer=None, vocab_size=100, max_model_len=8)


IDS = [
    [1, 2, 3],
    (1, 2, 3),
    np.array([1, 2, 3]),
    torch.tensor([1, 2, 3]),
    [np.int64(1), np.int32(2), 3],
    {"prompt_token_ids": [1, 2, 3]},
    {"prompt_token_ids": np.array([1, 2, 3])},
    {"prompt_token_ids": torch.tensor([1, 2, 3]), "prompt": "the ids hold"},
]


@pytest.mark.parametrize("prompt", IDS)
def test_ids_are_taken_as_they_are(prompt) -> None:
    (one,) = as_prompts(prompt)
    assert READER.read(one).token_ids == [1, 2, 3]
    assert READER.read(prompt).token_ids == [1, 2, 3]


def test_one_prompt_or_many() -> None:
    assert as_prompts("a") == ["a"] and as_prompts(("a", "b")) == ("a", "b") and as_prompts([]) == []
    assert as_prompts([[1], [2, 3]]) == [[1], [2, 3]]
    assert as_prompts(torch.tensor([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("prompts", [None, 5, b"text", {"a"}, (c for c in "ab")])
def test_what_is_no_prompt_and_no_list_of_them_is_refused(prompts) -> None:
    with pytest.raises(RequestError, match=f"prompts of type {type(prompts).__name__} cannot be read"):
        as_prompts(prompts)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "the prompt is empty"),
        ([], "has no tokens"),
        ({"prompt_token_ids": []}, "has no tokens"),
        ("text", "has no tokenizer"),
        ([1, 100], "prompt token 1 is 100; .* from 0 to 99"),
        ([1, -1], "prompt token 1 is -1"),
        ([1, True], "prompt token 1 is True"),
        ([1.5], "prompt token 0 is 1.5"),
        ([1] * 8, "has 8 tokens; .* may have 8, so give at most 7"),
        (3, "type int cannot be read"),
        ({"text": "x"}, "type dict cannot be read"),
    ],
)
def test_what_cannot_be_served_is_refused(prompt, says) -> None:
    with pytest.raises(RequestError, match=says):
        READER.read(prompt)
