"""Which kernels and which runner a device and a dtype get."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pellucid.engine.runner import MakeRunner, plain_runner
from pellucid.engine.tape_runner import TapeRunner
from pellucid.kernels import Kernels, QuantisedWeight, torch_ops
from pellucid.kernels.cpu import library
from pellucid.kernels.cpu.kernels import WEIGHT_DTYPES, CpuKernels, Now


@dataclass(frozen=True)
class Backend:
    """What runs a model, and what to tell a person of it."""

    name: str
    kernels: Kernels
    make_runner: MakeRunner
    quantised_kv: torch.dtype
    """What keys and values are held in where the weights are quantised."""

    def kv_dtype(self, weight: Tensor | QuantisedWeight) -> torch.dtype:
        """What keys and values are held in for a model with such weights: as precise as they are."""
        return self.quantised_kv if isinstance(weight, QuantisedWeight) else weight.dtype


def choose_backend(device: torch.device, dtype: torch.dtype) -> Backend:
    """The fastest there is: on a CPU the C++ library where it is built, elsewhere torch's own operators.

    Warns once, with what to do, where the library is missing.
    """
    if device.type != "cpu" or dtype not in WEIGHT_DTYPES:
        return Backend(f"torch on {device.type}", torch_ops, plain_runner, torch.float32)
    loaded = library.load()
    if isinstance(loaded, str):
        library.warn_once(loaded)
        return Backend("torch on cpu", torch_ops, plain_runner, torch.float32)
    return Backend(
        f"C++ on cpu ({loaded.chosen_path})",
        CpuKernels(Now(loaded)),
        partial(TapeRunner, library=loaded),
        torch.float16,
    )
