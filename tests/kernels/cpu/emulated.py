"""The kernels of another processor, compiled by a cross compiler and played under its emulator."""

import ctypes
import shutil
import struct
import subprocess
from pathlib import Path

import torch

from pellucid.kernels.cpu import library
from pellucid.kernels.cpu.operations import pointers

SOURCES = library.FILE.parent / "src"
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
UNITS = {"plain": [], "neon": [], "neon_dotprod": ["-march=armv8.2-a+dotprod"]}
PATHS = ["neon", "neon+dotprod"]
FLAGS = ["-O1", "-std=c++17", "-ffp-contract=off", "-fno-math-errno"]


def missing() -> str | None:
    """What of the tools is not there."""
    return next((f"{tool} is not installed" for tool in (COMPILER, EMULATOR) if not shutil.which(tool)), None)


def build(folder: Path) -> Path:
    """The player for AArch64, the library in it."""
    jobs = []
    sources = {SOURCES / f"isa/{name}.cpp": flags for name, flags in UNITS.items()}
    sources |= {
        file: []
        for file in (SOURCES / "library.cpp", SOURCES / "team.cpp", Path(__file__).with_suffix(".cpp"))
    }
    for source, flags in sources.items():
        made = folder / f"{source.stem}.o"
        command = [COMPILER, *FLAGS, *flags, f"-I{SOURCES}", "-c", str(source), "-o", str(made)]
        jobs.append((made, subprocess.Popen(command)))
    assert not any(job.wait() for _, job in jobs)
    program = folder / "player"
    subprocess.run([COMPILER, "-static", "-o", program, *(made for made, _ in jobs)], check=True)
    return program


class Emulated:
    """A player (see kernels.py) that has every operation carried out by the emulated processor."""

    def __init__(self, program: Path, path: str) -> None:
        self.process = subprocess.Popen(
            [EMULATOR, "-cpu", "max", program, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def play(self, kind, arguments, rows, tensors, sequences=0) -> None:
        """As a player does: the tensors hold the result when it returns."""
        held = {t.untyped_storage().data_ptr(): t for t in tensors if t is not None}
        memories = [(at, t.untyped_storage().nbytes()) for at, t in held.items()]
        found = []
        for _, owner, field, address in pointers(arguments):
            place = ctypes.addressof(owner) + getattr(type(owner), field).offset - ctypes.addressof(arguments)
            which = next(i for i, (at, size) in enumerate(memories) if at <= address < at + size)
            found.append((place, which, address - memories[which][0]))
        size = ctypes.sizeof(arguments)
        out = self.process.stdin
        out.write(
            struct.pack(
                "<7q", kind, rows, sequences, torch.get_num_threads(), size, len(found), len(memories)
            )
        )
        out.write(bytes(arguments))
        for place in found:
            out.write(struct.pack("<3q", *place))
        for at, nbytes in memories:
            out.write(struct.pack("<q", nbytes) + ctypes.string_at(at, nbytes))
        out.flush()
        for at, nbytes in memories:
            answer = self.process.stdout.read(nbytes)
            assert len(answer) == nbytes, f"the emulated player ended with status {self.process.wait()}"
            ctypes.memmove(at, answer, nbytes)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
