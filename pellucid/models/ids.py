"""Token ids as a caller of `logits` gives them, as the tensor that a body takes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pellucid.errors import RequestError


def ids_tensor(given: Sequence[int] | Tensor, vocab_size: int, device: torch.device) -> Tensor:
    """One sequence of ids, `[T]` in int64. Raises RequestError for what is no id of this vocabulary."""
    ids_T = torch.as_tensor(given)
    if ids_T.dim() != 1 or not len(ids_T) or ids_T.is_floating_point() or ids_T.dtype == torch.bool:
        kind = str(ids_T.dtype).removeprefix("torch.")
        raise RequestError(
            f"ids of shape {list(ids_T.shape)} in {kind} were given; logits() takes one sequence of whole "
            "numbers, at least one, like [1, 2, 3]"
        )
    low, high = ids_T.aminmax()
    if low < 0 or high >= vocab_size:
        wrong = int(low if low < 0 else high)
        raise RequestError(f"token id {wrong} was given; this model's ids are 0 to {vocab_size - 1}")
    return ids_T.to(device, torch.int64)
