"""Prompts in every form a caller may give them; what cannot be served is refused with what would do."""

import pytest

from pellucid.errors import RequestError
from pellucid.prompts import PromptReader

READER = PromptReader(tokenizer=None, vocab_size=100, max_model_len=8)


@pytest.mark.parametrize("prompt", [[1, 2, 3], (1, 2, 3), {"prompt_token_ids": [1, 2, 3]}])
def test_ids_are_taken_as_they_are(prompt) -> None:
    assert READER.read(prompt).token_ids == [1, 2, 3]


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
