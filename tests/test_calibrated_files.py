"""What `tsdl calibrate -o` writes: it simulates as the fit did, and is in the one style."""

from pathlib import Path

import pytest

import tsdl
from tests.test_calibration import EXAMPLE, run_of
from tsdl.calibration.declarations import declarations
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.formatting import format_text
from tsdl.source import Source

pytest.importorskip("scipy", reason="needs scipy: pip install -e '.[calibrate]'")

DRAWN = "from sharegpt(rate = 12 req/s, requests = 40) {}"
FOUR = f"""
workload recorded {DRAWN}
cluster four {{ worker gpu {{ hardware = H200; parallel = tp(4) }} }}
scenario s {{ model = llama3_1_8b; cluster = four; policy = chunked; workload = recorded }}
"""


def test_a_device_has_the_link_that_was_fitted(tmp_path: Path) -> None:
    name = "link.collective.latency"
    mine = tmp_path / "mine.tsim"
    mine.write_text(FOUR, "utf-8")
    assert main(["run", str(mine), "--set", f"{name}=8 us", "--out", str(tmp_path / "run")]) == 0
    run = tsdl.read_run(tmp_path / "run" / "requests.csv")
    found = tsdl.calibrate(FOUR, run, fit=[name], holdout=0)
    (tmp_path / "calibrated.tsim").write_text(declarations(found), "utf-8")
    text = FOUR.replace("= H200", "= H200_calibrated")
    text = text.replace(DRAWN, '{ trace = "run/requests.csv" }')
    mine.write_text(f'import "calibrated.tsim"\n{text}', "utf-8")
    again = tsdl.validate(tsdl.compile(mine), run, skip_first=1)
    errors = {row.metric: row.error for row in again.rows if row.statistic == "mean"}
    for check in found.runs[0].checks:
        if check.statistic in errors:
            assert abs(check.before) > 0.1
            assert errors[check.statistic] == pytest.approx(check.after, abs=1e-3)
    assert "link = NVLink4_calibrated" in declarations(found)


def test_what_is_written_is_in_the_one_style(tmp_path: Path) -> None:
    names = ["hardware.efficiency.gemm.bandwidth", "hardware.efficiency.*.overhead"]
    found = tsdl.calibrate(EXAMPLE, run_of(1.2, 40), fit=names)
    text = declarations(found, str(tmp_path), "tsdl calibrate …")
    assert format_text(Source("calibrated.tsim", text), Sink()) == text
