"""Builds the CPU kernels: one plain shared library, each instruction set compiled with its own flags.

The library knows nothing of Python or torch and is optional: without a C++ compiler the package installs all
the same and runs on torch's own operators.
"""

import platform
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

SOURCES = Path("pellucid/kernels/cpu/src")
# No fused multiply-add and no reordering but those written down: the same bits in every tile shape.
FLAGS = ["-O3", "-std=c++17", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno"]
AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
PATHS = {
    "x86_64": {
        "plain": [],
        "avx2": AVX2,
        "avx2_vnni": [*AVX2, "-mavxvnni"],
        "avx512": AVX512,
        "avx512_vnni": [*AVX512, "-mavx512vnni"],
    },
    "aarch64": {"plain": [], "neon": [], "neon_dotprod": ["-march=armv8.2-a+dotprod"]},
}
PATHS |= {"AMD64": PATHS["x86_64"], "arm64": PATHS["aarch64"]}


def units() -> dict[str, list[str]]:
    """Each source file with the flags that are its own."""
    paths = PATHS.get(platform.machine(), {"plain": []})
    return {"library.cpp": [], "team.cpp": []} | {f"isa/{name}.cpp": flags for name, flags in paths.items()}


class BuildKernels(build_ext):
    """Compiles each unit with its own flags and links them into `libpellucid_cpu.so`."""

    def run(self) -> None:
        try:
            super().run()
        except Exception as error:  # whatever a compiler can do wrong: the package works without it
            self.warn(f"the CPU kernels were not built ({error}); pellucid will run on torch's own operators")

    def build_extension(self, ext: Extension) -> None:
        if self.compiler.compiler_type != "unix" or not shutil.which(self.compiler.compiler_cxx[0]):
            raise RuntimeError("needs g++ or clang++")
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as objects, ThreadPoolExecutor() as pool:
            jobs = [pool.submit(self.compile, unit, flags, objects) for unit, flags in units().items()]
            made = [job.result() for job in jobs]
            shared = "-dynamiclib" if sys.platform == "darwin" else "-shared"
            self.spawn([self.compiler.compiler_cxx[0], shared, "-pthread", "-o", str(target), *made])

    def compile(self, unit: str, flags: list[str], objects: str) -> str:
        made = str(Path(objects) / (unit.replace("/", "_") + ".o"))
        self.spawn([self.compiler.compiler_cxx[0], *FLAGS, *flags, "-c", str(SOURCES / unit), "-o", made])
        return made

    def get_ext_filename(self, fullname: str) -> str:
        return str(Path(*fullname.split("."))) + ".so"


class AnyPython(bdist_wheel):
    """A wheel for a platform, whatever the Python: the library has no Python in it."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


headers = sorted(str(path) for path in SOURCES.rglob("*.h"))
library = Extension(
    "pellucid.kernels.cpu.libpellucid_cpu",
    sources=[str(SOURCES / unit) for unit in units()],
    depends=headers,
    language="c++",
)
setup(ext_modules=[library], cmdclass={"build_ext": BuildKernels, "bdist_wheel": AnyPython})
