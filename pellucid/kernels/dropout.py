"""Which entries dropout keeps (Srivastava et al. 2014): four of them to one random word."""

import torch
from torch import Tensor


def kept(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """What to multiply x by: 0 where an entry is dropped, elsewhere what makes up for those.

    A generator draws word after word on one thread, and a word has 64 bits: cut in four it costs a third of
    `bernoulli_`. The share is rounded to a multiple of 2^-16.
    """
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    drawn = words.random_(-(2**63), None, generator=generator).view(torch.int16)[: x.numel()].view(x.shape)
    dropped = round(share * 2**16)
    return (drawn >= dropped - 2**15).to(x.dtype).mul_(2**16 / (2**16 - dropped))
