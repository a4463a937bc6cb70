"""Attributes that are read and that no request has: by whom, and what says that they are 0."""

import pytest

import tsdl

PROGRAM = """
attribute tenant: int{default}
policy fair from chunked {{ {policy} }}
slo in_time {{ {slo} }}
scenario s {{
  model = llama2_7b; cluster = single(A100_80G); policy = fair; slo = in_time
  workload = sharegpt(rate = 1 req/s)
  expect {expect}
}}
study t {{ scenario = s; table {table} }}
"""
QUIET = {"policy": "", "slo": "e2e <= 1 h", "expect": "attainment >= 0", "table": "throughput"}


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
def test_who_reads_one_is_warned_but_where_a_default_says_that_it_is_0(
    place: str, reader: str
) -> None:
    def told(default: str) -> list[str]:
        text = PROGRAM.format(default=default, **{**QUIET, place: reader})
        return [found.code for found in tsdl.check(text)]

    assert told("") == ["W0521"]
    assert told(" = 0") == told(" = 2") == []
