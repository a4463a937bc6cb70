"""What no scenario leads to is warned of, and nothing else: a param stands for all of its kind."""

import tsdl

PROGRAM = """
dtype tiny { size = 0.5 B; fallback = fp8 }
link thread { bandwidth = 1 GB/s }
operator Gate(k) { flops = tokens * k; class = pointwise }
model small from llama3_8b { weight_dtype = tiny }
model gated from llama3_8b {
  graph { gate: Gate(hidden); attn: Attention(heads, kv_heads, head_dim) }
}
hardware slow from H100_SXM { host = thread }
param served: model = MODEL
param device: hardware = H100_SXM
workload few from sharegpt(rate = 1 req/s) { requests = 5 }
scenario s { model = served; cluster = single(DEVICE); policy = chunked; workload = few }
"""


def unused(text: str, **files: str) -> set[str]:
    found = tsdl.check(text, files={f"{name}.tsim": file for name, file in files.items()})
    assert {diagnostic.code for diagnostic in found} <= {"W0201"}
    return {diagnostic.title.split("`")[1] for diagnostic in found}


def test_what_an_alternative_of_a_param_names_is_used() -> None:
    text = PROGRAM.replace("MODEL", "llama3_8b").replace("DEVICE", "device")
    assert unused(text) == set()


def test_what_only_an_unused_declaration_names_is_not() -> None:
    text = PROGRAM.replace("MODEL", "llama3_8b").replace("DEVICE", "H100_SXM")
    assert unused(text) == {"device", "slow", "thread"}


def test_an_attribute_that_an_imported_file_reads_is_used() -> None:
    text = """
import "lib.tsim" as lib
attribute tenant: int
attribute deadline: time
attribute idle: int
workload few from sharegpt(rate = 1 req/s) {
  requests = 5
  attributes { tenant = zipf(3); deadline = uniform(1 s..9 s) }
}
scenario s {
  model = llama3_8b; cluster = single(A100_80G); policy = lib.fair; workload = few
  slo = lib.in_time
}
"""
    lib = "policy fair from chunked { local { admit r by r.tenant } }\n"
    lib += "slo in_time { e2e <= deadline }\n"
    assert unused(text, lib=lib) == {"idle"}
