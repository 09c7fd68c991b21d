"""Generate stateless random numbers from a key and counters such as a measure and a time.

Nothing is drawn in sequence, so the simulator gives the same answer whichever part of the country or of the day is
requested first. The other modules decide how the numbers are used.
"""

import hashlib

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_STEP = np.uint64(0x9E3779B97F4A7C15)


def key(seed: int, purpose: str) -> int:
    """Return the 64-bit key of a purpose; two purposes draw independent numbers from the same counters."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest(), "little")


def words(start: int, *counters: Ints) -> Words:
    """Return 64 random bits (splitmix64) for each element of the counters, which are broadcast together."""
    state: Words = np.array([start], dtype=np.uint64)
    for counter in counters:
        state = state + counter.astype(np.uint64) * _STEP
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def fractions(bits: Words) -> Floats:
    """Return numbers in [0, 1) made from the upper 53 of 64 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(start: int, *counters: Ints) -> Floats:
    """Return a number in [0, 1) for each element of the counters."""
    return fractions(words(start, *counters))


def between(low: float, high: float, start: int, *counters: Ints) -> Floats:
    """Return a number in [low, high) for each element of the counters."""
    return low + (high - low) * uniform(start, *counters)


def below(limit: int, bits: Words, shift: int = 0) -> Ints:
    """Return integers in [0, limit) from the bits above `shift`; limit must be small against the rest of 2**64."""
    return ((bits >> np.uint64(shift)) % np.uint64(limit)).astype(np.int64)
