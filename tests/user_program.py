"""A program that somebody might write: `mypy --strict` sees the types of all that it uses."""

from pathlib import Path
from typing import assert_type

import numpy as np

import tsdl

plan = tsdl.compile(
    Path("a.tsim"), {"qps": "4 req/s"}, externs={"f": len}, files={"b.tsim": ""}, allow=["data"]
)
assert_type(plan, tsdl.Plan)
assert_type(plan.hash, str)
assert_type(tsdl.Plan.from_json(plan.to_json()), tsdl.Plan)
result = plan.run(seed=1, trace=(0.0, 2.0), max_seconds=60)
assert_type(result.passed, bool)
assert_type(result.requests.units, dict[str, str])
first: tsdl.Result = result
worst: float = result.requests["e2e"].max()
late: np.ndarray[tuple[int], np.dtype[np.float64]] = result.timeseries["time"][-3:]

answer: tsdl.Answer = tsdl.study("study s { … }", "s", jobs=1)
means = [row.figures["p99(ttft)"].mean for row in answer.rows]
assert_type(means, list[float])
assert_type(answer.complete, bool)

try:
    found = tsdl.validate(plan, tsdl.read_run(Path("run.json")), skip_first=1)
    fitted = tsdl.calibrate(Path("a.tsim"), [Path("run.json")], holdout=0.2)
    assert_type(found.same, bool)
except tsdl.TsdlError as error:
    codes = [d.code for d in error.diagnostics if d.severity is tsdl.Severity.ERROR]
    assert_type(codes, list[str])
