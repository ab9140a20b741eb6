"""Weights in large pages: whole pages around the tensors alone, and every byte as it was."""

import torch

from pellucid.kernels.cpu.large_pages import SIZE, stretches, use_large_pages


def test_stretches_are_whole_pages_inside_the_memory_of_near_tensors():
    room = torch.zeros(8 * SIZE, dtype=torch.uint8)
    begin, end = room.data_ptr(), room.data_ptr() + room.nbytes
    (found,) = stretches([room, room[3 * SIZE :], room[:5]])
    assert begin <= found[0] < begin + SIZE and end - SIZE < found[1] <= end
    assert found[0] % SIZE == found[1] % SIZE == 0


def test_what_holds_no_whole_page_is_left_alone():
    assert list(stretches([torch.zeros(100)])) == [] and list(stretches([])) == []


def test_not_a_byte_changes():
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randint(256, (n,), generator=generator).byte() for n in (5, 700_000, SIZE, 3 * SIZE + 7)]
    copies = [tensor.clone() for tensor in tensors]
    addresses = [tensor.data_ptr() for tensor in tensors]
    use_large_pages(tensors)
    assert [tensor.data_ptr() for tensor in tensors] == addresses
    assert all(torch.equal(a, b) for a, b in zip(tensors, copies, strict=True))
