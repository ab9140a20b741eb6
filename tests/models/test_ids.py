"""Token ids given to a body: any list or tensor of the vocabulary's ids, and nothing else."""

import numpy as np
import pytest
import torch

from pellucid.errors import RequestError
from pellucid.models.ids import ids_tensor

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "given", [[3, 0, 9], (3, 0, 9), np.array([3, 0, 9]), torch.tensor([3, 0, 9], dtype=torch.uint8)]
)
def test_lists_and_arrays(given) -> None:
    assert torch.equal(ids_tensor(given, 10, CPU), torch.tensor([3, 0, 9]))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "at least one"),
        ([1, 10], "token id 10 was given; this model's ids are 0 to 9"),
        ([1, -1], "token id -1"),
        ([[1, 2]], r"shape \[1, 2\]"),
        ([1.0, 2.0], "in float32"),
        ([True], "in bool"),
    ],
)
def test_what_is_no_sequence_of_ids(given, says) -> None:
    with pytest.raises(RequestError, match=says):
        ids_tensor(given, 10, CPU)
