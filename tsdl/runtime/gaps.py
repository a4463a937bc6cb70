"""The gaps between tokens, from what an engine noted: each length once, in order, and how often."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from tsdl.runtime.metrics import Weighted

_CHUNK = 1 << 16
Floats = NDArray[np.float64]
Whole = NDArray[np.integer]


def weighted(length: array[float], count: array[int]) -> Weighted:
    """Return gaps by their length. There may be millions: they are put in order where they are.

    Of a length that was noted several times the first entry then has the whole count, and what is
    left over at the end counts nothing.
    """
    lengths: Floats = np.asarray(length)
    counts: Whole = np.asarray(count)
    if int(counts.sum(dtype=np.int64)) > np.iinfo(counts.dtype).max:
        lengths, counts = lengths.copy(), counts.astype(np.int64)
    _sort(lengths, counts)
    kept = _merge(lengths, counts)
    return Weighted(lengths[:kept], counts[:kept])


def _sort(lengths: Floats, counts: Whole) -> None:
    """Sort both by length, with memory for one more column of each."""
    order = np.argsort(lengths).astype(np.int64, copy=False)
    counts[:] = counts[order]
    ordered = order.view(np.float64)  # each length takes the place of the number that says where
    for begin in range(0, len(order), _CHUNK):
        ordered[begin : begin + _CHUNK] = lengths[order[begin : begin + _CHUNK]]
    lengths[:] = ordered


def _merge(lengths: Floats, counts: Whole) -> int:
    """Add up the counts of equal lengths at the front; return how many lengths there are."""
    kept = begin = 0
    while begin < len(lengths):
        last = lengths[min(begin + _CHUNK, len(lengths)) - 1]
        end = begin + int(np.searchsorted(lengths[begin:], last, side="right"))
        part = lengths[begin:end]
        first = np.flatnonzero(np.concatenate(([True], part[1:] != part[:-1])))
        into = slice(kept, kept + len(first))
        counts[into] = np.add.reduceat(counts[begin:end], first)
        lengths[into] = part[first]
        kept += len(first)
        begin = end
    counts[kept:] = 0
    return kept
