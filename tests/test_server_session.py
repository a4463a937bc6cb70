"""A session of an editor with all that is shipped: each file, each name, each key.

`pytest -m long tests/test_server_session.py` asks at every name and types every example.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

pytest.importorskip("pygls", reason="needs pygls: pip install -e '.[lsp]'")

from tests.editor import Editor, start_of
from tsdl.diagnostics import Sink
from tsdl.server.documents import Checked, Documents
from tsdl.server.navigation import RENAMED, rename

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted(ROOT.glob("examples/*.tsim"))
PAPER = sorted(ROOT.glob("examples/paper/*.tsim"))
LIBRARY = sorted(ROOT.glob("stdlib/*.tsim"))
OPTIONS = {"tabSize": 2, "insertSpaces": True}
SECONDS = 1.0  # of the processor for an answer; nearly all take less than a tenth of that


def named(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    with Editor(ROOT / "examples") as editor:
        yield editor
    assert editor.status == 0


@pytest.mark.examples
@pytest.mark.parametrize("path", [*EXAMPLES, *PAPER], ids=named)
def test_an_example_is_well(editor: Editor, path: Path) -> None:
    editor.open(path)
    assert [d for d in editor.findings(path) if d["severity"] <= 2] == []
    document = {"uri": path.as_uri()}
    assert editor.ask("textDocument/formatting", textDocument=document, options=OPTIONS) == []
    symbols = editor.ask("textDocument/documentSymbol", textDocument=document)
    assert any(s.get("detail") == "scenario" for s in symbols)
    for symbol in symbols:
        where = start_of({"range": symbol["selectionRange"]})
        assert symbol["name"] in editor.at("hover", path, where)["contents"]["value"]
        defined = editor.at("definition", path, where)
        assert (defined["uri"], start_of(defined)) == (path.as_uri(), where)
    editor.close(path)


@pytest.mark.parametrize("path", LIBRARY, ids=named)
def test_a_file_of_the_library_is_well(editor: Editor, path: Path) -> None:
    editor.open(path)
    document = {"uri": path.as_uri()}
    assert editor.ask("textDocument/formatting", textDocument=document, options=OPTIONS) == []
    assert editor.ask("textDocument/documentSymbol", textDocument=document)
    editor.close(path)


def names_of(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and text of each word that is in no comment and no text."""
    for number, line in enumerate(text.split("\n")):
        for found in re.finditer(r'#.*|"[^"]*"|(?<!\w)[A-Za-z_]\w*', line):
            if found.group()[0] not in '#"':
                yield number, found.start(), found.group()


def mostly_long(paths: list[Path], short: str) -> list[ParameterSet]:
    """Return files to test with; all but one take long."""
    marks = {short: ()}
    return [
        pytest.param(path, id=named(path), marks=marks.get(path.stem, pytest.mark.long))
        for path in paths
    ]


@pytest.mark.parametrize("path", mostly_long([*EXAMPLES, *PAPER, *LIBRARY], "record_book"))
def test_every_name_has_an_answer(editor: Editor, path: Path) -> None:
    editor.open(path)
    text = path.read_text("utf-8")
    told = total = 0
    for line, column, _ in names_of(text):
        hover = editor.at("hover", path, (line, column))
        total += 1
        told += hover is not None
        if hover is not None:
            start, end = hover["range"]["start"], hover["range"]["end"]
            assert (start["line"], start["character"]) <= (line, column)
            assert (line, column) < (end["line"], end["character"])
        editor.at("definition", path, (line, column))
    # Nothing is told of prefixes, nor of what dimensions are products of.
    assert told >= (0.8 if path.stem == "units" else 0.9) * total
    for line, written in enumerate(text.split("\n")):
        for place in re.finditer(r"[.=]|^\s*", written.split("#")[0]):
            editor.at("completion", path, (line, place.end()))
    editor.close(path)


@pytest.mark.parametrize("path", mostly_long(EXAMPLES, "record_book"))
def test_references_include_where_a_name_is_declared(editor: Editor, path: Path) -> None:
    editor.open(path)
    for symbol in editor.ask("textDocument/documentSymbol", textDocument={"uri": path.as_uri()}):
        where = start_of({"range": symbol["selectionRange"]})
        more = {"context": {"includeDeclaration": True}}
        places = editor.at("references", path, where, **more)
        assert (path.as_uri(), where) in [(p["uri"], start_of(p)) for p in places]
    editor.close(path)


# -- typing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", mostly_long([*EXAMPLES, *PAPER], "batching"))
def test_a_program_is_typed_key_by_key(editor: Editor, path: Path) -> None:
    typed, text = path.with_name("typed.tsim"), path.read_text("utf-8")
    document = {"uri": typed.as_uri()}
    editor.open(typed, "")
    line = column = 0
    for number, key in enumerate(text):
        before = editor.spent()
        editor.type(typed, key, (line, column), (line, column))
        line, column = (line + 1, 0) if key == "\n" else (line, column + 1)
        if key in ".=(" or number % 23 == 0:
            editor.at("completion", typed, (line, column))
        elif number % 61 == 0:
            editor.at("hover", typed, (line, max(column - 2, 0)))
        elif number % 233 == 0:
            editor.ask("textDocument/formatting", textDocument=document, options=OPTIONS)
        elif number % 239 == 0:
            editor.ask("textDocument/documentSymbol", textDocument=document)
        assert editor.spent() - before < SECONDS, (line, column)
    assert editor.ask("textDocument/formatting", textDocument=document, options=OPTIONS) == []
    editor.close(typed)
    editor.told.clear()


# -- another name --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", mostly_long(EXAMPLES, "record_book"))
def test_renamed_programs_plan_the_same(path: Path) -> None:
    documents = Documents()
    checked = documents.checked(str(path))
    plans = planned(checked)
    assert plans
    own = [o for o in checked.occurrences if o.declares and o.span.source is checked.source]
    for found in own:
        if found.symbol.kind not in RENAMED:
            continue
        other = f"{found.span.text}_zz"  # plans have some things in the order of their names
        places = rename(checked, found.span.start, other, documents, [checked])
        text = checked.source.text
        for place in reversed(places):
            assert text[place.span.start : place.span.end] == found.span.text
            text = f"{text[: place.span.start]}{other}{text[place.span.end :]}"
        again = planned(documents.check(str(path), text))
        assert [p.replace(other, found.span.text) for p in again] == plans, found.span.text


def planned(checked: Checked) -> list[str]:
    """Return the plans of a file; the columns of places in it, which a name shifts, left out.

    So is the line that a plan puts behind a variable of the name of another one, `w_`.
    """
    plans = checked.session.verify(checked.program, Sink())
    texts = (re.sub(r"(\.tsim:[0-9]+):[0-9]+", r"\1", plan.to_json()) for plan in plans)
    return [re.sub(r'"(\w+?)_+"', r'"\1"', text) for text in texts]
