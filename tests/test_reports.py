"""Reports and pictures: charts as data, pages that are whole and safe, files for papers."""

import json
import math
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import tsdl
from tests.browser import open_page
from tests.test_cli import start
from tsdl.cli import main
from tsdl.reports import charts_of, marks, read, series
from tsdl.reports.results import Run
from tsdl.reports.studycharts import _legend, _scaled, study_charts
from tsdl.reports.workercharts import worker_charts
from tsdl.studies.figures import interval, limits

Capture = pytest.CaptureFixture[str]

MOST_BYTES = 6_000_000
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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the results `pair` of a scenario, and of studies."""
    folder = tmp_path_factory.mktemp("results")
    file = folder / "main.tsim"
    file.write_text(PROGRAM, "utf-8")
    assert main(["run", str(file), "--scenario", "pair", "--out", str(folder / "pair")]) == 0
    store = str(folder / "runs.sqlite")
    for name, status in (("load", 3), ("bare", 0), ("most", 0)):
        out = str(folder / name)
        given = ["--study", name, "--store", store, "--jobs", "1", "--out", out]
        assert main(["run", str(file), *given]) == status
    return folder


@pytest.fixture(scope="module")
def hostile(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the same results, in which all words are markup, and folders are called so."""
    folder = tmp_path_factory.mktemp("hostile")
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


class Tags(HTMLParser):
    """The elements of a page, their attributes, and all text."""

    def __init__(self, page: str) -> None:
        """Read a page."""
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def report(folder: Path, *names: str) -> str:
    """Return the page about some results."""
    pytest.importorskip("vl_convert", reason="needs vl-convert-python: pip install -e '.[report]'")
    page = folder / "report.html"
    assert main(["report", *(str(folder / name) for name in names), "-o", str(page)]) == 0
    return page.read_text("utf-8")


def specs(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_parquet_is_read_as_csv_is(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow: pip install -e '.[parquet]'")
    file = str(results / "main.tsim")
    given = ["--scenario", "pair", "--table-format", "parquet", "--out", str(tmp_path / "pair")]
    assert main(["run", file, *given]) == 0
    assert not (tmp_path / "pair" / "requests.csv").exists()
    one, other = run_of(results / "pair"), run_of(tmp_path / "pair")
    assert one.finished.tolist() == other.finished.tolist()
    for columns, others in ((one.requests, other.requests), (one.samples, other.samples)):
        assert columns.keys() == others.keys()
        assert all(np.array_equal(columns[n], others[n], equal_nan=True) for n in columns)


# -- what is shown -----------------------------------------------------------------------------


def run_of(folder: Path) -> Run:
    (found,) = read([str(folder)])
    assert isinstance(found, Run)
    return found


def test_a_distribution_is_that_of_the_values() -> None:
    values = np.append(np.arange(1001.0), math.nan)
    found, shares = series.distribution(values)
    assert (found[0], found[-1], shares[0], shares[-1]) == (0.0, 1000.0, 0.0, 1.0)
    assert found == pytest.approx([1000 * share for share in shares])
    assert series.distribution(np.array([math.nan])) == ([], [])


def test_what_is_noted_is_held_until_the_next_note(results: Path) -> None:
    run = run_of(results / "pair")
    columns = {
        "time": np.array([0.0, 0.0, 1.0, 3.0]),
        "worker": np.array([0.0, 1.0, 0.0, 0.0]),
        "running": np.array([4.0, 2.0, 8.0, 0.0]),
    }
    changed = Run("", run.summary, run.plan, run.requests, run.finished, columns)
    assert series.held(changed, "running", [0.0, 2.0, 4.0]) == [[6.0, 4.0], [2.0, 2.0]]


def test_the_share_that_met_the_slo_is_that_of_the_summary(results: Path) -> None:
    run = run_of(results / "pair")
    met = np.logical_and.reduce([series.met(run, c) for c in run.plan.slo])
    counted = series.counted(run)
    assert 0 < counted.sum() < len(counted)  # the warm-up is not
    assert met[counted].mean() == run.summary["attainment"]


def test_charts_of_a_run(results: Path) -> None:
    charts = {chart.name: chart for chart in charts_of(read([str(results / "pair")]))}
    assert list(charts) == [
        "latency", "throughput", "attainment", "memory", "batch-map", "kv", "batch", "queue",
    ]  # fmt: skip
    cells = charts["memory"].panels[0].spec["data"]["values"]
    assert {cell["y"] for cell in cells} == {"0 gpu", "1 gpu"}
    assert 0 < max(cell["v"] for cell in cells) < 1
    assert [row[0] for row in charts["latency"].table.rows][:2] == ["TTFT (ms)", "TPOT (ms)"]


def test_results_are_compared_in_one_chart_with_one_scale(results: Path) -> None:
    twice = [str(results / "pair"), str(results / "load" / ".." / "pair")]
    found = read(twice)
    assert [result.name for result in found] == ["pair 1", "pair 2"]
    charts = {chart.name: chart for chart in charts_of(found)}
    values = charts["latency"].panels[0].spec["data"]["values"]
    assert {value["c"] for value in values} == {"pair 1", "pair 2"}
    first, second = (panel.spec["encoding"] for panel in charts["kv"].panels)
    assert first["y"]["scale"] == second["y"]["scale"]
    assert [panel.title for panel in charts["memory"].panels] == ["pair 1", "pair 2"]


def test_many_workers_are_taken_together(results: Path) -> None:
    run = run_of(results / "pair")
    workers = [{**run.summary["workers"][0], "id": number} for number in range(1000)]
    times = np.repeat(np.linspace(0, run.summary["end"], 50), 1000)
    numbers = np.tile(np.arange(1000.0), 50)
    columns = {"time": times, "worker": numbers}
    columns |= dict.fromkeys(("queued", "running", "kv_used"), numbers)
    summary = {**run.summary, "workers": workers}
    many = Run("many", summary, run.plan, run.requests, run.finished, columns)
    charts = {chart.name: chart for chart in worker_charts([many])}
    field = charts["batch-map"].panels[0].spec["data"]["values"]
    assert len({cell["y"] for cell in field}) <= 64
    assert len(field) <= 20_000
    lines = charts["batch"].panels[0].spec["data"]["values"]
    assert {(v["c"], v["y"]) for v in lines} == {("highest", 999), ("mean", 499.5), ("lowest", 0)}


def pictures(folder: Path) -> list[marks.Chart]:
    (found,) = read([str(folder)])
    assert not isinstance(found, Run)
    return list(study_charts(found, ""))


def test_pictures_of_a_study(results: Path) -> None:
    lines, bars, heat, points, cdf = pictures(results / "load")
    values = lines.panels[0].spec["data"]["values"]
    assert {v["c"] for v in values} == {
        f"{policy}, {what}"
        for policy in ("static", "continuous")
        for what in ("mean(e2e)", "p99(e2e)")
    }
    assert {v["x"] for v in values} == {2, 8}
    assert all(v["l"] <= v["y"] <= v["h"] for v in values)  # two seeds
    assert [panel.title for panel in bars.panels] == ["qps = 2 req/s", "qps = 8 req/s"]
    assert [v["y"] for v in bars.panels[0].spec["data"]["values"] if v["x"] == "static"] == [1]
    places = [(c["x"], c["y"]) for c in heat.panels[0].spec["data"]["values"]]
    assert places == [(x, y) for x in ("2 req/s", "8 req/s") for y in ("static", "continuous")]
    assert {v["c"] for v in points.panels[0].spec["data"]["values"]} == {"static", "continuous"}
    curve = [v for v in cdf.panels[1].spec["data"]["values"] if v["c"] == "continuous"]
    assert [v["y"] for v in curve] == pytest.approx([p / 100 for p in range(101)])
    assert [v["x"] for v in curve] == sorted(v["x"] for v in curve)


def test_a_distribution_of_a_study_is_that_of_its_runs(results: Path) -> None:
    study = json.loads((results / "load" / "study.json").read_text("utf-8"))
    (picture,) = (p for p in study["pictures"] if p["kind"] == "cdf")
    row = picture["rows"][-1]
    assert row["point"] == {"qps": 8, "scheduler": "continuous"}
    plan = tsdl.compile(PROGRAM, params={"qps": "8 req/s"}, scenario="one")
    assert study["rows"][-1]["runs"] == [{"plan": plan.hash, "seed": seed} for seed in (0, 1)]
    each = []
    for seed in (0, 1):
        metrics = plan.run(seed=seed).metrics
        each.append(np.percentile(np.asarray(metrics["e2e"]) / np.asarray(metrics["output"]), 90))
    assert row["percentiles"][0][90] == pytest.approx(sum(each) / 2, rel=1e-12)


def test_the_plan_and_what_is_said_of_a_search_are_in_the_page(results: Path) -> None:
    text = Tags(report(results, "most")).text
    assert text.count(", an end of the range") == 2
    plan = tsdl.compile(PROGRAM, params={"qps": "4 req/s", "scheduler": "static"}, scenario="one")
    assert f"The plan of the first row: {plan.hash}" in text
    assert json.loads((results / "most" / "plan.json").read_text("utf-8"))["scenario"] == "one"
    (drawn,) = pictures(results / "most")  # words are no scale
    assert [(v["x"], v["y"]) for v in drawn.panels[0].spec["data"]["values"]] == [
        ("static", 4), ("continuous", 4),
    ]  # fmt: skip


def test_without_pictures_the_table_is_drawn(results: Path) -> None:
    first, second = pictures(results / "bare")
    assert (first.title, second.title) == ("throughput over qps", "mean(e2e) over qps")
    assert [v["x"] for v in first.panels[0].spec["data"]["values"]] == [2, 8]


def test_names_are_told_apart_by_color_and_sign() -> None:
    names = tuple(map(str, range(20)))
    spec = marks.lines([], marks.Axis("x"), marks.Axis("y"), marks.Legend(names))
    shown = spec["layer"][0]["encoding"]
    looks = [
        (color, tuple(dash))
        for color, dash in zip(
            shown["color"]["scale"]["range"], shown["strokeDash"]["scale"]["range"], strict=True
        )
    ]
    assert len(set(looks)) == len(names)


def test_names_in_two_parts_have_color_by_the_one_and_dash_by_the_other() -> None:
    picture = {
        "kind": "lines",
        "shown": [{"text": "p99(ttft)", "unit": "s"}, {"text": "mean(ttft)", "unit": "s"}],
        "channels": {"x": {"text": "qps", "unit": ""}, "color": {"text": "policy", "unit": ""}},
        "rows": [
            {"point": {"qps": 2, "policy": policy}, "channels": {"x": 2, "color": policy}}
            for policy in ("a", "b", "c", "d")
        ],
        "scales": {},
        "rest": [],
    }
    legend = _legend(picture)
    assert legend.names[:2] == ("a, p99(ttft)", "a, mean(ttft)")
    spec = marks.lines([], marks.Axis("x"), marks.Axis("y"), legend, marked=True)
    line, sign = (layer["encoding"] for layer in spec["layer"])
    colors, dashes = (line[channel]["scale"]["range"] for channel in ("color", "strokeDash"))
    assert colors[::2] == colors[1::2] == list(marks.COLORS[:4])
    assert dashes == [*marks.DASHES[:2]] * 4
    assert line["color"]["legend"]["symbolType"] == "stroke"
    assert sign["shape"]["legend"] is None


def test_signs_differ_where_colors_are_used_up() -> None:
    names = tuple(map(str, range(25)))
    spec = marks.points([], marks.Axis("x"), marks.Axis("y"), marks.Legend(names))
    shown = spec["layer"][0]["encoding"]
    ranges = [shown[channel]["scale"]["range"] for channel in ("color", "shape")]
    assert len(set(zip(*ranges, strict=True))) == len(names)


def test_every_place_of_an_axis_is_named_where_there_is_room() -> None:
    for count, angle, thinned in ((4, -30, False), (20, -90, False), (40, -90, True)):
        x = marks.Axis("x", tuple(f"scheduler {i}" for i in range(count)))
        spec = marks.bars([], x, marks.Axis("y"), marks.Legend(("all",)))
        axis = spec["encoding"]["x"]["axis"]
        assert (axis["labelAngle"], axis["labelOverlap"]) == (angle, thinned)


def test_intervals_end_where_values_do() -> None:
    one = marks.Series("a", ["p", "q"], [0.95, 0.02], [0.1, 0.1], (0.0, 1.0))
    x = marks.Axis("x", ("p", "q"))
    spec = marks.bars([one], x, marks.Axis("y"), marks.Legend(("a",)))
    assert [(v["l"], v["h"]) for v in spec["data"]["values"]] == [(0.85, 1), (0, 0.12)]


@pytest.mark.parametrize(
    ("text", "high"),
    [
        ("attainment", 1),
        ("attainment[qps = 8]", 1),
        ("attainment * 2", math.inf),
        ("price", math.inf),
    ],
)
def test_shares_are_known_by_their_name(text: str, high: float) -> None:
    assert limits(text)[1] == high


def test_an_interval_that_goes_beyond_all_values_is_told_by_its_ends() -> None:
    assert interval("attainment", 0.9951, 0.014, 1.0) == "0.9951 (0.9811 to 1)"
    assert interval("attainment", 0.004, 0.014, 1.0) == "0.004 (0 to 0.018)"
    assert interval("attainment", 0.9, 0.014, 1.0) == "0.9 ± 0.014"
    assert interval("throughput", 0.9951, 0.014, 1.0) == "0.9951 ± 0.014"


def test_between_whole_numbers_an_axis_marks_none() -> None:
    def axis(*cells: float, unit: str = "") -> marks.Axis:
        rows = [{"channels": {"x": cell}} for cell in cells]
        channels = {"x": {"text": "gpus", "unit": unit}}
        return _scaled({"rows": rows, "channels": channels, "scales": {}}, "x")[1]

    assert axis(1, 2).whole
    assert axis(64, 128, unit="tokens").whole
    assert not axis(1, 1.5).whole
    assert not axis(1, 2, unit="req/s").whole
    places = marks.lines([], axis(1, 2), marks.Axis("y"), marks.Legend(("all",)))
    shown = json.dumps(places)
    assert shown.count('"tickMinStep": 1') == 1


def test_long_tables_are_shortened() -> None:
    table = marks.Table(("a", "b"), tuple((str(i), "") for i in range(1005)))
    assert table.shortened(1000).rows[-1] == ("… and 5 more", "")
    assert table.shortened(1005) == table


# -- the page ----------------------------------------------------------------------------------


def test_the_page_is_whole_and_small(results: Path) -> None:
    page = report(results, "pair", "load")
    assert len(page.encode()) < MOST_BYTES
    tags = Tags(page)
    assert tags.names.count("script") == 3
    assert not {"img", "iframe", "object"} & set(tags.names)
    assert all(value == "data:," for name, value in tags.attributes if name in ("src", "href")
               and not (value or "").startswith("#part-"))  # fmt: skip
    found = specs(page)
    places = {value for name, value in tags.attributes if name == "data-chart"}
    assert places == set(found)
    charts = charts_of(read([str(results / "pair"), str(results / "load")]))
    assert len(found) == sum(len(chart.panels) for chart in charts)
    assert all(spec["description"] for spec in found.values())
    for told in ("llama2_7b", "p99(ttft) <= 1 us", "Llama-2-7b", "plan "):
        assert told in tags.text
    assert report(results, "pair", "load") == page, "the same results, other bytes"


def test_a_page_of_much_is_small(results: Path, tmp_path: Path) -> None:
    """See that a study of 4,000 points makes no page that is too large."""
    study = json.loads((results / "load" / "study.json").read_text("utf-8"))
    study["rows"] *= 1000
    for picture in study["pictures"]:
        picture["rows"] *= 1000
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "study.json").write_text(json.dumps(study), "utf-8")
    assert len(report(tmp_path, "large").encode()) < MOST_BYTES


def test_all_that_came_from_a_file_is_escaped(hostile: Path) -> None:
    page = report(hostile, *(path.name for path in hostile.iterdir() if path.is_dir()))
    tags = Tags(page)
    assert tags.names.count("script") == 3
    assert not {"img", "b"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "Few. </script><img src=x onerror=alert(1)>" in tags.text  # as the file has it
    assert tags.text.count(HOSTILE) > 20
    for spec in specs(page).values():
        assert set(_keys(spec, "field")) <= set("cxyvlh") | {"x2"}


def _keys(value: Any, name: str) -> Iterator[Any]:  # noqa: ANN401
    """Yield what stands behind a name anywhere in a specification, but for its data."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name:
                yield item
            elif key != "data":
                yield from _keys(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, name)


@pytest.mark.parametrize(("whose", "width"), [("results", 1280), ("hostile", 500)])
def test_a_browser_draws_every_chart(
    whose: str, width: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(whose)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    page = report(folder, *names)
    opened = open_page(folder / "report.html", tmp_path, width)
    assert opened.console == []
    tags = Tags(opened.document)
    count = len(specs(page))
    assert f'data-drawn="{count}"' in opened.document
    assert tags.names.count("svg") >= count
    assert ("class", "error") not in tags.attributes
    assert not {"img", "b"} & set(tags.names)


def test_a_browser_tells_of_errors_and_of_what_a_page_would_fetch(tmp_path: Path) -> None:
    policy = """<meta http-equiv="Content-Security-Policy" content="default-src 'none';
      script-src 'unsafe-inline'">"""
    page = tmp_path / "page.html"
    page.write_text(f"{policy}<img src=https://a.invalid/b.png><script>throw 1</script>", "utf-8")
    said = "\n".join(open_page(page, tmp_path).console)
    assert "a.invalid" in said
    assert "Uncaught 1" in said


# -- pictures as files -------------------------------------------------------------------------


def test_plot_writes_svg_and_png(results: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="needs vl-convert-python: pip install -e '.[report]'")
    files = []
    for number in (1, 2):
        file = tmp_path / f"{number}.svg"
        # Each in a process of its own: within one, ids go on from picture to picture.
        start("plot", str(results / "pair"), "--name", "memory", "-o", str(file))
        files.append(file.read_text("utf-8"))
    assert files[0] == files[1]
    root = ElementTree.fromstring(files[0])
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "0 gpu" in files[0]
    assert "KV memory in use" in files[0]
    file = tmp_path / "all.png"
    given = [str(results / "pair"), str(results / "load")]
    assert main(["plot", *given, "-o", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_hostile_picture_is_text(hostile: Path, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="needs vl-convert-python: pip install -e '.[report]'")
    names = [str(path) for path in hostile.iterdir() if path.is_dir()]
    assert main(["plot", *names, "-o", str(tmp_path / "all.svg")]) == 0
    root = ElementTree.parse(tmp_path / "all.svg").getroot()
    known = {"svg", "g", "path", "text", "rect", "line", "defs", "clipPath", "linearGradient",
             "stop", "image", "title", "tspan"}  # fmt: skip
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= known


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
    pytest.importorskip("vl_convert", reason="needs vl-convert-python: pip install -e '.[report]'")
    study = json.loads((results / "load" / "study.json").read_text("utf-8"))
    study["pictures"][0] |= change
    (tmp_path / "study.json").write_text(json.dumps(study), "utf-8")
    assert main(["report", str(tmp_path), "-o", str(tmp_path / "report.html")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error[E0704]: ")
    assert "picture" in said
