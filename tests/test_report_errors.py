"""What is said where no report comes about: wrong usage, no extra, damaged results."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reported import needs_drawing, results_in
from tsdl.cli import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_in(tmp_path_factory.mktemp("results"))


# -- wrong usage -------------------------------------------------------------------------------


def test_charts_and_files_are_named_rightly(results: Path, tmp_path: Path, capsys: Capture) -> None:
    pair = str(results / "pair")
    assert main(["plot", pair, "--name", "memori", "-o", str(tmp_path / "a.svg")]) == 2
    assert "there is no chart 'memori'; there are latency, throughput" in capsys.readouterr().err
    assert main(["plot", pair, "-o", str(tmp_path / "a.gif")]) == 2
    assert "a picture is one of .svg, .png, not 'a.gif'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["vl_convert", "jinja2"])
def test_without_the_extra_it_is_named(
    module: str, results: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["report", str(results / "pair"), "-o", str(tmp_path / "report.html")]) == 2
    assert "pip install 'tsdl[report]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# -- damaged results ---------------------------------------------------------------------------

DAMAGE = {
    "no summary": ("summary.json", None, "No such file"),
    "no JSON": ("summary.json", "{", "Expecting"),
    "an infinite number": ("summary.json", '{"makespan": Infinity}', "Infinity is no number"),
    "a list": ("summary.json", "[]", "`the file` is not what stands there"),
    "a member is missing": ("summary.json", '{"scenario": "x"}', "`plan` is missing"),
    "a member is another": ("summary.json", '{"scenario": 1}', "`scenario` is not what"),
    "too large": ("summary.json", '{"scenario": "x", "plan": "", "seed": 1' + "0" * 400 + "}",
                  "`seed` is no number that can be computed with"),
    "no plan": ("plan.json", "{}", "this is not a plan"),
    "another column": ("requests.csv", "id,arrived\n", "no column `prompt`"),
    "a short row": ("timeseries.csv", "time,worker,queued,running,kv_used\n1,0\n", "too few cells"),
    "no number": ("timeseries.csv", "time,worker,queued,running,kv_used\n1,0,x,0,0\n", "'x'"),
    "who is worker 9": ("timeseries.csv", "time,worker,queued,running,kv_used\n1,9,0,0,0\n",
                        "workers that summary.json does not have"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_results_are_told(
    case: str, results: Path, tmp_path: Path, capsys: Capture
) -> None:
    name, text, reason = DAMAGE[case]
    for file in (results / "pair").iterdir():
        if file.name != name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
        elif text is not None:
            (tmp_path / name).write_text(text, "utf-8")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error[E0704]: ")
    assert reason in said
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "pie"},
        {"shown": []},
        {"rows": [{"point": {}, "channels": {}}]},
        {"channels": {}},
        {"rows": [{"point": {}, "channels": {}, "values": "", "half_widths": []}]},
        {"rows": [{"point": {}, "channels": {}, "values": [[]], "half_widths": [1]}]},
        {"rows": [{"point": {}, "channels": {}, "values": ["<b>"], "half_widths": [1]}]},
    ],
    ids=str,
)
def test_a_picture_that_cannot_be_drawn_is_told(
    change: dict[str, Any], results: Path, tmp_path: Path, capsys: Capture
) -> None:
    needs_drawing()
    study = json.loads((results / "load" / "study.json").read_text("utf-8"))
    study["pictures"][0] |= change
    (tmp_path / "study.json").write_text(json.dumps(study), "utf-8")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error[E0704]: ")
    assert "picture" in said
