"""The catalogue of codes, and the pages that explain them: what each row and each page has."""

import re
from pathlib import Path

import pytest

from tsdl.diagnostics import Severity, codes
from tsdl.diagnostics.codes import CATALOGUE, explanation
from tsdl.diagnostics.text import visible


def test_codes_rows() -> None:
    for code, row in CATALOGUE.items():
        assert row.code == code
        assert re.fullmatch(r"[EWN]\d{4}", code)
        assert (code[0] == "E") == (row.severity is Severity.ERROR)
        assert row.title == visible(row.title.strip())
        assert row.title


def test_codes_the_first_rows() -> None:
    assert CATALOGUE["E0101"].title == "syntax error"
    assert CATALOGUE["E0301"].title == "wrong dimension"


@pytest.mark.parametrize("code", ["E9999", "", "../codes", "../../../etc/passwd", "e0301"])
def test_codes_no_page_for_what_is_no_code(code: str) -> None:
    assert explanation(code) is None


def test_codes_a_page_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "explain").mkdir()
    (tmp_path / "explain" / "E0301.md").write_text("# E0301: …\n", encoding="utf-8")
    monkeypatch.setattr(codes, "PAGES", tmp_path / "explain")
    assert explanation("E0301") == "# E0301: …\n"
    assert explanation("E0101") is None


def test_codes_pages_have_the_fixed_headings() -> None:
    pages = {code: explanation(code) for code in CATALOGUE}
    for code, page in pages.items():
        if page is None:
            continue
        outside = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
        assert re.findall(r"^#.*$", outside, flags=re.MULTILINE) == [
            f"# {code}: {CATALOGUE[code].title}",
            "## What is wrong",
            "## Why it matters",
            "## Example",
            "## Instead",
        ]
        for heading in ("## Example", "## Instead"):
            section = page.split(f"{heading}\n", 1)[1].split("\n## ", 1)[0]
            assert len(re.findall(r"^```(?:tsdl|python)\n", section, re.MULTILINE)) == 1
