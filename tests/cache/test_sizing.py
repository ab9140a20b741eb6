"""The cache's size: what can be used, what memory holds, and a plain word where that is too little."""

import pytest

from pellucid.cache.sizing import size_cache
from pellucid.errors import OutOfMemoryError

MODEL = {
    "bytes_per_block": 1 << 20,
    "block_size": 16,
    "max_num_seqs": 4,
    "longest": 1024,
    "max_model_len": None,
    "device": "cpu",
}


def test_no_more_than_can_be_used():
    size = size_cache(**MODEL, available=1 << 40)
    assert (size.num_blocks, size.max_model_len) == (4 * 64, 1024)


def test_no_more_than_a_share_of_memory_and_then_requests_are_shorter():
    size = size_cache(**MODEL, available=64 << 20)
    assert (size.num_blocks, size.max_model_len) == (32, 512)
    assert "512 tokens in 32 blocks of 16 (32.0 MiB), enough for 1 request of 512 tokens" in size.describe()


def test_a_length_asked_for_that_does_not_fit_is_refused_with_what_does():
    with pytest.raises(
        OutOfMemoryError,
        match=r"1,024 tokens needs 64.0 MiB, and 32.0 MiB of the 64.0 MiB free on cpu may be used: max_model_len=512 is",
    ):
        size_cache(**{**MODEL, "max_model_len": 1024}, available=64 << 20)
    with pytest.raises(OutOfMemoryError, match="free some memory"):
        size_cache(**MODEL, available=1 << 20)


def test_a_number_of_blocks_overrides_the_share_of_memory():
    assert size_cache(**MODEL, available=7 << 20, num_blocks=7).max_model_len == 112
    with pytest.raises(OutOfMemoryError, match=r"num_blocks=8 .* need 8.0 MiB, and 7.0 MiB .*: 7 would fit"):
        size_cache(**MODEL, available=7 << 20, num_blocks=8)
    with pytest.raises(
        OutOfMemoryError, match="num_blocks=7 blocks of 16 tokens were asked for: max_model_len=112 is"
    ):
        size_cache(**{**MODEL, "max_model_len": 200}, available=7 << 20, num_blocks=7)


def test_room_for_what_an_encoder_reads():
    size = size_cache(**MODEL, available=1 << 40, longest_source=1500)
    assert size.num_blocks == 4 * (64 + 94)
    assert size.describe().endswith("4 requests of 1,024 tokens and 1,500 rows of its source")
