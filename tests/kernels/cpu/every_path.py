"""Every path of the C++ library that this processor has or can emulate, as something that plays operations.

The two fixtures are taken up by tests/conftest.py.
"""

import pytest
from kernels.cpu import emulated

from pellucid.kernels.cpu import library
from pellucid.kernels.cpu.kernels import Now

LIBRARY = library.load()
PATHS = [] if isinstance(LIBRARY, str) else [name for name, runs in LIBRARY.paths().items() if runs]


@pytest.fixture(scope="session")
def emulator(tmp_path_factory):
    """The program that plays operations on an emulated AArch64 processor."""
    if lacking := emulated.missing():
        pytest.skip(f"{lacking}: the kernels for AArch64 cannot be run here")
    return emulated.build(tmp_path_factory.mktemp("player"))


@pytest.fixture(scope="module", params=[*PATHS, *emulated.PATHS])
def player(request):
    """Plays operations by one path."""
    if request.param in emulated.PATHS:
        far = emulated.Emulated(request.getfixturevalue("emulator"), request.param)
        yield far
        far.close()
        return
    before = LIBRARY.chosen_path
    LIBRARY.choose_path(request.param)
    yield Now(LIBRARY)
    LIBRARY.choose_path(before)
