"""What every test shares: where the shared data is, and one thread-pool setting for the whole run."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from kernels.cpu.every_path import emulator, player

__all__ = ["emulator", "player"]


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real tokenizers, texts and vectors; a user has none, so tests that need it skip."""
    folder = os.environ.get("PELLUCID_TEST_DATA")
    if not folder:
        pytest.skip("PELLUCID_TEST_DATA is not set: this test needs the shared data folder")
    return Path(folder)


@pytest.fixture
def cell(record_property: Callable[[str, object], None]) -> Callable[[str, str], None]:
    """Says which cell of the table of families a test stands for: `cell("llama", "GGUF")`."""

    def mark(family: str, column: str) -> None:
        record_property("cell", (family, column))

    return mark
