"""What a cache keeps of keys and values: the numbers as they are, rounded to 16 bits, or to 8 with scales.

In 8 bits each head of each token has a scale of its own: `x = scale q`, q in -127..127, where 127 stands for
the head's largest size. So what is kept of a token depends on nothing but that token.

Letters: T tokens, G KV heads, K head size.
"""

import torch
from torch import Tensor


def round_heads(x_TGK: Tensor) -> tuple[Tensor, Tensor]:
    """Whole numbers (int8) and scales `[T, G]` (float32) for keys or values; a head that holds something not
    finite gets nan for a scale, so that a damaged model is noticed."""
    x_TGK = x_TGK.float()
    top_TG1 = x_TGK.abs().amax(dim=-1, keepdim=True)
    scale_TG1 = torch.where(top_TG1.isfinite(), top_TG1 / 127, torch.nan)
    q_TGK = (x_TGK / torch.where(scale_TG1 == 0, 1, scale_TG1)).round().clamp(-127, 127)
    return q_TGK.nan_to_num(0).to(torch.int8), scale_TG1.squeeze(-1)


def as_kept(x_TGK: Tensor, dtype: torch.dtype) -> Tensor:
    """Keys or values as a cache of this dtype gives them back, in their own dtype."""
    if dtype is not torch.int8:
        return x_TGK.to(dtype).to(x_TGK.dtype)
    q_TGK, scale_TG = round_heads(x_TGK)
    return (q_TGK * scale_TG.unsqueeze(-1)).to(x_TGK.dtype)
