"""Results that reports are made of: a scenario's and studies', as they are, and full of markup."""

import json
from pathlib import Path
from typing import Any

import pytest

from tsdl.cli import main
from tsdl.reports import marks, read
from tsdl.reports.results import Run
from tsdl.reports.studycharts import study_charts

HOSTILE = """</script><script>alert(1)</script><img src=x onerror=alert(1)>'"&{{ 7 * 7 }}${7}"""
PROGRAM = """\
param qps = 8 req/s
param scheduler: policy = continuous

## Few. </script><img src=x onerror=alert(1)>
workload few from sharegpt(rate = qps) { requests = 40; warmup = 1 s }
policy spread from chunked, least_loaded {}
scenario pair {
  model = llama2_7b; cluster = replicas(A100_80G, 2); workload = few; policy = spread
  slo = interactive
  expect finished > 0
}
scenario one { model = llama2_7b; cluster = single(A100_80G); workload = few; policy = scheduler }
study load {
  scenario = one
  vary qps in [2, 8] req/s
  vary scheduler in [static, continuous]
  replicate 2
  table throughput, mean(e2e) / mean(e2e)[scheduler = static]
  plot lines(mean(e2e), p99(e2e), x = qps, color = scheduler)
  plot bars(mean(e2e) / mean(e2e)[scheduler = static], x = scheduler, facet = qps)
  plot heat(kv_peak, x = qps, y = scheduler)
  plot points(mean(ttft), x = throughput, color = scheduler)
  plot cdf(e2e / output, color = scheduler, facet = qps)
  expect p99(ttft) <= 1 us
}
study most {
  scenario = one
  vary scheduler in [static, continuous]
  maximize qps in 1..4 req/s while finished > 0
  table qps
}
study bare { scenario = one; vary qps in [2, 8] req/s; table throughput, mean(e2e) }
"""


def results_in(folder: Path) -> Path:
    """Put the results `pair` of a scenario, and those of studies, into a folder; return it."""
    file = folder / "main.tsim"
    file.write_text(PROGRAM, "utf-8")
    assert main(["run", str(file), "--scenario", "pair", "--out", str(folder / "pair")]) == 0
    store = str(folder / "runs.sqlite")
    for name, status in (("load", 3), ("bare", 0), ("most", 0)):
        out = str(folder / name)
        given = ["--study", name, "--store", store, "--jobs", "1", "--out", out]
        assert main(["run", str(file), *given]) == status
    return folder


def hostile_in(folder: Path, results: Path) -> Path:
    """Put the same into a folder, all words markup, and folders called so; return it."""
    for name in ("pair", "load"):
        target = folder / f"<b onclick=alert(1)>{name}"
        target.mkdir()
        for file in (results / name).iterdir():
            text = file.read_text("utf-8")
            if file.suffix == ".json" and file.name != "plan.json":
                text = json.dumps(_worded(json.loads(text)))
            (target / file.name).write_text(text, "utf-8")
    return folder


_KEPT = {"kind", "status", "plan"}  # words that are no one's choice, and hashes


def _worded(value: Any, key: str = "") -> Any:  # noqa: ANN401
    """Put markup behind every text, and behind the names that a study gives."""
    if isinstance(value, dict):
        named = key in ("columns", "table", "point", "values")
        return {k + HOSTILE if named else k: _worded(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_worded(item, key) for item in value]
    return value + HOSTILE if isinstance(value, str) and key not in _KEPT else value


def run_of(folder: Path) -> Run:
    (found,) = read([str(folder)])
    assert isinstance(found, Run)
    return found


def pictures_of(folder: Path) -> list[marks.Chart]:
    (found,) = read([str(folder)])
    assert not isinstance(found, Run)
    return list(study_charts(found, ""))


def needs_drawing() -> None:
    """Skip the test where nothing can be drawn."""
    pytest.importorskip("vl_convert", reason="needs vl-convert-python: pip install -e '.[report]'")
