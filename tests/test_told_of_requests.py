"""When a request arrived, which turn it was, what was found of it: metrics as latencies are."""

from pathlib import Path

import numpy as np
import pytest

import tsdl
from tsdl.cli import main

TEXT = """
kvcache tight from paged { blocks = 150; share = prefix }
workload talks {
  sessions = 60; turns = uniform(1..4); think = exponential(mean = 1 s)
  arrivals = poisson(12 req/s)
  prompt = uniform(20..300 tokens); output = uniform(20..120 tokens); WARMUP
}
slo by_time { ttft <= (5 s if arrival < 3 s else 1 s) }
scenario s {
  model = llama2_7b; cluster = single(A100_80G, memory = tight); policy = chunked; workload = talks
  slo = by_time
  EXPECT
}
"""


@pytest.mark.parametrize("warmup", ["", "warmup = 2 s"])
def test_they_are_the_columns_of_the_requests(warmup: str) -> None:
    asked = (
        "mean(ttft, where = turn > 0) >= 0 s; mean(cached / prompt, where = turn > 0) >= 0;"
        "max(arrival) >= 0 s; sum(preempted) >= 0; mean(turn) >= 0;"
        "arrived(where = arrival >= 3 s and arrival < 5 s) >= 0; attainment >= 0"
    )
    lines = "\n".join(f"expect {line}" for line in asked.split(";"))
    result = tsdl.compile(TEXT.replace("EXPECT", lines).replace("WARMUP", warmup)).run()
    found = result.requests
    counts = found["arrived"] >= (2 if warmup else 0)
    later = counts & (found["turn"] > 0)
    between = counts & (found["arrived"] >= 3) & (found["arrived"] < 5)
    bound = np.where(found["arrived"] < 3, 5, 1)
    assert (found["preemptions"] > 0).any()
    assert [expectation.value for expectation in result.expectations] == pytest.approx(
        [
            found["ttft"][later].mean(),
            (found["cached"] / found["prompt"])[later].mean(),
            found["arrived"][counts].max(),
            found["preemptions"][counts].sum(),
            found["turn"][counts].mean(),
            between.sum(),
            (found["ttft"] <= bound)[counts].mean(),
        ]
    )


def test_a_report_knows_them_in_bounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "p.tsim"
    program.write_text(TEXT.replace("EXPECT", "").replace("WARMUP", ""), "utf-8")
    assert main(["run", str(program), "--out", str(tmp_path / "out")]) == 0
    page = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "out"), "-o", str(page)]) == 0
    capsys.readouterr()
    assert "ttft &lt;= (5 s if arrival &lt; 3 s else 1 s)" in page.read_text("utf-8")
