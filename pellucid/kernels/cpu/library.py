"""Finds and loads the compiled library, shares torch's threads with it, and says why where there is none."""

import ctypes
import warnings
from ctypes import POINTER, c_bool, c_char_p, c_double, c_int32, c_int64, c_size_t, c_void_p
from functools import cache
from pathlib import Path

import torch  # first: its OpenMP library must be the process's

from pellucid.kernels.cpu.operations import STRUCTS, Operation, Step

FILE = Path(__file__).with_name("libpellucid_cpu.so")
VERSION = 2
WHAT_TO_DO = "install a C++ compiler (g++ or clang++) and reinstall pellucid; everything else works as it is"


class Library:
    """The C functions, with their types."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.version = library.pellucid_version
        self.version.restype, self.version.argtypes = c_int64, ()
        self.size_of = library.pellucid_size_of
        self.size_of.restype, self.size_of.argtypes = c_size_t, (c_int64,)
        self._path = library.pellucid_path
        self._path.restype, self._path.argtypes = c_char_p, (c_int64, POINTER(c_int32))
        self._chosen_path = library.pellucid_chosen_path
        self._chosen_path.restype, self._chosen_path.argtypes = c_char_p, ()
        self._choose_path = library.pellucid_choose_path
        self._choose_path.restype, self._choose_path.argtypes = c_bool, (c_char_p,)
        self._share_openmp = library.pellucid_share_openmp
        self._share_openmp.restype, self._share_openmp.argtypes = None, (c_void_p,) * 3
        self.run = library.pellucid_run
        self.run.restype = c_bool
        self.run.argtypes = (POINTER(Operation), c_int64, POINTER(Step), c_int64, POINTER(c_double))

    def paths(self) -> dict[str, bool]:
        """The instruction sets it was built for, best first, and whether this processor has each."""
        found: dict[str, bool] = {}
        runs = c_int32()
        while name := self._path(len(found), ctypes.byref(runs)):
            found[name.decode()] = bool(runs.value)
        return found

    @property
    def chosen_path(self) -> str:
        """The instruction set in use."""
        name: bytes = self._chosen_path()
        return name.decode()

    def choose_path(self, name: str) -> None:
        """Use another one, for tests and measurements. ValueError where this processor cannot."""
        if not self._choose_path(name.encode()):
            able = ", ".join(path for path, runs in self.paths().items() if runs)
            raise ValueError(f"{name!r} does not run here; this processor and build have: {able}")

    def share_openmp(self) -> bool:
        """Use the threads of torch's OpenMP, so that there is one pool; False where it has none to share."""
        try:
            openmp = ctypes.CDLL(openmp_of_torch())
            functions = (openmp.GOMP_parallel, openmp.omp_get_thread_num, openmp.omp_get_num_threads)
        except (OSError, AttributeError):
            return False
        self._share_openmp(*(ctypes.cast(function, c_void_p) for function in functions))
        return True


def openmp_of_torch() -> str:
    """The OpenMP library in torch's own folder, or the process's by name. Both are loaded already."""
    folder = Path(torch.__file__).parent
    bundled = [*folder.glob("lib/libgomp*.so*"), *folder.glob("../torch.libs/libgomp*.so*")]
    return str(bundled[0]) if bundled else "libgomp.so.1"


@cache
def load() -> Library | str:
    """The library, or one line that says why there is none and what to do."""
    if not FILE.exists():
        return f"the CPU kernels are not built, so torch's own operators are used: {WHAT_TO_DO}"
    try:
        library = Library(ctypes.CDLL(str(FILE)))
    except (OSError, AttributeError) as error:
        return f"the CPU kernels do not load ({error}), so torch's own operators are used: {WHAT_TO_DO}"
    sizes = [library.size_of(i) for i in range(len(STRUCTS))]
    if library.version() != VERSION or sizes != [ctypes.sizeof(struct) for struct in STRUCTS]:
        return f"the CPU kernels are of another version, so torch's own operators are used: {WHAT_TO_DO}"
    library.share_openmp()
    return library


@cache
def warn_once(line: str) -> None:
    """Say a line once in the life of the process."""
    warnings.warn(line, stacklevel=3)
