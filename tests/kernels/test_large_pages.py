"""Memory for weights: tensors that begin as zeros, share large pages and never each other's bytes."""

import gc
import re
from pathlib import Path

import pytest
import torch

from pellucid.kernels.large_pages import ALIGNMENT, CHUNK, PAGE, LargePages, zeros_on

SHAPES = [(5,), (700, 1000), (3, 0, 7), (CHUNK // 4, 3), (PAGE,), (1, 1), (CHUNK,)]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32])
def test_each_tensor_has_zeros_of_its_own(dtype):
    pages = LargePages()
    tensors = [pages.zeros(shape, dtype) for shape in SHAPES]
    for i, (tensor, shape) in enumerate(zip(tensors, SHAPES, strict=True)):
        assert tensor.shape == shape and tensor.dtype == dtype and tensor.is_contiguous()
        assert not tensor.any() and (tensor.data_ptr() or 0) % ALIGNMENT == 0
        tensor.fill_(i + 1)
    for i, tensor in enumerate(tensors):
        assert (tensor == i + 1).all() and tensor.untyped_storage().nbytes() == tensor.nbytes


def test_the_memory_goes_with_the_last_tensor_in_it():
    def held() -> int:
        return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024

    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux says what a process holds")
    pages = LargePages()
    kept, large = pages.zeros((10,), torch.uint8), pages.zeros((4 * CHUNK,), torch.uint8)
    large.fill_(1)
    full = held()
    del large, pages
    gc.collect()
    assert held() < full - 3 * CHUNK and not kept.any()


def test_neighbours_lie_in_one_page():
    pages = LargePages()
    first, second = pages.zeros((100,), torch.float32), pages.zeros((100,), torch.float32)
    assert second.data_ptr() - first.data_ptr() == 512


def test_other_devices_get_torchs_own():
    made = zeros_on(torch.device("meta"))((3, 4), torch.float16)
    assert made.device.type == "meta" and made.shape == (3, 4) and made.dtype == torch.float16
