"""Diagnostics for programs: a line each, JSON, and the workflow commands of GitHub."""

import json

import pytest

from tests.sample_diagnostics import (
    BANDWIDTH,
    LIBRARY,
    NODE,
    PLACELESS,
    REMARK,
    WARNING,
    at,
    error,
)
from tsdl.diagnostics import Diagnostic, Label, Severity
from tsdl.diagnostics.export import FORMATS, concise, github, json_text
from tsdl.source import Source, Span


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_every_diagnostic(name: str) -> None:
    text = FORMATS[name]([BANDWIDTH, WARNING, PLACELESS])
    assert all(code in text for code in ("E0301", "W9901", "E0101"))
    assert not text.endswith("\n")


# One line each.


def test_concise_lines() -> None:
    assert concise([BANDWIDTH, WARNING, PLACELESS]) == (
        "node.tsim:4:24: error[E0301] `memory.bandwidth` is bytes per second, this is bytes\n"
        "node.tsim:1:10: warning[W9901] this hardware is never used\n"
        "error[E0101] no such file"
    )


def test_concise_one_stays_on_one_line() -> None:
    span = Span(Source("a\nb", "x"), 0, 1)
    assert concise([error(span, title="no\n\x1b")]) == "a␊b:1:1: error[E0301] no␊␛"


def test_concise_nothing() -> None:
    assert concise([]) == ""


# The documented shape.


def test_json_the_whole() -> None:
    found = Diagnostic(
        "E0301",
        Severity.ERROR,
        "wrong",
        at(NODE, "2.039 TB"),
        "here",
        (Label(at(LIBRARY, "TB"), "there"),),
        ("because",),
        ("do this",),
        BANDWIDTH.fix,
    )
    place = {"file": "node.tsim", "line": 4, "column": 24, "end_line": 4, "end_column": 32}
    there = {"file": "lib/units.tsim", "line": 2, "column": 6, "end_line": 2, "end_column": 8}
    expected = {
        "code": "E0301",
        "severity": "error",
        "title": "wrong",
        **place,
        "label": "here",
        "secondary": [{**there, "label": "there"}],
        "notes": ["because"],
        "help": ["do this"],
        "fix": {"title": "write `2.039 TB/s`", "edits": [{**place, "text": "2.039 TB/s"}]},
    }
    [result] = json.loads(json_text([found]))
    assert result == expected
    assert list(result) == list(expected)


def test_json_without_a_place() -> None:
    [result] = json.loads(json_text([PLACELESS]))
    assert [result[name] for name in ("file", "line", "column", "end_line", "end_column")] == (
        [None] * 5
    )
    assert (result["secondary"], result["notes"], result["fix"]) == ([], [], None)


def test_json_it_is_ascii_and_free_of_lone_surrogates() -> None:
    span = Span(Source("\udc80é.tsim", "x"), 0, 1)
    text = json_text([error(span, "\x1b\ud800x", title="\U0001f600")])
    assert text.isascii()
    assert "\x1b" not in text
    [result] = json.loads(text)
    assert (result["file"], result["label"]) == ("\ufffdé.tsim", "\x1b\ufffdx")
    assert result["title"] == "\U0001f600"


def test_json_nothing() -> None:
    assert json.loads(json_text([])) == []


# Workflow commands.


def test_github_commands() -> None:
    assert github([BANDWIDTH, WARNING, REMARK]) == (
        "::error title=tsdl (E0301),file=node.tsim,line=4,endLine=4,col=24,endColumn=32::"
        "`memory.bandwidth` is bytes per second, this is bytes%0Aa size (bytes)"
        "%0Ahelp: did you mean `2.039 TB/s`?\n"
        "::warning title=tsdl (W9901),file=node.tsim,line=1,endLine=1,col=10,endColumn=14::"
        "this hardware is never used%0Adeclared here\n"
        "::notice title=tsdl (W9902)::by the way"
    )


def test_github_no_column_where_the_range_spans_lines() -> None:
    assert github([error(at(NODE, "{\n  compute"))]) == (
        "::error title=tsdl (E0301),file=node.tsim,line=1,endLine=2::wrong%0Ahere"
    )


def test_github_escapes() -> None:
    span = Span(Source("a:b,c%d\r\ne\x1b\udc80", "x"), 0, 1)
    assert github([error(span, "", title="50 %: a,\r\nb\x1b%0A")]) == (
        "::error title=tsdl (E0301),file=a%3Ab%2Cc%25d%0D%0Ae␛�,line=1,endLine=1,col=1,"
        "endColumn=2::50 %25: a,%0D%0Ab␛%250A"
    )
