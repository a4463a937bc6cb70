"""Runs of a policy on small systems, whose iterations take a second, and what its handlers log."""

import tsdl
from tsdl.runtime.result import Result

FILE = """edition "2026"
link at_once {{ bandwidth = 1_000_000 TB/s }}
hardware box from A100_80G {{ host = at_once }}
kvcache exact from token_wise {{ block = 1 tokens; blocks = {blocks} }}
model small from llama2_7b {{ context = 1000 tokens; {model} }}
policy own from {base} {{ {policy} }}
cluster few {{ {cluster} }}
workload some {{ {workload} }}
scenario by_hand {{ model = small; cluster = few; policy = own; workload = some }}
"""
USUAL = {
    "blocks": "1000",
    "model": "",
    "base": "continuous",
    "policy": "",
    "cluster": "worker gpu { hardware = box; cost = constant_cost(1 s); kv = exact }",
    "workload": "requests = 3; arrivals = uniform(1 req/s); prompt = constant(5 tokens); "
    "output = constant(3 tokens)",
}


def plan_of(**parts: str) -> tsdl.Plan:
    """Compile a system, of which some parts are given, and all others as usual."""
    return tsdl.compile(FILE.format(**(USUAL | parts)))


def run(seed: int = 0, **parts: str) -> Result:
    return plan_of(**parts).run(seed)


def logged(result: Result) -> list[str]:
    """Return the lines of the log, each behind its time."""
    return [f"{time:g} {line}" for time, line in result.log]


def said(result: Result) -> list[str]:
    """Return the lines of the log."""
    return [line for _, line in result.log]
