"""Randomness as a pure function of who asks: seed, sample index, output position and place, nothing else.

There is no generator whose state advances, so company, batching, preemption and speculation cannot change
what a request draws. Letters: R rows, C places.
"""

from hashlib import blake2b

from torch import Tensor

# SplitMix64 (Steele, Lea and Flood 2014, "Fast Splittable Pseudorandom Number Generators"), in signed numbers
STEP = 0x9E3779B97F4A7C15 - 2**64
FIRST = 0xBF58476D1CE4E5B9 - 2**64
SECOND = 0x94D049BB133111EB - 2**64


def key(seed: int, sample_index: int, position: int) -> int:
    """What all numbers of one output token are made from: 64 bits of their BLAKE2b hash, signed."""
    name = f"{seed},{sample_index},{position}".encode()
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little", signed=True)


def exponentials(key_R1: Tensor, place_RC: Tensor) -> Tensor:
    """A number for each place, in float64, drawn from the exponential distribution: -log of a uniform one."""
    z_RC = key_R1 + place_RC * STEP
    z_RC = (z_RC ^ shifted(z_RC, 30)) * FIRST
    z_RC = (z_RC ^ shifted(z_RC, 27)) * SECOND
    z_RC = z_RC ^ shifted(z_RC, 31)
    return -((shifted(z_RC, 12).double() + 0.5) * 2.0**-52).log()


def shifted(x: Tensor, bits: int) -> Tensor:
    """The bits of an int64 moved down, with zeros above."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
