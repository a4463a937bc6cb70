"""The site: what its pages have made for them is complete, and Sphinx builds it without a warning.

Without Sphinx (`pip install '.[docs]'`) only the first is looked at.
"""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs import make_site
from tsdl._resources import library_files
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.schema import KINDS, METRICS, TOTALS
from tsdl.session import library

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    """Return a page of the reference as Sphinx reads it."""
    return make_site.filled(f"docs/reference/{name}", (REFERENCE / f"{name}.md").read_text("utf-8"))


def test_nothing_is_left_to_be_made() -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        name = str(path.relative_to(ROOT).with_suffix(""))
        assert "<!-- made:" not in make_site.filled(name, path.read_text("utf-8")), path


def test_who_reads_a_page_in_the_repository_is_told_where_its_content_is() -> None:
    """And not on the site, which has it there."""
    for path in (ROOT / "docs").rglob("*.md"):
        text = path.read_text("utf-8")
        marks = re.findall(r"^<!-- made: .* -->\n((?:.+\n)*)", text, re.MULTILINE)
        for told in marks:
            links = re.findall(r"\]\(([^)#]+)(?:#([\w-]+))?\)", told)
            assert links, (path, told)
            for target, anchor in links:
                assert (path.parent / target).exists(), (path, target)
                assert not anchor or anchor in anchors(path.parent / target), (path, anchor)
            assert told not in make_site.filled(str(path.relative_to(ROOT)), text)


def anchors(page: Path) -> set[str]:
    """Return what links to the headings of a page end in, on code hosts and on the site."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_declaration_of_the_library_has_its_place_with_its_comment() -> None:
    pages = "\n".join(page(f"library/{path.stem}") for path in (REFERENCE / "library").iterdir())
    files = {Path(name).name for name, _ in library_files()}
    shown = set(re.findall(r"^## ([\w.]+)$", pages, re.MULTILINE))
    assert files - shown == {"units.tsim"}  # which the page about units has
    declared = [clause for module in library() for clause in module.clauses if clause.verb in KINDS]
    assert len(re.findall(r"^### \w+ `\w+`$", pages, re.MULTILINE)) == len(declared) > 150
    for clause in declared:
        assert make_site._plain(clause.doc) in pages


def test_every_kind_of_block_and_every_field_of_it_is_told() -> None:
    text = page("blocks")
    for kind, block in KINDS.items():
        section = text.partition(f"\n## `{kind}`\n")[2].partition("\n## ")[0]
        assert set(block.fields) <= set(re.findall(r"^`(\w+)`$", section, re.MULTILINE)), kind
    assert "\n`efficiency.NAME.compute`\n" in text


def test_every_metric_and_total_and_every_file_is_told() -> None:
    text = page("results")
    assert {*METRICS, *TOTALS} <= set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert "`requests.csv` has a row" in text
    assert "`study.csv`: a line" in text


def test_every_code_leads_to_its_page() -> None:
    links = re.findall(r"\[(\w+)\]\(([^)]+)\)", page("diagnostics"))
    assert {code for code, _ in links} == set(CATALOGUE)
    for _, link in links:
        assert (REFERENCE / link).is_file()


def test_every_command_and_option_is_told() -> None:
    text = page("commands")
    assert re.findall(r"^## tsdl (\w+)", text, re.MULTILINE)[:2] == ["run", "check"]
    for option in (
        "--max-memory",
        "tabulate genz",
        "--explain-defaults",
        "--skip-first",
        "--holdout",
        "`FILE`",
    ):
        assert option in text
    assert "%%" not in text


def test_every_example_is_shown_with_what_it_prints() -> None:
    text = make_site.filled("docs/examples", (ROOT / "docs" / "examples.md").read_text("utf-8"))
    printed = len(list((ROOT / "examples").glob("*.out"))) - len(
        list((ROOT / "examples").glob("*.py"))
    )
    assert len(re.findall(r"^## \w+\.tsim$", text, re.MULTILINE)) == len(
        list((ROOT / "examples").glob("*.tsim"))
    )
    assert text.count("```text\n") == printed


def test_a_text_is_shown_as_it_stands() -> None:
    assert make_site._plain("a_b * <c> `d_e*` [f]") == r"a\_b \* \<c\> `d_e*` \[f\]"
    assert make_site._plain("one ` alone_") == r"one \` alone\_"


@pytest.mark.long
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="needs Sphinx: pip install '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-E", "-c", "docs"]
    made = subprocess.run(
        [*command, ".", str(tmp_path)], cwd=ROOT, capture_output=True, check=False
    )
    assert made.returncode == 0, made.stderr.decode()
    assert (tmp_path / "index.html").is_file()
    assert (tmp_path / "tsdl" / "diagnostics" / "explain" / "E0301.html").is_file()
