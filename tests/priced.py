"""A scenario of the library on A100s, for tests of what iterations take and of plans as values."""

import tsdl
from tsdl.plan import Workers

FILE = """edition "2026"
cluster one {{ worker gpu {{ hardware = A100_80G; parallel = tp({devices}) }} }}
workload some {{
  requests = 20; arrivals = poisson(9 req/s)
  prompt = uniform(5..90 tokens); output = uniform(1..9 tokens)
}}
scenario priced {{ model = {model}; cluster = one; workload = some; policy = {policy}; {more} }}
"""


def text_of(
    model: str = "llama2_7b", devices: int = 1, policy: str = "continuous", more: str = ""
) -> str:
    return FILE.format(model=model, devices=devices, policy=policy, more=more)


def plan_of(
    model: str = "llama2_7b", devices: int = 1, policy: str = "continuous", more: str = ""
) -> tsdl.Plan:
    return tsdl.compile(text_of(model, devices, policy, more))


def worker_of(model: str = "llama2_7b", devices: int = 1) -> Workers:
    return plan_of(model, devices=devices).workers[0]
