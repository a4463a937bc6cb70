"""Measured tables of two kernels, and a program that takes their times from there."""

from pathlib import Path

import pytest

import tsdl
from tsdl.costs import Batch
from tsdl.plan import Cost

DENSE = "layer,tokens,time_us\nqkv,1,100\nqkv,2,110\nqkv,4096,50000\nout,1,30\nout,4096,20000\n"
ATTENTION = "n,context,time_us\n1,16,10\n1,4096,60\n256,16,90\n256,4096,9000\n"
COST = """
  folder = "kernels"
  operator qkv  { file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens } }
  operator out  { file = "dense.csv"; rows { layer = "out" }; at { tokens = tokens } }
  operator add1 { time = 0 s }
  operator attn {
    part decode {
      file = "attention.csv"
      when = decodes > 0
      at { n = decodes; context = contexts / decodes }
    }
    part prefill { time = 1 us * prefill_tokens }
  }
"""
QKV = 'file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens }'


def tables_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the tables where programs find them in the folder `kernels`; return that folder."""
    monkeypatch.chdir(folder)
    kernels = folder / "kernels"
    kernels.mkdir()
    (kernels / "dense.csv").write_text(DENSE, "utf-8")
    (kernels / "attention.csv").write_text(ATTENTION, "utf-8")
    return kernels


def program(cost: str = COST, worker: str = "", policy: str = "chunked") -> str:
    return f"""
cost kernels {{ {cost} }}
cluster node {{ worker gpu {{ hardware = A100_80G; cost = kernels; {worker} }} }}
scenario it {{
  model = llama2_7b; cluster = node; policy = {policy}
  workload = sharegpt(rate = 5 req/s, requests = 40)
}}
"""


def cost_of(text: str) -> Cost:
    return tsdl.compile(text).workers[0].cost


def codes(text: str) -> list[str]:
    return [d.code for d in tsdl.check(text)]


def a_batch(*contexts: int, prefill: int = 0) -> Batch:
    batch = Batch()
    batch.add_decodes(list(contexts))
    if prefill:
        batch.add_prefill(prefill, 0, last=True)
    return batch
