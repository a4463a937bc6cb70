"""Pictures with logarithmic scales: what they show, and what has no place there."""

import json
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tests.reported import pictures_of
from tsdl.cli import main

PROGRAM = """edition "2026"
param wide = 1 GB/s
param late = 1 s
link own { bandwidth = wide }
cluster c { worker gpu { hardware = A100_80G; link = own } }
workload w {
  requests = 9; arrivals = uniform(1 req/s); warmup = late
  prompt = constant(9 tokens); output = constant(3 tokens)
}
scenario s { model = llama2_7b; cluster = c; workload = w }
study sweep {
  scenario = s
  vary late in [0, 1, 2, 4] s
  vary wide in [1, 1000] GB/s
  table throughput
  plot PICTURE
}
"""


def chart_of(folder: Path, picture: str) -> tuple[dict[str, Any], str]:
    """Return what draws a picture of the study, and what is said about it."""
    (folder / "it.tsim").write_text(PROGRAM.replace("PICTURE", picture))
    given = [str(folder / "it.tsim"), "--study", "sweep", "--out", str(folder / "out")]
    assert main(["run", *given]) == 0
    (chart,) = pictures_of(folder / "out")
    return chart.panels[0].spec, chart.about


def scales(spec: dict[str, Any]) -> dict[str, str]:
    """Return the kinds of scales of a panel, as far as it says any."""
    found = {}
    for layer in [spec, *spec.get("layer", [])]:
        for direction in ("x", "y"):
            scale = layer.get("encoding", {}).get(direction, {}).get("scale", {})
            if "type" in scale:
                found[direction] = scale["type"]
    return found


@pytest.mark.parametrize(
    ("log", "kinds"),
    [
        ("", {}),
        (", log = x", {"x": "log"}),
        (", log = y", {"y": "log"}),
        (", log = both", {"x": "log", "y": "log"}),
    ],
)
def test_scales_are_what_is_said(tmp_path: Path, log: str, kinds: dict[str, str]) -> None:
    spec, about = chart_of(tmp_path, f"lines(throughput, x = late, color = wide{log})")
    assert scales(spec) == kinds
    assert ("logarithmic" in about) == bool(kinds)


def test_what_is_not_above_zero_has_no_place(tmp_path: Path) -> None:
    spec, _ = chart_of(tmp_path, "points(makespan, x = late, color = wide, log = x)")
    assert sorted({row["x"] for row in spec["data"]["values"]}) == [1, 2, 4]
    data = json.loads((tmp_path / "out" / "study.json").read_text())
    assert data["pictures"][0]["log"] == ["x"]
    assert {row["channels"]["x"] for row in data["pictures"][0]["rows"]} == {0, 1, 2, 4}


def test_a_distribution_has_a_logarithmic_scale_to_the_right(tmp_path: Path) -> None:
    spec, _ = chart_of(tmp_path, "cdf(e2e, color = wide, log = x)")
    assert scales(spec) == {"x": "log"}


@pytest.mark.parametrize(
    ("picture", "remedy"),
    [
        ("lines(throughput, x = late, log = z)", "`log = x` or `log = y` or `log = both`"),
        ("lines(throughput, x = late, log = 2)", "`log = x` or `log = y` or `log = both`"),
        ("cdf(e2e, log = both)", "`log = x`"),
        ("heat(throughput, x = late, y = wide, log = x)", "it takes x, y, facet"),
    ],
)
def test_what_has_no_logarithm_is_told(picture: str, remedy: str) -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(PROGRAM.replace("PICTURE", picture))
    (told,) = caught.value.diagnostics
    assert told.code == "E0305"
    assert remedy in told.help[0]
