"""Which kernels and which runner a device and a dtype get."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from pellucid.engine.encoder_runner import PlainEncoder, ReadsTexts, run_encoder
from pellucid.engine.runner import MakeRunner, plain_runner
from pellucid.engine.tape_runner import TapeRunner
from pellucid.kernels import Kernels, QuantisedWeight, torch_ops
from pellucid.kernels.cpu import library
from pellucid.kernels.cpu.kernels import WEIGHT_DTYPES, CpuKernels, Now
from pellucid.models.encoder import Encoder


@dataclass(frozen=True)
class Backend:
    """What runs a model, and what to tell a person of it."""

    name: str
    kernels: Kernels
    make_runner: MakeRunner
    make_encoder: Callable[[Encoder], ReadsTexts]
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
        return on_torch(device)
    loaded = library.load()
    if isinstance(loaded, str):
        library.warn_once(loaded)
        return on_torch(device)
    return Backend(
        f"C++ on cpu ({loaded.chosen_path})",
        CpuKernels(Now(loaded)),
        partial(TapeRunner, library=loaded),
        partial(run_encoder, loaded=loaded),
        torch.float16,
    )


def on_torch(device: torch.device) -> Backend:
    """torch's own operators, which are everywhere."""
    name = f"torch on {device.type}"
    encoder = partial(PlainEncoder, kernels=torch_ops)
    return Backend(name, torch_ops, plain_runner, encoder, torch.float32)
