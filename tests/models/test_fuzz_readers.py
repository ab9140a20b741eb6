"""A short run of benchmarks/fuzz_readers.py: damaged files end in a PellucidError of one line, or open."""

import logging

import pytest

from benchmarks import fuzz_readers
from pellucid.models.loading import load_model
from pellucid.models.registry import FAMILIES, read_config

EXAMPLES = 100


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Silence that ends with the test."""
    with caplog.at_level(logging.ERROR, logger="pellucid"):
        yield


@pytest.mark.parametrize("reader", fuzz_readers.READERS)
def test_damage_ends_in_clear_errors(reader) -> None:
    assert fuzz_readers.fuzz(reader, EXAMPLES) == EXAMPLES


def test_the_files_are_whole_before_they_are_damaged(tmp_path) -> None:
    fuzz_readers.write_llama(tmp_path)
    (tmp_path / "model.gguf").write_bytes(fuzz_readers.gguf_file())
    for source in (tmp_path, tmp_path / "model.gguf"):
        assert load_model(source, device="cpu").logits([1, 2]).shape[0] == 2


@pytest.mark.parametrize("kind", sorted(FAMILIES))
def test_the_config_is_one_of_every_family(kind) -> None:
    read_config(fuzz_readers.ANY_FAMILY | {"model_type": kind})
