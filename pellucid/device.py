"""Where a model runs and in which numbers: devices, dtypes, and the memory there is."""

import math
import os
import time
from pathlib import Path

import numpy as np
import torch

from pellucid.errors import ConfigError, did_you_mean

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
CACHE_DTYPES = {
    "auto": None,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}
SHORT_NAMES = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "half": "float16",
    "float": "float32",
}


def resolve_dtype(name: str | torch.dtype, published: str | None) -> torch.dtype:
    """The torch dtype that a name stands for; "auto" is the published one, or float32.

    Raises ConfigError for a name that is no dtype weights can have.
    """
    if isinstance(name, torch.dtype):
        name = str(name).removeprefix("torch.")
    wanted = (published or "float32") if name == "auto" else str(name)
    wanted = SHORT_NAMES.get(wanted, wanted)
    if wanted not in DTYPES:
        hint = did_you_mean(wanted, DTYPES)
        if name == "auto":
            allowed = ", ".join(DTYPES)
            raise ConfigError(
                f"the model's config says `dtype` {wanted!r}{hint}; pass another as dtype: {allowed}"
            )
        raise ConfigError(f"dtype {wanted!r}{hint}: allowed are auto, {', '.join(DTYPES)}")
    return DTYPES[wanted]


def resolve_cache_dtype(name: str | torch.dtype) -> torch.dtype | None:
    """What keys and values are to be kept in; "auto" is None: as precise as the weights.

    Raises ConfigError for a name that is none of CACHE_DTYPES.
    """
    wanted = str(name).removeprefix("torch.")
    wanted = SHORT_NAMES.get(wanted, wanted)
    if wanted not in CACHE_DTYPES:
        hint = did_you_mean(wanted, CACHE_DTYPES)
        raise ConfigError(f"kv_cache_dtype {str(name)!r}{hint}: allowed are {', '.join(CACHE_DTYPES)}")
    return CACHE_DTYPES[wanted]


def resolve_device(name: str | torch.device) -> torch.device:
    """The device that a name stands for; "auto" is the first of cuda, mps, cpu that is there.

    Raises ConfigError for a device that is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        first = next(kind for kind, available in there.items() if available)
        rank = os.environ.get("LOCAL_RANK") if first == "cuda" else None  # torchrun's ranks have a GPU each
        return torch.device(first if rank is None else f"{first}:{rank}")
    kind = str(name).split(":")[0]
    if not there.get(kind, False):
        have = ", ".join(kind for kind, available in there.items() if available)
        raise ConfigError(f"device {str(name)!r} is not there; this machine has {have}, or say 'auto'")
    return torch.device(name)


def half_precision(device: torch.device) -> torch.dtype | None:
    """bfloat16 where this machine multiplies it faster than float32, so that training's autocast pays: CPUs
    with AVX-512 BF16 or AMX, GPUs since Ampere. Elsewhere None."""
    if device.type == "cuda":
        pays = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        cpu = torch.cpu
        pays = device.type == "cpu" and (cpu._is_avx512_bf16_supported() or cpu._is_amx_tile_supported())
    return torch.bfloat16 if pays else None


def available_memory(device: torch.device) -> int:
    """Bytes that can still be allocated: free GPU memory, or what the system and its control group leave."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    candidates = [_available_in_meminfo(), _available_in_cgroup()]
    return min(bytes_ for bytes_ in candidates if bytes_ is not None)


def _available_in_meminfo() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def _available_in_cgroup() -> int | None:
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or (text := limit.read_text().strip()) == "max":
        return None
    return max(0, int(text) - int(used.read_text()))


def human_bytes(count: float) -> str:
    """`1536` → `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def read_bandwidth(device: torch.device) -> float:
    """Bytes a second that the device reads from memory, the best of a few sums over 256 MiB; it takes about a
    fifth of a second."""
    # numpy's, because on a CPU it asks for large pages, which is what weights lie in too
    numbers = torch.from_numpy(np.ones(2**26, np.float32)).to(device)
    best = math.inf
    for _ in range(6):
        start = time.perf_counter()
        float(numbers.sum())
        best = min(best, time.perf_counter() - start)
    return numbers.nbytes / best
