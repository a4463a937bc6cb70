"""What a result looks like elsewhere: in Arrow and Parquet, to vLLM's tools, in notebooks."""

import json
import math
import pickle
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tsdl
from tsdl.cli import main
from tsdl.runtime.columns import NAMES
from tsdl.runtime.files import write
from tsdl.runtime.parquet import UNITS
from tsdl.runtime.result import Result
from tsdl.runtime.tables import column_of
from tsdl.runtime.vllm import vllm_json

SMALL = """
workload few { requests = 60; arrivals = poisson(20 req/s); warmup = 200 ms
               prompt = uniform(10..900 tokens); output = uniform(1..60 tokens) }
slo quick { ttft <= 1 s }
policy noting from continuous { local { on finish(r, w) { record "done", r.generated / 1 token } } }
scenario small { model = llama2_7b; cluster = single(A100_80G); workload = few; slo = quick
                 expect p99(ttft) < 2 s; expect finished == 1 }
scenario noted from small { policy = noting }
workload long from few { prompt = constant(4096 tokens); requests = 3; warmup = 0 s }
scenario refused from small { workload = long }
scenario stopped from small { until = 1 s }
"""


def plan(scenario: str = "small") -> tsdl.Plan:
    return tsdl.compile(SMALL, scenario=scenario)


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "small.tsim"
    path.write_text(SMALL, encoding="utf-8")
    return str(path)


# -- Arrow and Parquet -----------------------------------------------------------------------------


def arrow() -> Any:  # noqa: ANN401 (pyarrow has no types)
    return pytest.importorskip("pyarrow.parquet", reason="needs pyarrow: pip install '.[parquet]'")


@pytest.mark.parametrize("scenario", ["noted", "refused"])
def test_parquet_holds_what_csv_does(scenario: str, tmp_path: Path) -> None:
    parquet = arrow()
    result = plan(scenario).run()
    write(result, tmp_path, "parquet")
    for name in ("requests", "timeseries", *(["records"] if scenario == "noted" else [])):
        columns = getattr(result, name)
        table = parquet.read_table(tmp_path / f"{name}.parquet")
        assert table.column_names == list(columns)
        for column in columns:
            found, wanted = table[column], columns[column]
            kind = {"f": "double", "i": "int64"}.get(wanted.dtype.kind, "string")
            assert str(found.type) == kind
            unit = (table.field(column).metadata or {}).get(b"unit", b"").decode()
            assert unit == UNITS.get(column, "")
            cells = [None if v != v else v for v in wanted.tolist()]  # noqa: PLR0124 (NaN)
            assert found.to_pylist() == cells
        about = {k.decode(): v.decode() for k, v in table.schema.metadata.items()}
        assert about == {"scenario": scenario, "plan": result.plan.hash, "seed": "0"}


def test_all_columns_with_a_unit_are_there() -> None:
    result = plan("noted").run()
    assert set(UNITS) <= {*NAMES, *result.timeseries, *result.records}


def test_parquet_of_many_rows_is_written_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = arrow()
    monkeypatch.setattr("tsdl.runtime.parquet._ROWS", 25)
    result = plan().run()
    write(result, tmp_path, "parquet")
    assert parquet.ParquetFile(tmp_path / "requests.parquet").num_row_groups == 3
    table = parquet.read_table(tmp_path / "requests.parquet")
    assert table["id"].to_pylist() == list(range(60))
    assert table.equals(result.to_arrow(), check_metadata=True)


def test_parquet_is_the_same_bytes(tmp_path: Path) -> None:
    arrow()
    for name in ("one", "two"):
        write(plan().run(), tmp_path / name, "parquet")
    files = sorted(p.name for p in (tmp_path / "one").iterdir())
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_folder_has_the_tables_of_one_run(file: str, tmp_path: Path) -> None:
    arrow()
    folder = tmp_path / "out"
    common = ["plan.json", "summary.json", "summary.vllm.json"]

    def names(scenario: str, *options: str) -> list[str]:
        main(["run", file, "--scenario", scenario, "--out", str(folder), *options])
        return sorted(path.name for path in folder.iterdir())

    tables = ["records.csv", "requests.csv", "timeseries.csv"]
    assert names("noted") == sorted([*common, *tables])
    tables = ["requests.parquet", "timeseries.parquet"]
    assert names("small", "--table-format", "parquet") == sorted([*common, *tables])


def test_arrow_goes_to_pandas_as_the_result_does() -> None:
    arrow()
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install '.[pandas]'")
    result = plan("stopped").run()
    pandas.testing.assert_frame_equal(
        result.to_arrow().to_pandas(), result.to_pandas(), check_dtype=False
    )


def test_without_pyarrow_the_extra_is_named(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    folder = tmp_path / "out"
    arguments = ["run", file, "--scenario", "small", "--out", str(folder)]
    assert main([*arguments, "--table-format", "parquet"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "tsdl: Arrow and Parquet need pyarrow: pip install 'tsdl[parquet]'\n"
    assert not folder.exists()
    with pytest.raises(ImportError, match=r"tsdl\[parquet\]"):
        plan().run().to_arrow()


def test_a_format_is_of_files_that_are_written(
    file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", file, "--scenario", "small", "--table-format", "parquet"]) == 2
    assert "add --out DIR" in capsys.readouterr().err


def test_nothing_of_it_is_loaded_where_nobody_asks(file: str) -> None:
    script = (
        "import sys; from tsdl.cli import main; "
        f"main(['run', {file!r}, '--scenario', 'small']); "
        "print([m for m in ('pyarrow', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"


# -- data frames -----------------------------------------------------------------------------------

TABLES = ("requests", "timeseries", "records")


def as_lists(column: Any) -> list[Any]:  # noqa: ANN401
    """Return cells of a column of any library, None for what there is not."""
    cells = column.to_pylist() if hasattr(column, "to_pylist") else column.tolist()
    return [None if cell != cell else cell for cell in cells]  # noqa: PLR0124 (NaN)


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, 2], "i"),
        ([2**63 - 1, -(2**63)], "i"),
        ([2**63, 1], "f"),  # which no int64 holds
        ([1, None], "f"),
        ([], "f"),
        ([True, False], "b"),
        ([True, 1], "U"),
    ],
)
def test_cells_become_a_column(cells: list[object], kind: str) -> None:
    column = column_of(cells)
    assert column.dtype.kind == kind
    if kind != "U":
        assert as_lists(column) == cells


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    ("library", "make"), [("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "table")]
)
def test_a_table_becomes_a_data_frame(library: str, make: str, table: str) -> None:
    """By nothing but the constructor that people try first."""
    module = pytest.importorskip(library, reason=f"needs {library}")
    found = getattr(plan("stopped" if table != "records" else "noted").run(), table)
    frame = getattr(module, make)(found)
    assert frame.shape == (len(next(iter(found.values()))), len(found))
    assert min(frame.shape) > 0
    for name, column in found.items():
        cells = frame[name].to_numpy() if library == "polars" else frame[name]
        assert as_lists(cells) == as_lists(column)


def test_the_stream_of_arrow_has_nulls_and_units() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow: pip install '.[parquet]'")
    result = plan("stopped").run()
    table = pyarrow.RecordBatchReader.from_stream(result.requests).read_all()
    assert table.equals(result.to_arrow(), check_metadata=True)
    assert table["e2e"].null_count == np.isnan(result.requests["e2e"]).sum() > 0
    assert table.schema.field("ttft").metadata == {b"unit": b"s"}
    assert table.schema.metadata[b"plan"].decode() == result.plan.hash
    assert result.requests.units["prompt"] == "token"


def test_a_study_becomes_a_data_frame() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install '.[pandas]'")
    text = """
study s {
  scenario = small; replicate 2
  vary n in [20, 30]; vary k in [0.5, 2] s
  where n == 20 or k == 2 s
  table throughput, p99(ttft)
  pareto by throughput, p99(ttft)
}
param n: int = 60
param k = 1 s
"""
    answer = tsdl.study(
        SMALL.replace("requests = 60", "requests = n").replace("small {", "small { until = k;", 1)
        + text, jobs=1,
    )  # fmt: skip
    assert answer.rows, answer
    frame = pandas.DataFrame(answer.table)
    names = ["throughput", "throughput ±", "p99(ttft)", "p99(ttft) ±"]
    assert list(frame) == ["n", "k", "status", *names, "pareto"]
    assert [str(kind) for kind in frame.dtypes if str(kind) != "str"][:1] == ["int64"]
    assert frame["pareto"].dtype == bool
    for row, (_, line) in zip(answer.rows, frame.iterrows(), strict=True):
        assert [line["n"], line["k"], line["status"]] == [*row.cells.values(), row.status]
        for name in ("throughput", "p99(ttft)"):
            figure = row.figures[name]
            np.testing.assert_equal(line[name], figure.mean)
            np.testing.assert_equal(line[f"{name} ±"], figure.half_width)
    assert answer.table.units == {
        "k": "s", "throughput": "req/s", "throughput ±": "req/s",
        "p99(ttft)": "s", "p99(ttft) ±": "s",
    }  # fmt: skip
    arrow()
    assert answer.to_arrow().schema.field("k").metadata == {b"unit": b"s"}


# -- vLLM ------------------------------------------------------------------------------------------

# Of vllm/benchmarks/serve.py: what `benchmark` returns for text generation, and `main_async` adds.
TOTALS = {
    "duration", "completed", "failed", "total_input_tokens", "total_output_tokens",
    "request_throughput", "request_goodput", "output_throughput", "total_token_throughput",
}  # fmt: skip
LISTS = ("input_lens", "output_lens", "ttfts", "itls", "start_times", "generated_texts", "errors")
STATISTICS = {
    f"{what}_{metric}_ms"
    for what in ("mean", "median", "std", "p50", "p90", "p99")
    for metric in ("ttft", "tpot", "itl", "e2el")
}


def as_vllm(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(vllm_json(result))
    return found


def test_vllm_names_and_figures() -> None:
    result = plan().run()
    found = as_vllm(result)
    assert found.keys() >= TOTALS | STATISTICS
    assert not found.keys() & set(LISTS)
    summary, totals = result.summary, result.totals
    assert found["completed"] == summary["requests"]["finished"] < 60
    assert found["duration"] == summary["makespan"]
    assert found["request_throughput"] == summary["throughput"]
    assert found["output_throughput"] == pytest.approx(summary["token_throughput"])
    assert found["request_goodput"] == totals["goodput"]
    assert found["request_rate"] == 20
    assert found["burstiness"] == 1
    for theirs, ours in (("ttft", "ttft"), ("tpot", "tpot"), ("itl", "itl"), ("e2el", "e2e")):
        for what, name in (("mean", "mean"), ("median", "p50"), ("p90", "p90"), ("p99", "p99")):
            assert found[f"{what}_{theirs}_ms"] == summary["latency"][ours][name] * 1e3


def test_vllm_figures_are_those_that_vllm_would_compute_from_the_lists() -> None:
    """As `calculate_metrics` does: from lengths, first tokens and gaps alone."""
    found = as_vllm(plan().run(tokens=True))
    ttfts, gaps = found["ttfts"], found["itls"]
    tpots = [
        math.fsum(g) / (n - 1) for g, n in zip(gaps, found["output_lens"], strict=True) if n > 1
    ]
    wanted = {
        "ttft": ttfts,
        "tpot": tpots,
        "itl": [gap for each in gaps for gap in each],
        "e2el": [t + math.fsum(g) for t, g in zip(ttfts, gaps, strict=True)],
    }
    for name, values in wanted.items():
        figures = {"mean": np.mean(values), "median": np.median(values), "std": np.std(values)}
        figures |= {f"p{p}": np.percentile(values, p) for p in (50, 90, 99)}
        for what, value in figures.items():
            assert found[f"{what}_{name}_ms"] == pytest.approx(value * 1e3, rel=1e-9)
    assert found["total_output_tokens"] == sum(found["output_lens"])
    assert found["total_input_tokens"] == sum(found["input_lens"])
    assert [len(each) for each in gaps] == [n - 1 for n in found["output_lens"]]


@pytest.mark.parametrize("scenario", ["refused", "stopped"])
def test_vllm_has_who_failed(scenario: str) -> None:
    result = plan(scenario).run(tokens=True)
    found = as_vllm(result)
    failed = [n for n, error in enumerate(found["errors"]) if error]
    assert len(failed) == found["failed"] > 0
    assert found["completed"] + found["failed"] == found["num_prompts"] == len(found["errors"])
    for number in failed:
        assert found["output_lens"][number] == found["ttfts"][number] == 0
        assert found["itls"][number] == []
    if scenario == "refused":
        assert set(found["errors"]) == {"rejected"}
        assert found["mean_ttft_ms"] is None


@pytest.mark.parametrize(
    ("arrivals", "wanted"),
    [
        ("poisson(3 req/s)", (3, 1)),
        ("gamma(3 req/s, cv = 2)", (3, 0.25)),
        ("burst()", ("inf", 1)),
        ("uniform(3 req/s)", (None, None)),
    ],
)
def test_vllm_says_what_traffic_there_was(arrivals: str, wanted: tuple[object, object]) -> None:
    text = SMALL.replace("poisson(20 req/s)", arrivals)
    found = as_vllm(tsdl.compile(text, scenario="small").run())
    assert (found.get("request_rate"), found.get("burstiness")) == wanted


def test_vllm_round_trip(file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What we write as vLLM does is read as a run of vLLM, and found to be the same."""
    arguments = ["run", file, "--scenario", "small", "--format", "vllm"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 3  # an `expect` does not hold
    text = capsys.readouterr().out
    assert (tmp_path / "out" / "summary.vllm.json").read_text("utf-8") == text
    path = tmp_path / "run.json"
    path.write_text(text, encoding="utf-8")
    run = tsdl.read_run(path)
    result = plan().run()
    counted = result.requests["arrived"] >= 0.2
    assert [r.ttft for r in run.requests] == result.requests["ttft"][counted].tolist()
    assert [r.e2e for r in run.requests] == pytest.approx(result.requests["e2e"][counted].tolist())
    assert [r.arrived for r in run.requests] == pytest.approx(
        (result.requests["arrived"][counted] - result.requests["arrived"][counted][0]).tolist()
    )
    found = tsdl.validate(plan(), run, after=0.0)
    assert not found.same  # it has none of the warm-up
    whole = SMALL.replace("warmup = 200 ms", "warmup = 0 s")
    source = tmp_path / "whole.tsim"
    source.write_text(whole, encoding="utf-8")
    main(["run", str(source), "--scenario", "small", "--format", "vllm"])
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    found = tsdl.validate(tsdl.compile(whole, scenario="small"), path)
    assert found.same
    assert all(abs(row.error) < 1e-9 for row in found.rows)
    assert all(agreement.mean_error < 1e-9 for agreement in found.agreements)


# -- notebooks -------------------------------------------------------------------------------------


class Table(HTMLParser):
    """The text of each cell; fails on what is closed wrongly, or is no part of a table."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: D102
        assert tag in ("table", "caption", "b", "tr", "th", "td")
        self.open.append(tag)
        if tag in ("b", "th", "td"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:  # noqa: D102
        if self.open and self.open[-1] in ("b", "th", "td"):
            self.cells[-1] += data


def cells_of(text: str) -> list[str]:
    table = Table()
    table.feed(text)
    table.close()
    assert not table.open
    return table.cells


def test_a_result_shows_itself() -> None:
    result = plan().run(seed=3)
    assert repr(result).startswith("<Result of small, seed 3: 5")
    assert repr(result).endswith(" s, FAILED>")
    assert repr(plan("refused").run()) == "<Result of refused, seed 0: 0 finished of 3, FAILED>"
    cells = cells_of(result._repr_html_())
    assert cells[0] == "small: llama2_7b under continuous, seed 3"
    assert "p99(ttft) < 2 s" in cells
    assert cells.count("expect ✓") == cells.count("expect ✗") == 1


def test_a_plan_shows_itself() -> None:
    shown = plan()
    wanted = "<Plan of small: llama2_7b under continuous on A100_80G, hash "
    assert repr(shown) == f"{wanted}{shown.hash[:12]}>"
    assert repr(pickle.loads(pickle.dumps(shown))) == repr(shown)
    cells = cells_of(shown._repr_html_())
    assert cells[0] == "plan small"
    assert {"llama2_7b", "continuous", "A100_80G", "few, 60 requests", shown.hash} <= set(cells)


@pytest.mark.parametrize("of_plan", [False, True])
def test_text_from_a_file_is_text_in_a_notebook(of_plan: bool) -> None:
    """A plan may come from anywhere, with any name."""
    name = '<img src=x onerror="alert(1)">&amp;'
    data = json.loads(plan().to_json())
    data["scenario"] = data["policy"] = data["workers"][0]["model"]["name"] = data["workload"][
        "name"
    ] = name
    for condition in (*data["slo"], *data["expects"]):
        condition["text"] = name
    made = tsdl.Plan.from_json(json.dumps(data))
    text = made._repr_html_() if of_plan else made.run()._repr_html_()
    assert "<img" not in text
    assert any(name in cell for cell in cells_of(text))
