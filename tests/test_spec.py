"""SPEC.md: its programs do what it says, its grammar and tables are those of the tool.

A fenced block is run by what stands behind its first marks: `tsdl` checks without a word, `tsdl
error CODE` (or warning, or note) gives that one diagnostic, `tsdl-fragment` is parsed, `ebnf` is
compared with the grammar, `python` runs, `sh` is read by the command line's parser.
"""

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from tests.pages import Fence, assert_as_said, assert_readable, fences
from tsdl import plan, planhandlers, plantold, planworkload
from tsdl._resources import grammar_text
from tsdl.diagnostics import Sink
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.diagnostics.text import render_all
from tsdl.formula import Formula
from tsdl.parse import parse
from tsdl.schema import METRICS, TOTALS
from tsdl.source import Source
from tsdl.types import Samples

ROOT = Path(__file__).resolve().parents[1]
SPEC = (ROOT / "SPEC.md").read_text("utf-8")
REFERENCE = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))


FENCES = fences(SPEC)


def of(*kinds: str) -> list[Fence]:
    return [fence for fence in FENCES if fence.language in kinds]


# -- programs ----------------------------------------------------------------------------------


def test_every_block_is_of_a_known_kind() -> None:
    kind = re.compile(
        r"(tsdl( (error|warning|note) [EWN]\d{4})?|tsdl-fragment|ebnf|sh|python|text|json)"
    )
    assert not [str(fence) for fence in FENCES if not kind.fullmatch(fence.kind)]
    assert len(of("tsdl")) >= 40
    assert sum(fence.kind.startswith("tsdl error") for fence in FENCES) >= 12


@pytest.mark.parametrize("fence", of("tsdl"), ids=str)
def test_a_program_does_what_its_block_says(fence: Fence) -> None:
    assert_as_said(fence, f"SPEC.md, line {fence.line}")


@pytest.mark.parametrize("fence", of("tsdl-fragment"), ids=str)
def test_a_fragment_can_be_parsed(fence: Fence) -> None:
    sink = Sink()
    assert parse(Source("fragment", fence.text), sink).items
    assert not sink.found, render_all(sink.sorted())


@pytest.mark.parametrize("fence", of("python"), ids=str)
def test_a_python_block_runs(fence: Fence) -> None:
    exec(compile(fence.text, f"SPEC.md, line {fence.line}", "exec"), {"__name__": "spec"})


def test_the_command_line_takes_what_is_shown() -> None:
    lines = [line for fence in of("sh") for line in fence.text.splitlines()]
    assert lines
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "tsdl"
        assert_readable(words)


def test_json_blocks_are_json() -> None:
    for fence in of("json"):
        json.loads(fence.text)


def test_the_diagnostic_that_is_shown_is_the_one_that_is_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tsdl.cli import main

    (shown,) = of("json")
    monkeypatch.chdir(tmp_path)
    text = "hardware node {\n  memory {\n    capacity = 80 GB\n    bandwidth = 2.039 TB\n  }\n}\n"
    Path("node.tsim").write_text(text, encoding="utf-8")
    assert main(["check", "node.tsim", "--format", "json"]) == 1
    assert json.loads(capsys.readouterr().out) == json.loads(shown.text)


# -- grammar -----------------------------------------------------------------------------------


def rules(text: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of each rule; `%ignore` lines count as one."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("//"):
            continue
        head = re.match(r"[?!]*(\w+):|(%ignore)", line)
        name = (head[1] or head[2]) if head else name
        found.setdefault(name, []).append(line)
    return ((name, "\n".join(lines)) for name, lines in found.items())


def test_the_boxes_are_the_grammar() -> None:
    quoted = [rule for fence in of("ebnf") for rule in rules(fence.text)]
    assert len(quoted) == len(dict(quoted)), "a rule stands in two boxes"
    assert dict(quoted) == dict(rules(grammar_text()))


# -- tables ------------------------------------------------------------------------------------


def test_the_tables_are_those_of_the_schema() -> None:
    wanted = REFERENCE["replaced"](SPEC)
    assert wanted == SPEC, "run `PYTHONPATH=. python docs/make_reference.py --write`"


def test_every_metric_stands_in_a_table_with_its_type() -> None:
    rows = re.findall(r"^\| (`[^|]+`) \| ([a-z/]+) \| ", SPEC, re.MULTILINE)
    told = {(name, type_) for names, type_ in rows for name in re.findall(r"`(\w+)`", names)}
    for name, (type_, _) in {**METRICS, **TOTALS}.items():
        of_one = type_.of if isinstance(type_, Samples) else type_
        assert (name, REFERENCE["_type"](of_one)) in told


def is_part(kind: object) -> bool:
    """Tell whether something is a class of which a plan is made."""
    return isinstance(kind, type) and issubclass(kind, Struct) and kind not in {Struct, Formula}


def test_the_members_of_a_plan_are_those_of_the_tool() -> None:
    section = SPEC.partition("### 11.3 ")[2].partition("The hash of a plan")[0]
    modules = (plan, planhandlers, plantold, planworkload)
    kinds = [k for module in modules for k in vars(module).values() if is_part(k)]
    members = {name for kind in kinds for name in kind.__struct_fields__}
    assert f"| `format` | {plan.FORMAT}; a tool" in section
    told = set(re.findall(r"`([a-z_]+)`", section))
    assert members <= told
    others = {"operators", "worker", "between"}  # a source, a block, a distribution
    assert told - members == others


def test_every_code_that_is_named_exists() -> None:
    named = set(re.findall(r"\b[EWN]\d{4}\b", SPEC))
    assert named == set(CATALOGUE)


# -- references --------------------------------------------------------------------------------

HEADINGS = set(re.findall(r"^#{2,3} (\d+(?:\.\d+)?) ", SPEC, re.MULTILINE))


def test_sections_that_are_referred_to_exist() -> None:
    assert {str(number) for number in range(1, 16)} <= HEADINGS
    inside = re.findall(r"sections? (\d+(?:\.\d+)?)", SPEC)
    assert set(inside) <= HEADINGS


@pytest.mark.parametrize("folder", ["tsdl", "stdlib", "grammar", "docs", "examples"])
def test_sections_that_the_code_refers_to_exist(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in (".py", ".lark", ".tsim", ".md"):
            text = path.read_text("utf-8")
            named = re.findall(r"SPEC\.md, sections? (\d+(?:\.\d+)?)", text)
            assert set(named) <= HEADINGS, path


def test_the_contents_lead_to_every_section() -> None:
    links = dict(re.findall(r"^\d+\. \[([^]]+)\]\(#([^)]+)\)$", SPEC, re.MULTILINE))
    titles = re.findall(r"^## (\d+) (.+)$", SPEC, re.MULTILINE)
    assert [title for _, title in titles] == list(links)
    for (number, title), link in zip(titles, links.values(), strict=True):
        assert link == f"{number}-{title.lower().replace(',', '').replace(' ', '-')}"


def test_blocks_begin_and_end_on_lines_of_their_own() -> None:
    """One that is wrapped into the prose beside it would not be run."""
    assert not [line for line in SPEC.splitlines() if "```" in line and line[:3] != "```"]


def test_lines_are_wrapped() -> None:
    prose = re.sub(r"^```.*?^```$", "", SPEC, flags=re.MULTILINE | re.DOTALL)
    assert not [line for line in prose.splitlines() if len(line) > 120 and line[:1] != "|"]
