"""No text makes the compiler fail or keeps it busy: deep, long, endless, odd or not even text.

`pytest -m long tests/test_hostile_texts.py` tries the largest.
"""

import re
from pathlib import Path

import pytest

from tests.checked_texts import SECONDS_OF_LARGE, codes, diagnose
from tests.hostile_texts import HOSTILE, chain
from tsdl.cli import main
from tsdl.diagnostics.export import FORMATS
from tsdl.diagnostics.text import render_all

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text(name: str) -> None:
    text, expected = HOSTILE[name]
    found = codes(text, SECONDS_OF_LARGE)
    assert expected is None or found == expected


def test_files_that_import_each_other_in_a_long_row() -> None:
    files = {f"f{i}.tsim": f'import "f{i + 1}.tsim"\n' for i in range(200)} | {"f200.tsim": ""}
    assert codes('import "f0.tsim"\n', read=files.__getitem__) == []


def test_files_that_import_each_other_in_too_long_a_row() -> None:
    files = {f"f{i}.tsim": f'import "f{i + 1}.tsim"\n' for i in range(2_000)}
    codes('import "f0.tsim"\n', read=lambda path: files.get(path, ""))


def test_a_file_that_is_imported_often() -> None:
    assert codes('import "f.tsim"\n' * 1_000, read=lambda _path: "param n = 1\n") == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"param n = 1\r\nparam m = 2\r\n", []),
        (b"param n = 1\rparam m = 2\r", []),
        (b"\xff\xfep\0", ["E0108"]),
        (b"# \xe9", ["E0108"]),
        (b"# \xed\xa0\x80", ["E0108"]),
        (b"\0", ["E0101"]),
    ],
)
def test_bytes_of_a_file(data: bytes, expected: list[str], tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "it.tsim"
    path.write_bytes(data)
    assert main(["check", "--format", "concise", str(path)]) == bool(expected)
    assert re.findall(r"\[(\w+)\]", capsys.readouterr().out) == expected


@pytest.mark.parametrize("form", [*FORMATS, "text"])
def test_every_format_shows_what_a_text_may_hold(form: str) -> None:
    text = "param \ud800 = \0\nparam n = 'x\x1b[31m\nparam \u202em = \t\U0001f600"
    shown = render_all(diagnose(text)) if form == "text" else FORMATS[form](diagnose(text))
    shown.encode("utf-8")
    assert "\x1b" not in shown
    assert "\0" not in shown


# The largest texts. On a machine of 2025 with one core to itself, 100,000 declarations take half a
# minute.


SLOW = pytest.mark.xfail(run=False, reason="its time grows with the square of its length")


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        chain(100_000, "param p{i} = {i}"),
        chain(100_000, "workload w{i} {{ requests = {j} }}"),
        pytest.param(chain(10_000, "param p{j} = q{i}"), marks=SLOW),
        chain(10_000, "bogus p{i} = q{j}"),
        f"param n = [{', '.join(['1'] * 500_000)}]\n",
        "hardware own { compute {\n" + chain(100_000, "x{i} = 1 FLOPS") + "} }",
        "model own { graph {\n" + chain(100_000, "x{i}: RMSNorm(5)") + "} }",
        "\n" * 1_000_000 + "param n =",
        "# a comment\n" * 300_000 + "param n =",
        "x" * 20_000_001,
        "{" * 10_000_000,
        '"' * 10_000_000,
    ],
    ids=lambda text: re.sub(r"\s+", " ", text[:24]),
)
def test_large_text(text: str) -> None:
    codes(text, seconds=60)
