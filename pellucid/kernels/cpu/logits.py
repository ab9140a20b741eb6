"""What the sampler asks of rows of logits, by the C++ library: the likeliest tokens, weights and their sums.

pellucid/sampling has the same in torch: what each gives, where these cannot be used, and what they are tested
against. Letters: R rows, V vocabulary, C the likeliest tokens, N runs of 128 tokens.
"""

from functools import cache

import torch
from torch import Tensor

from pellucid.kernels.cpu import library
from pellucid.kernels.cpu import operations as ops
from pellucid.kernels.cpu.kernels import Now, Player, rows_of
from pellucid.kernels.cpu.operations import Kind

SUM_RUN = 128


class LogitKernels:
    """The three operations by way of a player. Rows are float32, their entries side by side."""

    def __init__(self, player: Player) -> None:
        self._play = player.play

    def top_tokens(self, x_RV: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The `count` largest entries of each row, largest first, of equal ones the lowest ids: values and
        ids `[R, C]`."""
        values_RC = torch.empty(len(x_RV), count)
        ids_RC = torch.empty(values_RC.shape, dtype=torch.int64)
        places = (values_RC.data_ptr(), ids_RC.data_ptr())
        arguments = ops.Top(rows_of(x_RV), x_RV.shape[1], count, *places)
        self._play(Kind.TOP, arguments, len(x_RV), (x_RV, values_RC, ids_RC))
        return values_RC, ids_RC

    def weigh(self, x_RV: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
        """`exp((x - best) / temperature)`."""
        best_R, temperature_R = best_R.contiguous(), temperature_R.contiguous()
        out_RV = torch.empty(x_RV.shape)
        numbers = (best_R.data_ptr(), temperature_R.data_ptr())
        arguments = ops.Weigh(rows_of(x_RV), rows_of(out_RV), x_RV.shape[1], *numbers)
        self._play(Kind.WEIGH, arguments, len(x_RV), (x_RV, best_R, temperature_R, out_RV))
        return out_RV

    def weight_sums(self, x_RV: Tensor, best_R: Tensor, temperature_R: Tensor) -> Tensor:
        """The sums of those weights run by run, as whole numbers: 2**34 for a weight of 1, in float64
        `[R, N]`. The last run is what is left, maybe nothing."""
        best_R, temperature_R = best_R.contiguous(), temperature_R.contiguous()
        sums_RN = torch.empty(len(x_RV), x_RV.shape[1] // SUM_RUN + 1, dtype=torch.float64)
        numbers = (best_R.data_ptr(), temperature_R.data_ptr(), sums_RN.data_ptr())
        arguments = ops.WeightSums(rows_of(x_RV), x_RV.shape[1], *numbers)
        self._play(Kind.WEIGHT_SUMS, arguments, len(x_RV), (x_RV, best_R, temperature_R, sums_RN))
        return sums_RN


@cache
def _load() -> LogitKernels | None:
    loaded = library.load()
    return None if isinstance(loaded, str) else LogitKernels(Now(loaded))


def kernels_for(x_RV: Tensor) -> LogitKernels | None:
    """The kernels that can read these rows where they lie: on a CPU with the library, in float32."""
    fits = x_RV.device.type == "cpu" and x_RV.dtype is torch.float32 and x_RV.stride(1) == 1
    return _load() if fits and len(x_RV) else None
