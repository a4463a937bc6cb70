"""What colors programs in editors: as generated, and every word of a program as what it is."""

import json
import re
import runpy
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.parse import parse
from tsdl.parse.parser import tokens_of
from tsdl.source import Source

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "editors" / "vscode"
PROGRAMS = [
    path
    for folder in ("examples", "examples/paper", "stdlib")
    for path in sorted((ROOT / folder).glob("*.tsim"))
]
EXACTLY = {
    "NUMBER": "constant.numeric.tsim",
    "UNIT": "keyword.other.unit.tsim",
    "TEXT": "string.quoted.double.tsim",
}
PLAIN = (
    "_NL", "LBRACE", "RBRACE", "LPAR", "RPAR", "LSQB", "RSQB", "COMMA", "SEMICOLON", "DOT", "COLON",
)  # fmt: skip


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


@cache
def colored(text: str) -> tuple[str, ...]:
    """Return what each character is, as an editor finds it: line by line, the first match first."""
    scopes = [""] * len(text)
    start = 0
    for line in text.split("\n"):
        at = 0
        coming = [pattern.search(line) for pattern, _ in patterns()]  # the next match of each
        while at < len(line):
            for index, (pattern, _) in enumerate(patterns()):
                last = coming[index]
                if last and (last.start() < at or last.end() == last.start()):
                    coming[index] = pattern.search(line, at)
            matched = [
                (match, names)
                for match, (_, names) in zip(coming, patterns(), strict=True)
                if match and match.end() > match.start()
            ]
            if not matched:
                break
            found, names = min(matched, key=lambda pair: pair[0].start())  # of equals the first
            for group, name in names.items():
                if found.group(group) is not None:
                    for index in range(found.start(group), found.end(group)):
                        scopes[start + index] = name
            at = found.end()
        start += len(line) + 1
    return tuple(scopes)


def test_the_grammar_is_as_generated() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_editors.py"))
    written = made["GRAMMAR"].read_text("utf-8")
    assert written == made["grammar"](), "run `PYTHONPATH=. python docs/make_editors.py --write`"


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_words_and_numbers_of_programs_are_what_they_are(path: Path) -> None:
    source = Source(path.name, path.read_text("utf-8"))
    scopes = colored(source.text)
    for token in tokens_of(source.text):
        assert token.start_pos is not None
        assert token.end_pos is not None
        found = set(scopes[token.start_pos : token.end_pos])
        place = (source.position(token.start_pos), str(token), found)
        if token.type in EXACTLY:
            assert found == {EXACTLY[token.type]}, place
        elif token.type == "COMMENT":
            assert len(found) == 1, place
            assert found.pop().startswith("comment"), place
        elif token.isalpha() and token.type != "NAME":  # a word of the grammar, or an event
            assert found.pop().startswith(("keyword", "support.function.event")), place
        elif token.type not in ("NAME", *PLAIN):
            assert found == {"keyword.operator.tsim"}, place


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.stem)
def test_verbs_are_what_they_are(path: Path) -> None:
    source, sink = Source(str(path), path.read_text("utf-8")), Sink()
    file = parse(source, sink)
    assert not sink.found
    scopes = colored(source.text)
    for node in ast.walk(file.items):
        if isinstance(node, ast.Clause) and not _is_open(node):
            found = scopes[node.verb_span.start]
            assert found.startswith(("keyword", "storage")), node.verb_span.text


@pytest.mark.skipif(
    not (FOLDER / "node_modules" / "vscode-textmate").is_dir() or not shutil.which("node"),
    reason="needs Node.js and `npm install` in editors/vscode",
)
def test_the_engine_of_the_editor_sees_the_same() -> None:
    script, grammar = ROOT / "tests" / "textmate.js", FOLDER / "syntaxes" / "tsim.tmLanguage.json"
    command = ["node", str(script), str(grammar), *map(str, PROGRAMS)]
    told = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    for path, lines in zip(PROGRAMS, json.loads(told), strict=True):
        text = path.read_text("utf-8")
        wanted = iter(colored(text))
        for number, (line, parts) in enumerate(zip(text.split("\n"), lines, strict=True), 1):
            seen = [""] * len(line)
            for start, end, scope in parts:
                if scope != "source.tsim":
                    seen[start:end] = [scope] * (min(end, len(line)) - start)
            assert seen == [next(wanted) for _ in line], (path.name, number, line)
            next(wanted, "")  # the line end


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
