"""Named, independent streams of random numbers: changing one purpose leaves the others alone."""

from zlib import crc32

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the stream of a purpose: the same seed and name give the same numbers."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(crc32(name.encode()),))
    return np.random.Generator(np.random.PCG64(sequence))
