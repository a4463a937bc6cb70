"""Requests that are drawn of a workload, and whether numbers are as theory has them.

Seeds are fixed, so that nothing fails by chance from one day to the next; bounds are five standard
errors of the estimate or more, so that they would hold for nearly any seed.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

import tsdl
from tsdl.planworkload import Workload
from tsdl.runtime.arrivals import Arrivals, generate

Numbers = NDArray[np.float64] | NDArray[np.int64]

MANY = 100_000
SIGMAS = 5
STEP = SIGMAS / math.sqrt(MANY)  # of a mean whose deviation is 1

FILE = """edition "2026"
model endless from llama2_7b {{ context = 100_000_000 tokens }}
kvcache ample from token_wise {{ blocks = 100_000_000 }}
cluster one {{ worker gpu {{ hardware = A100_80G; cost = constant_cost(1 ms); kv = ample }} }}
workload own {{ {text} }}
scenario drawn {{ model = endless; cluster = one; workload = {name} }}
"""
ONE = "constant(1 tokens)"
TRIFLE = f"requests = 1; arrivals = burst(); prompt = {ONE}; output = {ONE}"


@cache
def workload(text: str = TRIFLE, name: str = "own") -> Workload:
    return tsdl.compile(FILE.format(text=text, name=name)).workload


def drawn(
    arrivals: str = "burst()",
    prompt: str = ONE,
    output: str = ONE,
    more: str = f"requests = {MANY}",
    seed: str = "0",
) -> Arrivals:
    text = f"arrivals = {arrivals}; prompt = {prompt}; output = {output}; {more}"
    return generate(workload(text), int(seed))


# -- what theory says --------------------------------------------------------------------------


def close(values: Numbers, mean: float, deviation: float) -> bool:
    """Tell whether the mean of values that deviate so much is as expected."""
    return abs(float(values.mean()) - mean) <= SIGMAS * deviation / math.sqrt(len(values))


def share_of(mask: NDArray[np.bool_], expected: float) -> bool:
    return close(mask.astype(np.float64), expected, math.sqrt(expected * (1 - expected)) + 1e-12)


def farthest(values: Numbers, cumulative: NDArray[np.float64]) -> float:
    """Return Kolmogorov's distance times √n; `cumulative` is the theory's at the sorted values."""
    ranks = np.arange(len(values) + 1) / len(values)
    distance = max(np.abs(cumulative - ranks[1:]).max(), np.abs(cumulative - ranks[:-1]).max())
    return float(distance * math.sqrt(len(values)))
