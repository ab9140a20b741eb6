"""Randomness as a pure function of who asks: seed, sample index, output position and purpose.

There is no generator whose state advances, so company, batching and preemption cannot change what a request
draws.
"""

from hashlib import blake2b


def uniform(seed: int, sample_index: int, position: int, purpose: str = "token") -> float:
    """A float64 in [0, 1), of 53 bits of the BLAKE2b hash of the four: as good as independent for each."""
    name = f"{seed},{sample_index},{position},{purpose}".encode()
    return (int.from_bytes(blake2b(name, digest_size=8).digest(), "little") >> 11) * 2.0**-53
