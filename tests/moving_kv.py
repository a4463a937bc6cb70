"""Small systems in which KV is on its way, to be worked out by hand.

A token has 64 KiB. A prefill takes a second for each token, an iteration of decodes a quarter, and
a token takes a second over the link `by_token`.
"""

from collections.abc import Sequence

import numpy as np

import tsdl
from tests.watched_runs import watched
from tsdl.runtime.arrivals import Arrivals
from tsdl.runtime.result import Result

FILE = """edition "2026"
link by_token {{
  bandwidth = {rate} KiB/s; latency = {latency}; sharing = {sharing}; duplex = {duplex}
}}
link no_time {{ bandwidth = 1_000_000_000 EB/s }}
hardware box from A100_80G {{ host = no_time }}
link at_once {{ bandwidth = 1000 PB/s }}
cost by_hand {{ iteration = 1 s * prefill_tokens if prefills > 0 else 250 ms * decodes / decodes }}
kvcache exact from token_wise {{ block = 1 tokens; blocks = {blocks}; swap_space = 1 GiB }}
model small from llama2_7b {{ layers = 4 layers; context = 1000 tokens {points} }}
cluster pair {{
  worker prefill * {prefills} {{
    hardware = box; cost = by_hand; kv = exact; link = {link}; runs = prefill
  }}
  worker decode * {decodes} {{
    hardware = box; cost = by_hand; kv = exact; link = {link}; runs = decode; {receiving}
  }}
}}
cluster alone {{
  worker gpu {{ hardware = box; cost = by_hand; kv = exact }}
  tier pool {{ capacity = {pool} KiB; latency = 800 ns/block; {tier} }}
}}
policy own from {policy} {{
  local {{ watermark = 0 %; max_tokens = {most} tokens {local} }}
  {stage}
}}
workload some {{
  {size}; arrivals = burst(); prompt = constant({prompt} tokens); output = constant({output} tokens)
}}
scenario it {{ model = small; cluster = {cluster}; policy = own; workload = some }}
"""
USUAL: dict[str, object] = {
    "rate": 64,
    "latency": "0 s",
    "sharing": "fair",
    "duplex": "full",
    "blocks": 1000,
    "points": "",
    "prefills": 1,
    "decodes": 1,
    "link": "by_token",
    "receiving": "",
    "pool": 64 * 1000,
    "tier": "",
    "policy": "disaggregated",
    "local": "",
    "most": 1000,
    "stage": "",
    "size": "requests = 1",
    "prompt": 10,
    "output": 5,
    "cluster": "pair",
}
TOKEN = 64 * 1024  # bytes
NEARLY = 1e-8  # the link `at_once` takes some time, too

Row = tuple[float, int, int]  # arrival in seconds, tokens of the prompt, tokens of the answer


def run(rows: Sequence[Row] = (), **given: object) -> Result:
    plan = tsdl.compile(FILE.format(**(USUAL | given)))
    if not rows:
        return watched(plan)
    arrived, prompt, output = zip(*rows, strict=True)
    arrivals = Arrivals(
        np.array(arrived, dtype=np.float64),
        np.array(prompt, dtype=np.int64),
        np.array(output, dtype=np.int64),
    )
    return watched(plan, arrivals=arrivals)


def column(result: Result, name: str) -> list[float]:
    found: list[float] = result.requests[name].tolist()
    return found
