"""Diagnostics in SARIF 2.1.0: rules, regions, fixes, and files as URIs."""

import json
from pathlib import Path

import pytest

from tests.sample_diagnostics import BANDWIDTH, LIBRARY, NODE, PLACELESS, at, error
from tsdl.diagnostics import Diagnostic, Label, Severity, codes
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.diagnostics.export import sarif
from tsdl.source import Source, Span


def test_sarif_the_whole() -> None:
    found = Diagnostic(
        "E0301",
        Severity.ERROR,
        "wrong",
        at(NODE, "2.039 TB"),
        "here",
        (Label(at(LIBRARY, "TB"), "there"),),
        ("because",),
        fix=BANDWIDTH.fix,
    )
    region = {"startLine": 4, "startColumn": 24, "endLine": 4, "endColumn": 32}
    there = {"startLine": 2, "startColumn": 6, "endLine": 2, "endColumn": 8}
    log = json.loads(sarif([found, PLACELESS], "1.2.3"))
    [run] = log.pop("runs")
    assert log == {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
    }
    driver = run["tool"]["driver"]
    assert (driver["name"], driver["version"]) == ("tsdl", "1.2.3")
    assert [rule["id"] for rule in driver["rules"]] == ["E0101", "E0301"]
    assert driver["rules"][1]["shortDescription"] == {"text": CATALOGUE["E0301"].title}
    assert driver["rules"][1]["defaultConfiguration"] == {"level": "error"}
    assert run["columnKind"] == "unicodeCodePoints"
    assert run["results"] == [
        {
            "ruleId": "E0301",
            "ruleIndex": 1,
            "level": "error",
            "message": {"text": "wrong\nhere\nnote: because"},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": "node.tsim"},
                        "region": region,
                    },
                    "message": {"text": "here"},
                }
            ],
            "relatedLocations": [
                {
                    "id": 0,
                    "physicalLocation": {
                        "artifactLocation": {"uri": "lib/units.tsim"},
                        "region": there,
                    },
                    "message": {"text": "there"},
                }
            ],
            "fixes": [
                {
                    "description": {"text": "write `2.039 TB/s`"},
                    "artifactChanges": [
                        {
                            "artifactLocation": {"uri": "node.tsim"},
                            "replacements": [
                                {
                                    "deletedRegion": region,
                                    "insertedContent": {"text": "2.039 TB/s"},
                                }
                            ],
                        }
                    ],
                }
            ],
        },
        {
            "ruleId": "E0101",
            "ruleIndex": 0,
            "level": "error",
            "message": {"text": "no such file\nhelp: create it"},
        },
    ]


def test_sarif_a_code_out_of_the_catalogue_is_still_a_rule() -> None:
    unknown = Diagnostic("E9999", Severity.ERROR, "wrong", None)
    [run] = json.loads(sarif([unknown]))["runs"]
    assert run["tool"]["driver"]["rules"] == [{"id": "E9999"}]


def test_sarif_a_page_becomes_the_help_of_its_rule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "explain").mkdir()
    (tmp_path / "explain" / "E0301.md").write_text("# E0301: é\n", encoding="utf-8")
    monkeypatch.setattr(codes, "PAGES", tmp_path / "explain")
    [run] = json.loads(sarif([BANDWIDTH]))["runs"]
    page = "# E0301: é\n"
    assert run["tool"]["driver"]["rules"][0]["help"] == {"text": page, "markdown": page}


def test_sarif_columns_count_code_points() -> None:
    source = Source("x", "\U0001f600x")
    [run] = json.loads(sarif([error(at(source, "x"))]))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["region"]["startColumn"] == 2


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a/b.tsim", "a/b.tsim"),
        ("./a.tsim", "a.tsim"),
        ("../a.tsim", "../a.tsim"),
        ("a b#c?d%e.tsim", "a%20b%23c%3Fd%25e.tsim"),
        ("é.tsim", "%C3%A9.tsim"),
        ("c:d.tsim", "c%3Ad.tsim"),
        ("<text>", "%3Ctext%3E"),
        ("\udcff.tsim", "%FF.tsim"),
        ("\ud800.tsim", "%EF%BF%BD.tsim"),
    ],
)
def test_sarif_names_become_uris(name: str, uri: str) -> None:
    [run] = json.loads(sarif([error(Span(Source(name, "x"), 0, 1))]))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": uri}


def test_sarif_an_absolute_name_becomes_a_file_uri(tmp_path: Path) -> None:
    path = tmp_path / "a b.tsim"
    [run] = json.loads(sarif([error(Span(Source(str(path), "x"), 0, 1))]))["runs"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": path.as_uri()}


def test_sarif_nothing() -> None:
    [run] = json.loads(sarif([]))["runs"]
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])
