"""Attributes that are read and that no request has: by whom, and what says that they are 0."""

import pytest

import tsdl

PROGRAM = """
attribute tenant: int{default}
attribute weight: int = 0
policy fair from chunked {{ {policy} }}
slo in_time {{ {slo} }}
scenario s {{
  model = llama2_7b; cluster = single(A100_80G); policy = fair; slo = in_time
  workload = {workload}
  expect {expect}
}}
study t {{ scenario = s; table {table} }}
workload silent from sharegpt(rate = 1 req/s) {{ attributes {{ weight = constant(0) }} }}
workload outspoken from sharegpt(rate = 1 req/s) {{ attributes {{ tenant = constant(0) }} }}
workload mixed {{ mix = [outspoken, silent] }}
"""
QUIET = {"policy": "", "slo": "e2e <= 1 h", "expect": "attainment >= 0", "table": "throughput"}
PLAIN = "sharegpt(rate = 1 req/s)"


@pytest.mark.parametrize(
    ("place", "reader"),
    [
        ("policy", "local { admit r by r.tenant }"),
        ("policy", 'extern = "own"; reads = [r.tenant, w.queued]'),
        ("slo", "e2e <= 1 h * (1 + tenant)"),
        ("expect", "finished(where = tenant == 0) >= 0"),
        ("table", "finished(where = tenant == 0)"),
    ],
)
def test_who_reads_one_is_warned_but_where_somebody_says_that_it_is_0(
    place: str, reader: str
) -> None:
    def told(default: str, workload: str = PLAIN) -> list[str]:
        said = {**QUIET, place: reader, "default": default, "workload": workload}
        text = PROGRAM.format(**said)
        codes = [found.code for found in tsdl.check(text)]
        return [code for code in codes if code != "W0201"]  # of the other workloads

    assert told("") == ["W0521"]
    assert told(" = 0") == told(" = 2") == []
    assert told("", "silent") == ["W0521"]
    assert told("", "outspoken") == told("", "mixed") == []
