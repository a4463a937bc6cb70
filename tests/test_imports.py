"""Configurations of other simulators become TSDL that reads well, and mistakes in them are told.

A case is a folder `imports/FORMAT/NAME/` with the files of a configuration, and in `flags.txt` the
flags of that simulator's command line, if any. Beside it, `NAME.tsim` is what comes out, and
`NAME.told` what is warned of, if anything.
"""

import json
import random
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import tsdl
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.diagnostics.text import render_all
from tsdl.imports import FORMATS, named_files
from tsdl.imports.library import identifier
from tsdl.parse import parse
from tsdl.session import Session
from tsdl.source import Source

HERE = Path(__file__).resolve().parent / "imports"
ROW = re.compile(r"^\| (.+?) \| (.+?) \| ?(.*?) ?\|$", re.MULTILINE)
DOCUMENT = HERE.parents[1] / "docs" / "tokensim.md"
CASES = sorted(folder for form in HERE.iterdir() for folder in form.iterdir() if folder.is_dir())


def errors(text: str, name: str = "probe.tsim") -> list[Diagnostic]:
    _, sink = Session(name, text).compile()
    found = [d for d in sink.sorted() if d.severity is Severity.ERROR]
    return [d for d in found if d.span is None or d.span.source.name == name]


def case(folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    files = sorted(f for f in folder.iterdir() if f.name != "flags.txt")
    flags = folder / "flags.txt"
    given = shlex.split(flags.read_text("utf-8")) if flags.is_file() else []
    return [(f.name, f.read_text("utf-8")) for f in files], given


def imported(
    form: str, files: list[tuple[str, str]], *flags: str
) -> tuple[str | None, list[Diagnostic]]:
    sink = Sink()
    text = FORMATS[form](files, flags, sink)
    assert (text is None) == sink.has_errors
    return text, sink.sorted()


def told(form: str, text: str, *flags: str, name: str = "given.yaml") -> list[tuple[str, str, str]]:
    _, found = imported(form, [(name, text)] if text else [], *flags)
    return [(d.code, d.title, d.span.text if d.span else "") for d in found]


@pytest.mark.parametrize("folder", CASES, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_case(folder: Path, golden: Callable[[Path, str], None]) -> None:
    files, flags = case(folder)
    text, found = imported(folder.parent.name, files, *flags)
    assert text is not None, render_all(found)
    golden(folder.with_suffix(".tsim"), text)
    told_before = folder.with_suffix(".told")
    if found or told_before.exists():
        golden(told_before, render_all(found) + "\n")


@pytest.mark.parametrize("folder", CASES, ids=lambda f: f"{f.parent.name}-{f.name}")
def test_what_comes_out_has_no_mistakes(folder: Path) -> None:
    files, flags = case(folder)
    text, _ = imported(folder.parent.name, files, *flags)
    assert text is not None
    sink = Sink()
    parse(Source("out.tsim", text), sink)
    assert not sink.found, render_all(sink.found)
    found = errors(text)
    assert not found, render_all(found)


def test_figure_2_is_short() -> None:
    text = (HERE / "tokensim" / "figure2.tsim").read_text("utf-8")
    assert text.count("\n") < 60


def test_figure_2_in_one_file_is_the_same() -> None:
    folder = HERE / "tokensim" / "figure2"
    files, _ = case(folder)
    wanted, _ = imported("tokensim", files)
    assert wanted is not None
    for text in ("\n".join(text for _, text in files), "\n---\n".join(text for _, text in files)):
        got, found = imported("tokensim", [("figure2.yaml", text)])
        assert got is not None, render_all(found)
        assert got.split("\n")[3:] == wanted.split("\n")[3:]


def test_flags_win_over_the_file() -> None:
    files, _ = case(HERE / "llm-inference-simulator" / "config")
    text, found = imported(
        "llm-inference-simulator", files, "--arrival-rate=9", "--seed", "1", "--xpu", "mi300x"
    )
    assert text is not None, render_all(found)
    assert "poisson(9 req/s)" in text
    assert "seed     = 1" in text
    assert "hardware = MI300X" in text


def test_flags_name_files() -> None:
    flags = ["--cluster", "data/h1.json", "--model=psla/a.json", "--qps", "5.5"]
    assert named_files("tokensim", flags) == ["data/h1.json", "psla/a.json"]
    assert named_files("llm-inference-simulator", ["--config", "c.json"]) == ["c.json"]
    assert named_files("llm-inference-simulator", ["--model", "llama-3.1"]) == []


WORKERS = "workers:\n- name: a\n  gpu:\n  - {name: g, hardware: A100}\n"
CLUSTER = '{"worker_groups": [{"role": "hybrid", "hardware": "A100", "num_workers": 1}]}'
CONFIG = {"model": "llama2-7b", "cluster": {"xpu": "a100-80gb", "n_xpus_per_node": 1}}

MISTAKES = [
    ("tokensim", "{", "E0606", "not JSON", ""),
    ("tokensim", '{"a": 1,}', "E0606", "not JSON", "}"),
    ("tokensim", "a: [1", "E0606", "not YAML", ""),
    ("tokensim", "a: 1\nb: *no", "E0606", "not YAML", ""),
    ("tokensim", "3", "E0606", "is a mapping, this is a number", ""),
    ("tokensim", "# empty", "E0606", "is a mapping, this is nothing", ""),
    ("tokensim", "a: 1", "E0606", "not a configuration of TokenSim", "a: 1"),
    ("tokensim", "[" * 100_000, "E0606", "nested too deeply", ""),
    ("tokensim", "a: " * 3 + "1", "E0606", "not YAML", ""),
    ("tokensim", "workers: 3", "E0606", "`workers` is a list", "3"),
    ("tokensim", "workers: []", "E0606", "no workers", ""),
    ("tokensim", WORKERS + "workers: []", "E0606", "set twice", "workers"),
    ("tokensim", WORKERS.replace("A100", "A1O0"), "E0606", "no hardware `A1O0`", "A1O0"),
    ("tokensim", WORKERS.replace("A100", "true"), "E0606", "`hardware` is a text", "true"),
    ("tokensim", WORKERS.replace("A100", "A100, quantity: many"), "E0606", "is a number", "many"),
    ("tokensim", WORKERS.replace("A100", "A100, quantity: 0"), "E0606", "from 1 to 10000", "0"),
    ("tokensim", WORKERS.replace("A100", "A100, quantity: 1.5"), "E0606", "a whole number", "1.5"),
    ("tokensim", WORKERS.replace("A100", "A100, quantity: .inf"), "E0606", "a number", ".inf"),
    ("tokensim", WORKERS.replace("A100", "A100, memory: 3"), "W0606", "no counterpart", "memory"),
    (
        "tokensim",
        WORKERS.replace("A100", "A100, on_st: 'mine()'"),
        "W0606",
        "a function of its own",
        "",
    ),
    ("tokensim", CLUSTER.replace("hybrid", "both"), "E0606", "hybrid, prefill or decode", '"both"'),
    ("tokensim", CLUSTER.replace("}]", '}], "colour": 1'), "W0606", "no counterpart", '"colour"'),
    ("llm-inference-simulator", "{}", "E0606", "not a configuration of LLM", "{}"),
    ("llm-inference-simulator", '{"model": "gpt9"}', "E0606", "no model `gpt9`", '"gpt9"'),
    ("llm-inference-simulator", '{"model": [1]}', "E0606", "`model` is a text", "[1]"),
]


@pytest.mark.parametrize(("form", "text", "code", "title", "place"), MISTAKES)
def test_mistakes_are_told(form: str, text: str, code: str, title: str, place: str) -> None:
    found = told(form, text, name="given.json" if text[:1] == "{" else "given.yaml")
    assert any(c == code and title in t and (not place or place == p) for c, t, p in found), found


def test_places_have_line_and_column() -> None:
    text = json.dumps(CONFIG | {"scheduler": {"batching_stratgy": "greedy"}}, indent="\t")
    _, (found,) = imported("llm-inference-simulator", [("config.json", text)])
    assert found.span is not None
    assert found.span.source.name == "config.json"
    assert found.span.source.position(found.span.start) == (8, 3)
    assert found.help == ("did you mean `batching_strategy`?",)


def test_what_a_name_may_have_meant_is_told() -> None:
    _, found = imported("tokensim", [("w.yaml", WORKERS.replace("A100", "A100_80Gx"))])
    assert any("did you mean `A100_80G`?" in line for d in found for line in d.help)
    _, found = imported("tokensim", [("w.yaml", WORKERS.replace("A100", "RTX 6000 PRO"))])
    assert any("did you mean `RTX_PRO_6000`?" in line for d in found for line in d.help)


def test_cards_in_the_name_of_a_device() -> None:
    text, _ = imported("tokensim", [("c.json", CLUSTER.replace("A100", "A100-40G-TP8"))])
    assert text is not None
    assert "single(A100_40G, 8)" in text
    assert told("tokensim", CLUSTER.replace("A100", "A100-TP²"))[0][0] == "E0606"


def test_pairs_of_lengths_are_drawn() -> None:
    files, _ = case(HERE / "tokensim" / "pairs")
    path = HERE.parent / "traces" / "pairs.json"
    text, found = imported("tokensim", files, "--dataset_path", str(path))
    assert text is not None
    assert not found, render_all(found)
    rows = tsdl.compile(text).run().requests
    pairs = {(int(p), int(o)) for p, o in zip(rows["prompt"], rows["output"], strict=True)}
    assert pairs == {(12, 7), (30, 1)}
    assert len(rows["prompt"]) == 100
    _, (warning,) = imported(
        "tokensim", files, "--dataset_path", str(path), "--trace_timestamp_scale", "2"
    )
    assert warning.title == "`trace_timestamp_scale` has no counterpart"


@pytest.mark.parametrize("name", ["gpu", "gpu_", "if", "9", "_", "é"])
def test_a_name_that_is_made_stays_as_it_is(name: str) -> None:
    taken: list[str] = []
    for _ in range(3):
        made = identifier(name, taken)
        assert identifier(made) == made
        assert made not in taken
        parse(Source("name.tsim", f"cluster c {{ worker {made} {{}} }}"), sink := Sink())
        assert not sink.found
        taken.append(made)


def test_nodes_without_a_network_are_one() -> None:
    nodes = WORKERS + WORKERS.removeprefix("workers:\n").replace("name: a", "name: b")
    text, (found,) = imported("tokensim", [("w.yaml", nodes)])
    assert text is not None
    assert not errors(text)
    assert found.title == "`workers`: its nodes have no `network`: taken as one"
    assert "node" not in text.partition("cluster")[2]


def test_flags_that_are_wrong_are_told() -> None:
    assert told("llm-inference-simulator", "")[0][1] == "neither a file nor a flag is given"
    good = ("--model", "llama2-7b", "--xpu", "h100")
    found = told("llm-inference-simulator", "", *good, "--xpo", "h100")
    assert found == [("W0606", "`xpo` has no counterpart", "--xpo")]
    found = told("llm-inference-simulator", "", *good, "stray")
    assert found == [("E0606", "`stray` belongs to no flag", "stray")]


def test_names_stay_within_their_line() -> None:
    text = WORKERS.replace("A100", "A100, run_decode: false").replace(
        "name: g", r'name: "g\n} evil {\"#"'
    )
    text = text.replace("- name: a", r'- name: "\u2028}\e[31m"')
    got, found = imported("tokensim", [("w.yaml", text)])
    assert got is not None, render_all(found)
    assert "worker g_evil" in got
    assert not errors(got)


def test_aliases_of_yaml_do_no_harm() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    assert told("tokensim", bomb + WORKERS)
    loop = "workers: &w\n- name: a\n  gpu: *w\n"
    assert told("tokensim", loop)


def test_table_of_equivalence_parses() -> None:
    rows = re.findall(
        r"^\| (.+?) \| (.+?) \| ?(.*?) ?\|$", DOCUMENT.read_text("utf-8"), re.MULTILINE
    )
    forms = [form for key, form, _ in rows if key.startswith("`") or "pool" in key]
    assert len(forms) > 60
    for form in forms:
        if form != "–":
            assert form.startswith("`"), form
            assert form.endswith("`"), form
            sink = Sink()
            parse(Source("row.tsim", form.strip("`")), sink)
            assert not sink.found, render_all(sink.found)


JUNK = [
    '"x"', "-1", "1e400", "null", "[]", "{}", "{", "}", "true", '"\\ud800"', "\t", "\0", "NaN",
    "9" * 30, "*a", "&a ", "<<: *a", "- ", "---", "!!python/object:x", "\u2028", "? [a]",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_no_input_raises(seed: int) -> None:
    draw = random.Random(seed)
    texts = [f for folder in CASES for f in case(folder)[0]]
    for _ in range(15):
        name, text = draw.choice(texts)
        for _ in range(draw.randint(1, 3)):
            start = draw.randrange(len(text) + 1)
            stop = min(len(text), start + draw.choice((0, 0, 5, 40)))
            text = text[:start] + draw.choice(JUNK) + text[stop:]
        for form in FORMATS:
            got, found = imported(form, [(name, text)])
            render_all(found)
            assert {d.code for d in found} <= {"E0606", "W0606"}
            sink = Sink()
            parse(Source("out.tsim", got or ""), sink)
            assert not sink.found, render_all(sink.found)
