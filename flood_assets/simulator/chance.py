"""Random numbers without state: each is a function of a key and of counters such as a measure and a time.

This is what makes the simulator agree with itself: nothing is drawn in sequence, so it does not matter which
part of the country or of the day is asked for first. What the numbers are used for is in the other modules.
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
    """The 64-bit key of one purpose: two purposes draw independent numbers from the same counters."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest(), "little")


def words(start: int, *counters: Ints) -> Words:
    """64 random bits for each element of the counters, which are broadcast against each other (splitmix64)."""
    state: Words = np.array([start], dtype=np.uint64)
    for counter in counters:
        state = state + counter.astype(np.uint64) * _STEP
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def fractions(bits: Words) -> Floats:
    """A number in [0, 1) from the upper 53 of 64 bits."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(start: int, *counters: Ints) -> Floats:
    """A number in [0, 1) for each element of the counters."""
    return fractions(words(start, *counters))


def between(low: float, high: float, start: int, *counters: Ints) -> Floats:
    """A number in [low, high) for each element of the counters."""
    return low + (high - low) * uniform(start, *counters)


def below(limit: int, bits: Words, shift: int = 0) -> Ints:
    """A whole number in [0, limit) from the bits above `shift`; limit is small against what is left of 2**64."""
    return ((bits >> np.uint64(shift)) % np.uint64(limit)).astype(np.int64)
