"""TSDL from Python: compile, plan, run, errors as data."""

import inspect
import json
import multiprocessing
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tsdl
from tsdl.cli import main
from tsdl.plan import FORMAT
from tsdl.runtime.files import write

ROOT = Path(__file__).resolve().parents[1]
TEXT = """
param qps = 4 req/s
param n: int = 50
param device: hardware = A100_80G
workload w from sharegpt(qps) { requests = n }
scenario small { model = llama2_7b; cluster = single(device); workload = w }
scenario other { model = llama2_13b; cluster = single(device); workload = w }
"""


def test_a_text_and_a_file_compile_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.tsim"
    path.write_text(TEXT, encoding="utf-8")
    assert tsdl.compile(path, scenario="small").hash == tsdl.compile(TEXT, scenario="small").hash


def test_params_are_set_by_value_or_text() -> None:
    plan = tsdl.compile(TEXT, {"n": 7, "qps": "2 req/s", "device": "H100_SXM"}, "small")
    assert plan.workload.requests == 7
    assert plan.workers[0].hardware == "H100_SXM"
    assert plan.hash != tsdl.compile(TEXT, scenario="small").hash


def test_a_plan_runs_to_numpy_columns() -> None:
    result = tsdl.compile(TEXT, scenario="small").run(seed=3)
    assert len(result.requests["ttft"]) == 50
    assert result.requests["ttft"].dtype == np.float64
    assert (result.requests["e2e"] >= result.requests["ttft"]).all()
    assert result.summary["requests"]["finished"] == 50
    assert result.summary["seed"] == 3


def test_pandas_when_asked() -> None:
    frame = tsdl.compile(TEXT, {"n": 5}, "small").run().to_pandas()
    assert list(frame["id"]) == [0, 1, 2, 3, 4]


def test_the_names_of_the_package_are_those_for_everybody() -> None:
    names = dir(tsdl)
    assert {"Answer", "Plan", "Result", "Run", "Table", "compile", "study", "TsdlError"} <= {*names}
    assert not [name for name in names if inspect.ismodule(getattr(tsdl, name))]
    assert {*tsdl._RETURNED} < {*tsdl.__all__}
    there: dict[str, object] = {}
    exec("from tsdl import *", there)
    assert there["Result"] is tsdl.Result


def test_a_plan_is_a_value() -> None:
    plan = tsdl.compile(TEXT, scenario="small")
    again = tsdl.Plan.from_json(plan.to_json())
    assert again == plan
    assert isinstance(again, tsdl.Plan)
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert again.run().summary == plan.run().summary


def test_comments_do_not_change_the_hash() -> None:
    commented = TEXT.replace("scenario small", "## What it is.\nscenario small")
    one, other = tsdl.compile(commented, scenario="small"), tsdl.compile(TEXT, scenario="small")
    assert one.hash == other.hash
    assert one.docs != other.docs


@pytest.mark.parametrize(
    ("source", "params", "scenario", "code"),
    [
        (TEXT, {}, None, "E0506"),
        (TEXT, {}, "nope", "E0506"),
        (TEXT, {"m": 1}, "small", "E0507"),
        (TEXT, {3: 1}, "small", "E0507"),
        (TEXT, {"n": "two"}, "small", "E0201"),
        (TEXT, {"qps": 4}, "small", "E0301"),
        (TEXT, {"n": -1}, "small", "E0503"),
        ("scenario {", {}, None, "E0102"),
        (Path("nowhere.tsim"), {}, None, "E0109"),
    ],
)
def test_errors_carry_diagnostics(
    source: str | Path, params: dict[str, object], scenario: str | None, code: str
) -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(source, params, scenario)
    assert [d.code for d in caught.value.diagnostics] == [code]
    assert code in str(caught.value)


@pytest.mark.parametrize("text", ["not json", "{}", "[]", '{"format": 119}', '{"format": 1}'])
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"plan|Expecting"):
        tsdl.Plan.from_json(text)


def test_a_plan_of_another_format_is_refused_in_words() -> None:
    data = json.loads(tsdl.compile(TEXT, scenario="small").to_json())
    with pytest.raises(ValueError, match=r"not a plan of format \d+, .* but of 3: compile"):
        tsdl.Plan.from_json(json.dumps(data | {"format": 3}))


def test_a_plan_that_was_read_is_handed_its_python_anew() -> None:
    own = 'policy own from continuous { extern = "first" }\n'
    text = own + TEXT.replace("workload = w }", "workload = w; policy = own }")

    def first(request: object, workers: list[object]) -> object:
        return workers[0]

    plan = tsdl.compile(text, scenario="small", externs={"first": first})
    again = tsdl.Plan.from_json(plan.to_json())
    with pytest.raises(tsdl.TsdlError) as caught:
        again.run()
    assert '`plan.with_externs({"first": function})`' in caught.value.diagnostics[0].help[0]
    assert again.with_externs({"first": first}).run().summary == plan.run().summary


# -- folders -----------------------------------------------------------------------------------


def test_a_result_is_written_as_the_command_does(tmp_path: Path) -> None:
    (tmp_path / "p.tsim").write_text(TEXT, encoding="utf-8")
    theirs, ours = tmp_path / "theirs", tmp_path / "a" / "ours"
    command = ["run", str(tmp_path / "p.tsim"), "--scenario", "small", "--seed", "3"]
    assert main([*command, "--out", str(theirs)]) == 0
    result = tsdl.compile(tmp_path / "p.tsim", scenario="small").run(3)
    result.write(str(ours))
    assert files_in(ours) == files_in(theirs)
    with pytest.raises(ValueError, match="there is no format 'xlsx' of tables; there are csv, par"):
        result.write(ours, table_format="xlsx")


def test_an_answer_is_written_as_the_command_does(tmp_path: Path) -> None:
    (tmp_path / "p.tsim").write_text(
        TEXT + "study s { scenario = small; vary qps in [2, 4] req/s; table p99(ttft) }", "utf-8"
    )
    theirs, ours = tmp_path / "theirs", tmp_path / "a" / "ours"
    command = ["run", str(tmp_path / "p.tsim"), "--study", "s", "--jobs", "1"]
    assert main([*command, "--store", str(tmp_path / "s"), "--out", str(theirs)]) == 0
    answer = tsdl.study(tmp_path / "p.tsim", "s", jobs=1)
    answer.write(ours)
    assert files_in(ours) == files_in(theirs)
    assert main(["report", str(ours), "-o", str(tmp_path / "r.html")]) == 0


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_columns_of_a_result_are_read_only() -> None:
    """Its summary was computed of them."""
    result = tsdl.compile(TEXT, {"n": 5}, "small").run()
    again = pickle.loads(pickle.dumps(result))
    tables = [each.requests for each in (result, again)]
    tables += [result.timeseries, again.timeseries, pickle.loads(pickle.dumps(result.requests))]
    for table in tables:
        with pytest.raises(ValueError, match="read-only"):
            next(iter(table.values()))[0] = 7
    with pytest.raises(ValueError, match="read-only"):
        result.columns["ttft"][0] = 7
    own = result.requests["ttft"].copy()
    own[0] = 7
    frame = result.to_pandas()
    frame.loc[0, "ttft"] = 7.0
    assert result.requests["ttft"][0] < 7


# -- pickles -----------------------------------------------------------------------------------


def test_a_pickle_of_another_format_is_refused_in_words() -> None:
    plan = tsdl.compile(TEXT, scenario="small")
    other = pickle.dumps(plan, protocol=0).replace(b'"format": %d' % FORMAT, b'"format": 3')
    with pytest.raises(ValueError, match=r"not a plan of format .* but of 3: compile"):
        pickle.loads(other)


def test_a_plan_runs_elsewhere_to_the_same_bytes(tmp_path: Path) -> None:
    """In a process that is started anew, as on another machine."""
    plan = tsdl.compile(TEXT, {"n": 20}, "small")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        there = pool.apply(plan.run, (5,))
    here = plan.run(5)
    for result, folder in ((here, tmp_path / "here"), (there, tmp_path / "there")):
        write(result, folder)
    names = {path.name for path in (tmp_path / "here").iterdir()}
    assert names >= {"summary.json", "plan.json", "requests.csv", "timeseries.csv"}
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()


def test_a_watched_result_can_be_pickled(tmp_path: Path) -> None:
    result = tsdl.compile(TEXT, {"n": 5}, "small").run(trace=True, tokens=True)
    again = pickle.loads(pickle.dumps(result))
    assert result.tokens is not None
    for one, other in zip(again.tokens, result.tokens, strict=True):
        assert (one == other).all()
    first = result.tokens.time[result.tokens.request == 3]  # columns of numpy, as all others
    assert len(first) == result.requests["output"][3]
    result.write_trace(tmp_path / "one.json")
    again.write_trace(tmp_path / "other.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


# -- files in memory, and folders that are allowed ---------------------------------------------

MAIN = """
import "lib/gpus.tsim" as gpus
workload own { trace = "lib/trace.csv" }
scenario s { model = llama2_7b; cluster = single(gpus.mine); workload = own }
"""
FILES = {
    "lib/gpus.tsim": 'import "../lib/more.tsim"\nhardware mine from base {}',
    "lib/more.tsim": "hardware base from A100_80G { memory.bandwidth = 3 TB/s }",
    "lib/trace.csv": "arrived_at,num_prefill_tokens,num_decode_tokens\n0,4,5\n",
}


def test_files_can_be_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = tsdl.compile(MAIN, files=FILES)
    assert plan.workers[0].hardware == "mine"
    assert plan.run().summary["requests"]["finished"] == 1
    assert tsdl.check(MAIN, files=FILES) == []
    path = tmp_path / "main.tsim"
    path.write_text(MAIN, encoding="utf-8")
    assert tsdl.compile(path, files=FILES).hash == plan.hash  # its names are relative to the file
    question = "study q { scenario = s; table throughput }"
    assert tsdl.study(MAIN + question, files=FILES, jobs=1).complete
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert tsdl.compile(path).hash == plan.hash
    other = FILES | {"lib/more.tsim": "hardware base from H100_SXM {}"}
    assert tsdl.compile(path, files=other).hash != plan.hash  # they win over files


def test_a_mistake_in_memory_has_its_place() -> None:
    wrong = FILES | {"lib/more.tsim": "hardware base from A100_80G {\n  memory.capacity = 3 s }"}
    with pytest.raises(tsdl.TsdlError, match=r"lib/more\.tsim:2:21"):
        tsdl.compile(MAIN, files=wrong)


def test_only_allowed_folders_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "program").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "program")
    (tmp_path / "data" / "trace.csv").write_text(FILES["lib/trace.csv"])
    text = MAIN.replace("lib/trace.csv", "../data/trace.csv")
    path = tmp_path / "program" / "main.tsim"
    path.write_text(text)
    memory = {name: text for name, text in FILES.items() if name.endswith(".tsim")}

    def codes(source: str | Path, *allow: Path) -> list[str]:
        return [d.code for d in tsdl.check(source, files=memory, allow=allow)]

    assert [d.code for d in tsdl.check(path, files=memory)] == []
    for source in (path, text):
        assert codes(source) == ["E0604"]
        assert codes(source, tmp_path / "data") == []
    (tmp_path / "program" / "own.csv").write_text(FILES["lib/trace.csv"])
    own = MAIN.replace("lib/trace.csv", "own.csv")
    path.write_text(own)
    assert codes(path) == []
    assert codes(own) == ["E0604"]  # a text has no folder of its own


# -- what is told of it ------------------------------------------------------------------------

PUBLIC = [*(name for name in vars(tsdl) if name[0] != "_"), *tsdl._RETURNED]


def documented() -> Iterator[tuple[str, object]]:
    for name in PUBLIC:
        found = getattr(tsdl, name)
        if inspect.ismodule(found):
            continue
        yield name, found
        if inspect.isclass(found):
            for member, value in vars(found).items():
                if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                    yield f"{name}.{member}", value


@pytest.mark.parametrize("name", [name for name, _ in documented()])
def test_what_is_public_is_told_of(name: str) -> None:
    found = dict(documented())[name]
    assert inspect.getdoc(found), name
    if inspect.isfunction(found):
        hints = inspect.get_annotations(found)
        assert set(hints) >= {*inspect.signature(found).parameters, "return"} - {"self", "cls"}


def test_a_program_that_uses_it_type_checks() -> None:
    """As `.ci/run` sees it with the wheel alone, too: strictly, by the types of the package."""
    api = pytest.importorskip("mypy.api", reason="needs mypy: pip install -e '.[dev]'")
    told, _, status = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"),
         str(ROOT / "tests" / "user_program.py")]
    )  # fmt: skip
    assert status == 0, told


def test_a_param_that_is_called_as_a_clause_is_given_a_value() -> None:
    text = """param where = 4 req/s
workload w { requests = 2; arrivals = uniform(where)
  prompt = constant(10 tokens); output = constant(2 tokens) }
scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w }
"""
    arrived = tsdl.compile(text, params={"where": "2 req/s"}).run().requests["arrived"]
    assert arrived.tolist()[1] - arrived.tolist()[0] == 0.5
