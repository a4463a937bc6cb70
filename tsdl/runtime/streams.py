"""Named, independent streams of random numbers: changing one purpose leaves the others alone."""

from zlib import crc32

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the stream of a purpose: the same seed and name give the same numbers."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, name)))


def seed_of(seed: int, name: str) -> int:
    """Return a seed for a part of a run, which has streams of its own for each purpose."""
    return int(_sequence(seed, name).generate_state(1, np.uint64)[0])


def _sequence(seed: int, name: str) -> np.random.SeedSequence:
    return np.random.SeedSequence(entropy=seed, spawn_key=(crc32(name.encode()),))
