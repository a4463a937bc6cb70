"""What colors programs in editors: as generated, and every word of a program as what it is."""

import json
import re
import runpy
from functools import cache
from pathlib import Path

import pytest

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.parse import parse
from tsdl.source import Source

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "editors" / "vscode"
PROGRAMS = sorted([*ROOT.glob("examples/*.tsim"), *ROOT.glob("stdlib/*.tsim")])


@cache
def patterns() -> list[tuple[re.Pattern[str], dict[int, str]]]:
    """Return each pattern, with the names of its groups; group 0 is all of it."""
    text = (FOLDER / "syntaxes" / "tsim.tmLanguage.json").read_text("utf-8")
    found = []
    for row in json.loads(text)["patterns"]:
        names = {0: row["name"]} if "name" in row else {}
        names |= {int(key): part["name"] for key, part in row.get("captures", {}).items()}
        found.append((re.compile(row["match"]), names))
    return found


def colored(text: str) -> list[str]:
    """Return what each character is, as an editor finds it: line by line, the first match first."""
    scopes = [""] * len(text)
    start = 0
    for line in text.split("\n"):
        at = 0
        while at < len(line):
            matches = [(p.search(line, at), names) for p, names in patterns()]
            matched = [(m, names) for m, names in matches if m and m.end() > m.start()]
            if not matched:
                break
            found, names = min(matched, key=lambda pair: pair[0].start())  # of equals the first
            for group, name in names.items():
                if found.group(group) is not None:
                    for index in range(found.start(group), found.end(group)):
                        scopes[start + index] = name
            at = found.end()
        start += len(line) + 1
    return scopes


def test_the_grammar_is_as_generated() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_editors.py"))
    written = made["GRAMMAR"].read_text("utf-8")
    assert written == made["grammar"](), "run `PYTHONPATH=. python docs/make_editors.py --write`"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_words_and_numbers_of_programs_are_what_they_are(path: Path) -> None:
    source = Source(str(path), path.read_text("utf-8"))
    sink = Sink()
    file = parse(source, sink)
    assert not sink.found
    scopes = colored(source.text)
    for node in ast.walk(file.items):
        match node:
            case ast.Clause(verb_span=span) if not _is_open(node):
                assert scopes[span.start].startswith(("keyword", "storage")), span.text
            case ast.Number(unit=str(), span=span):
                assert scopes[span.start] == "constant.numeric.tsim", span.text
                assert scopes[span.end - 1] == "keyword.other.unit.tsim", span.text
            case ast.Number(span=span):
                assert set(scopes[span.start : span.end]) == {"constant.numeric.tsim"}, span.text
            case ast.Text(span=span):
                assert set(scopes[span.start : span.end]) == {"string.quoted.double.tsim"}, (
                    span.text
                )


def _is_open(clause: ast.Clause) -> bool:
    """Tell whether it may be a block with a name of its own in place of a verb: `gemm { … }`."""
    return clause.head is None and clause.body is not None


def test_what_the_extension_names_is_there() -> None:
    package = json.loads((FOLDER / "package.json").read_text("utf-8"))
    contributed = package["contributes"]
    paths = [package["main"], contributed["grammars"][0]["path"]]
    paths += [language["configuration"] for language in contributed["languages"]]
    for path in paths:
        assert (FOLDER / path).is_file(), path
    settings = json.loads((FOLDER / "language-configuration.json").read_text("utf-8"))
    for rule in (settings["wordPattern"], *settings["indentationRules"].values()):
        re.compile(rule)
