"""The language server, as an editor knows it: over its streams."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls", reason="needs pygls: pip install -e '.[lsp]'")

from tests.editor import Editor, Refused, start_of
from tsdl._resources import grammar_words
from tsdl.server import words

ROOT = Path(__file__).resolve().parents[1]

LIBRARY = """\
## What we rent.
hardware ours from A100_80G {
  memory.bandwidth = 3 TB/s
}
"""
PROGRAM = """\
import "lib.tsim"
## Requests 🚀 a second.
param qps = 8 req/s
workload chat from sharegpt(rate = qps) { requests = 200 }
scenario served {
  model = llama2_7b
  cluster = single(ours)
  workload = chat
  expect p99(ttft) <= 2 s
}
"""
POLICY = """\
policy mine from chunked, least_loaded {
  global {
    state sent: count[worker] over 10 s
    on arrive(r) {
      let w = pick(v by sent[v] for v in workers)
      dispatch r to w
      sent[w] += 1
    }
  }
}
"""


@pytest.fixture(scope="module")
def one_editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """Start a server for all tests: that takes longer than what it is asked."""
    with Editor(tmp_path_factory.mktemp("nothing")) as editor:
        yield editor
    assert editor.status == 0


@pytest.fixture
def editor(one_editor: Editor, tmp_path: Path) -> Iterator[Editor]:
    """Return an editor with a folder of three files, none of which is open."""
    (tmp_path / "lib.tsim").write_text(LIBRARY, encoding="utf-8")
    (tmp_path / "main.tsim").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "policy.tsim").write_text(POLICY, encoding="utf-8")
    folder = [{"uri": tmp_path.as_uri(), "name": tmp_path.name}]
    one_editor.tell("workspace/didChangeWorkspaceFolders", event={"added": folder, "removed": []})
    yield one_editor
    for path in tmp_path.glob("*.tsim"):
        if path.as_uri() in one_editor.versions:
            one_editor.close(path)
    one_editor.told.clear()
    one_editor.tell("workspace/didChangeWorkspaceFolders", event={"added": [], "removed": folder})


def labels(editor: Editor, path: Path, text: str) -> list[str]:
    """Return what may stand at the `|` of a text, in the order in which it is shown."""
    before, _, after = text.partition("|")
    lines = before.split("\n")
    editor.open(path, before + after)
    found = editor.at("completion", path, (len(lines) - 1, len(lines[-1])))
    editor.close(path)
    return [item["label"] for item in sorted(found, key=lambda item: item["sortText"])]


def hovered(editor: Editor, path: Path, where: tuple[int, int]) -> str:
    value: str = editor.at("hover", path, where)["contents"]["value"]
    return value


# -- findings ------------------------------------------------------------------------------------


def test_findings_follow_the_text(editor: Editor, tmp_path: Path) -> None:
    main = tmp_path / "main.tsim"
    editor.open(main)
    assert editor.findings(main) == []
    editor.type(main, "8 s", (2, 12), (2, 19))
    (found,) = editor.findings(main)
    assert found["code"] == "E0301"
    assert found["source"] == "tsdl"
    assert start_of(found) == (3, 35)
    assert "requests per second" in found["message"]
    editor.type(main, "8 req/s", (2, 12), (2, 15))
    assert editor.findings(main) == []
    editor.close(main)
    assert editor.findings(main) == []


def test_second_places_are_told(editor: Editor, tmp_path: Path) -> None:
    main = tmp_path / "main.tsim"
    editor.open(main, "param a = 1\nparam a = 2\n")
    (found,) = editor.findings(main)
    (related,) = found["relatedInformation"]
    assert related["message"] == "first declared here"
    assert (related["location"]["uri"], start_of(related["location"])) == (main.as_uri(), (0, 6))


def test_open_files_count_before_those_of_the_disk(editor: Editor, tmp_path: Path) -> None:
    main, lib = tmp_path / "main.tsim", tmp_path / "lib.tsim"
    editor.open(main)
    assert editor.findings(main) == []
    editor.open(lib)
    assert editor.findings(lib) == []
    editor.type(lib, "theirs", (1, 9), (1, 13))
    assert [d["code"] for d in editor.findings(main)] == ["E0201"]
    editor.close(lib)  # not saved
    assert editor.findings(main) == []


def test_mistakes_of_an_imported_file_stand_in_that_file(editor: Editor, tmp_path: Path) -> None:
    main, lib = tmp_path / "main.tsim", tmp_path / "lib.tsim"
    lib.write_text(LIBRARY.replace("3 TB/s", "3 s"), encoding="utf-8")
    editor.open(main)
    assert [d["code"] for d in editor.findings(lib)] == ["E0301"]
    lib.write_text(LIBRARY, encoding="utf-8")
    editor.tell("textDocument/didSave", textDocument={"uri": main.as_uri()})
    assert editor.findings(lib) == []


def test_fixes_are_actions(editor: Editor, tmp_path: Path) -> None:
    main = tmp_path / "main.tsim"
    editor.open(main, PROGRAM.replace("llama2_7b", "llama2_7c"))
    (found,) = editor.findings(main)
    (action,) = editor.ask(
        "textDocument/codeAction", textDocument={"uri": main.as_uri()}, range=found["range"],
        context={"diagnostics": [found]},
    )  # fmt: skip
    (edit,) = action["edit"]["changes"][main.as_uri()]
    assert (edit["newText"], start_of(edit)) == ("llama2_7b", (5, 10))
    assert action["diagnostics"] == [found]


def test_signs_that_look_like_others_are_mended(editor: Editor, tmp_path: Path) -> None:
    main = tmp_path / "main.tsim"
    editor.open(main, PROGRAM.replace('import "lib.tsim"', "import “lib.tsim”"))
    found = editor.findings(main)[0]
    (action,) = editor.ask(
        "textDocument/codeAction", textDocument={"uri": main.as_uri()}, range=found["range"],
        context={"diagnostics": [found]},
    )  # fmt: skip
    (edit,) = action["edit"]["changes"][main.as_uri()]
    assert (edit["newText"], start_of(edit)) == ('"', (0, 7))


# -- style ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_formatting_writes_what_fmt_writes(editor: Editor, tmp_path: Path, end: str) -> None:
    path = tmp_path / "typed.tsim"
    text = end.join(["# 🚀", "param  a=1 # é🚀", "", "", "param b = [", "1,2]s  ", "param c = 3"])
    editor.open(path, text)
    (edit,) = styled(editor, path)
    lines = text.split(end)
    start, stop = edit["range"]["start"], edit["range"]["end"]
    assert start["line"] == 1  # what is well is left alone
    before = [*lines[: start["line"]], in_units(lines[start["line"]], 0, start["character"])]
    after = [in_units(lines[stop["line"]], stop["character"]), *lines[stop["line"] + 1 :]]
    made = end.join(before) + edit["newText"] + end.join(after)
    wanted = ["# 🚀", "param a = 1  # é🚀", "", "param b = [", "  1, 2] s", "param c = 3", ""]
    assert made == end.join(wanted)
    editor.close(path)
    editor.open(path, made)
    assert styled(editor, path) == []


def styled(editor: Editor, path: Path) -> list[dict[str, Any]]:
    options = {"tabSize": 8, "insertSpaces": False}  # there is one style
    found: list[dict[str, Any]] = editor.ask(
        "textDocument/formatting", textDocument={"uri": path.as_uri()}, options=options
    )
    return found


def in_units(line: str, start: int, end: int | None = None) -> str:
    """Return a part of a line, counted as UTF-16 is."""
    units = line.encode("utf-16-le")
    return units[2 * start : None if end is None else 2 * end].decode("utf-16-le")


def test_what_cannot_be_read_is_not_formatted(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "typed.tsim"
    for text in ("param  a = (\n", ""):
        editor.open(path, text)
        assert styled(editor, path) == []
        editor.close(path)


def test_a_byte_order_mark_counts_where_an_editor_keeps_it(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "typed.tsim"
    editor.open(path, "\ufeffparam a = 1\n")
    [edit] = styled(editor, path)
    assert edit["range"]["start"] == {"line": 0, "character": 0}
    assert edit["range"]["end"] == {"line": 0, "character": 1}
    assert edit["newText"] == ""
    editor.close(path)


# -- what a name is ------------------------------------------------------------------------------


def test_hover_tells_type_unit_and_comment(editor: Editor, tmp_path: Path) -> None:
    main, lib = tmp_path / "main.tsim", tmp_path / "lib.tsim"
    editor.open(main)
    editor.open(lib)
    told = hovered(editor, main, (3, 36))
    assert "param qps = 8 req/s" in told
    assert "requests per second, in request/s" in told
    assert "`8 req/s` = 8 request/s" in told
    assert "Requests 🚀 a second." in told
    assert "What we rent." in hovered(editor, main, (6, 20))
    told = hovered(editor, lib, (2, 12))
    assert "bytes per second, in B/s" in told
    assert "`3 TB/s` = 3e+12 B/s" in told
    assert "`3 TB/s` = 3e+12 B/s" in hovered(editor, lib, (2, 23))
    assert "else `continuous`" in hovered_field(editor, main, "policy")


@pytest.mark.parametrize(
    ("line", "column", "told"),
    [
        (2, 11, "state sent: count[worker]"),  # where it is declared
        (3, 14, "`r`: a request"),
        (4, 11, "`w`: a worker"),
        (4, 21, "in the order of a key"),  # by
        (4, 33, "`VALUE for NAME in LIST"),
        (5, 8, "dispatch r to WORKER"),
        (6, 7, "state sent: count[worker]"),
    ],
)
def test_hover_over_words_of_policies(
    editor: Editor, tmp_path: Path, line: int, column: int, told: str
) -> None:
    path = tmp_path / "policy.tsim"
    editor.open(path)
    assert told in hovered(editor, path, (line, column))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cluster c { worker a|b * 2 { hardware = A100_80G } }", "`worker ab`"),
        ("hardware x from A100_80G { me|mory.bandwidth = 3 TB/s }", "`memory { }`"),
        ("param x = [1, 2] T|B/s", "`1 TB/s` = 1e+12 B/s"),
        ("param p: pol|icy = chunked", "A scheduler of two stages"),
        ("dimension len|gth", "`dimension length`"),
        ("dimension length\nunit metre: length\nunit fo|ot = 0.25 metre", "0.25 metre"),
        ("model m from llama { graph { a|b: RMSNorm(3) } }", "a node of the graph"),
        ("param n = 1\nstudy s { plot li|nes(throughput, x = n) }", "joined in order of x"),
        ("param n = 1\nstudy s { case a { n = 2 }; table n[ca|se = a] }", "that the cases make"),
        ("param n = 1\nstudy s { case ab { n = 2 }; table n[case = a|b] }", "case ab { n = 2 }"),
        ("param x = 1 i|f true else 2", "one of two values"),
    ],
)
def test_hover_over_what_stands_for_nothing(
    editor: Editor, tmp_path: Path, text: str, told: str
) -> None:
    path, (before, _, after) = tmp_path / "typed.tsim", text.partition("|")
    editor.open(path, before + after)
    lines = before.split("\n")
    assert told in hovered(editor, path, (len(lines) - 1, len(lines[-1])))


def hovered_field(editor: Editor, path: Path, name: str) -> str:
    editor.close(path)
    editor.open(
        path, PROGRAM.replace("  workload = chat", f"  {name} = chunked\n  workload = chat")
    )
    return hovered(editor, path, (7, 3))


def test_definitions_lead_into_other_files(editor: Editor, tmp_path: Path) -> None:
    main, lib = tmp_path / "main.tsim", tmp_path / "lib.tsim"
    editor.open(main)
    found = editor.at("definition", main, (6, 20))
    assert (found["uri"], start_of(found)) == (lib.as_uri(), (1, 9))
    found = editor.at("definition", main, (0, 10))
    assert found["uri"] == lib.as_uri()
    found = editor.at("definition", main, (5, 12))
    assert found["uri"] == (ROOT / "stdlib" / "models.tsim").as_uri()


def test_a_value_of_a_base_is_that_of_the_base(editor: Editor, tmp_path: Path) -> None:
    lib = tmp_path / "lib.tsim"
    editor.open(
        lib, LIBRARY + "hardware more from ours { memory.bandwidth = 2 * base.memory.bandwidth }"
    )
    column = len("hardware more from ours { memory.bandwidth = 2 * base.memory.b")
    assert start_of(editor.at("definition", lib, (4, column))) == (2, 2)
    assert "`3 TB/s` = 3e+12 B/s" in hovered(editor, lib, (4, column))


def test_references_come_from_files_that_are_not_open(editor: Editor, tmp_path: Path) -> None:
    main, lib = tmp_path / "main.tsim", tmp_path / "lib.tsim"
    editor.open(lib)
    more = {"context": {"includeDeclaration": False}}
    (found,) = editor.at("references", lib, (1, 10), **more)
    assert (found["uri"], start_of(found)) == (main.as_uri(), (6, 19))


def test_rename_changes_all_places(editor: Editor, tmp_path: Path) -> None:
    main, lib = tmp_path / "main.tsim", tmp_path / "lib.tsim"
    editor.open(main)
    changes = editor.at("rename", main, (6, 20), newName="rented")["changes"]
    assert {uri: [start_of(edit) for edit in edits] for uri, edits in changes.items()} == {
        lib.as_uri(): [(1, 9)],
        main.as_uri(): [(6, 19)],
    }


@pytest.mark.parametrize(
    "starts",
    [
        [(2, 10), (4, 24), (6, 6)],  # sent: state
        [(4, 10), (5, 20), (6, 11)],  # w: a variable
        [(4, 19), (4, 29), (4, 36)],  # v: of a generator
    ],
)
def test_rename_of_variables(editor: Editor, tmp_path: Path, starts: list[tuple[int, int]]) -> None:
    path = tmp_path / "policy.tsim"
    editor.open(path)
    found = editor.at("rename", path, starts[0], newName="other")["changes"][path.as_uri()]
    assert sorted(start_of(edit) for edit in found) == starts


NAMED = """\
operator Tiled(k, n) {
  let side = 128
  flops = round_up(tokens, side) * k
  part more { flops = side * n }
}
operator Small(k, n) from Tiled(k, n) { let side = base.side / 4 }
"""


def test_a_name_that_a_block_gives(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "named.tsim"
    path.write_text(NAMED, encoding="utf-8")
    editor.open(path)
    found = editor.at("rename", path, (2, 28), newName="edge")["changes"][path.as_uri()]
    places = [(1, 6), (2, 27), (3, 22), (5, 44), (5, 56)]
    assert sorted(start_of(edit) for edit in found) == places
    assert hovered(editor, path, (3, 23)).startswith("`side`: a plain number")
    assert "let side = 128" in hovered(editor, path, (3, 23))
    assert start_of(editor.at("definition", path, (2, 28))) == (1, 6)


@pytest.mark.parametrize(
    ("where", "name", "reason"),
    [
        ((5, 12), "mine", "a name of the standard library"),
        ((5, 3), "mine", "a name of the language"),
        ((2, 7), "chat", "`chat` means something else already"),
        ((6, 20), "model", "`model` means something else already"),
        ((2, 7), "if", "`if` is no name"),
        ((2, 7), "a b", "`a b` is no name"),
        ((4, 0), "mine", "no name that this file declares"),
    ],
)
def test_what_cannot_be_renamed(
    editor: Editor, tmp_path: Path, where: tuple[int, int], name: str, reason: str
) -> None:
    main = tmp_path / "main.tsim"
    editor.open(main)
    with pytest.raises(Refused, match=reason):
        editor.at("rename", main, where, newName=name)


# -- what may stand somewhere --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("hard|", ["dtype", "link", "hardware"]),
        ("hardware x { | }", ["price", "lifetime", "rent"]),
        ("hardware x from A100_80G { memory.| }", ["capacity", "bandwidth"]),
        ("hardware x from A100_80G { memory { bandwidth = 3 T|", ["GB/s", "B/s"]),
        ("cluster c { worker a { runs = |", ["prefill", "decode", "both"]),
        ("hardware a {}\nhardware b from |", ["a", "gpu"]),
        ("workload w { arrivals = | }", ["poisson", "uniform", "gamma"]),
        ("workload w { prompt = lognormal(|) }", ["mean = ", "sigma = "]),
        ("workload w { prompt = lognormal(mean = 5 |) }", ["tokens", "token"]),
        ("model m from llama { graph { a: | } }", ["Attention", "WindowedAttention"]),
        ("operator X(n, k) { flops = 2 * | }", ["n", "k"]),
        ("scenario s { expect p99(|) <= 2 s }", ["ttft", "tpot"]),
        ("scenario s { expect p99(ttft, |) <= 2 s }", ["where = ", "ttft"]),
        ("scenario s { expect finished(|) >= 2 }", ["where = ", "ttft"]),
        ("policy p { global { on | } }", ["arrive", "submit"]),
        ("policy p { local { admit r | } }", ["when", "by"]),
        ("policy p { global { on arrive(r) { | } } }", ["dispatch", "submit"]),
        ("policy p { global { on arrive(r) { dispatch r to pick(v by v.kv.|", ["capacity", "used"]),
        ("policy p { global { on arrive(q) { if q.| > 1 { reject q } } } }", ["id", "arrived"]),
        ("param x: |", ["int", "number"]),
        ("attribute x: |", ["int", "number"]),
        ("attribute tier: int\nworkload w { attributes { | } }", ["tier"]),
        ("param h: hardware = A100_80G\nparam x = h.memory.| * 2", ["capacity", "bandwidth"]),
        ('import "lib.tsim" as lib\nscenario s { cluster = single(lib.|', ["ours"]),
        ("param n = 3\nstudy s { vary | }", ["n", "min"]),
        ("# a comment |", []),
        ('import "|"', []),
    ],
)
def test_completion(editor: Editor, tmp_path: Path, text: str, first: list[str]) -> None:
    found = labels(editor, tmp_path / "typed.tsim", text)
    assert found[: len(first)] == first
    assert bool(found) == bool(first)


def test_broken_text_hides_nothing_else(editor: Editor, tmp_path: Path) -> None:
    main = tmp_path / "main.tsim"
    editor.open(main, PROGRAM + "scenario broken { model = \n")
    assert {d["code"] for d in editor.findings(main)} == {"E0101"}
    assert "param qps" in hovered(editor, main, (3, 36))
    found = labels(editor, tmp_path / "other.tsim", PROGRAM + "scenario broken { workload = |")
    assert found[0] == "chat"


# -- columns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("encoding", "column"), [("utf-16", 28), ("utf-8", 30), ("utf-32", 27)])
def test_columns_are_counted_as_agreed(tmp_path: Path, encoding: str, column: int) -> None:
    path = tmp_path / "wide.tsim"
    text = 'param a: text = "🚀"; param b = a.nothing\r\nparam c = b\r\n'
    with Editor(tmp_path, [encoding]) as editor:
        assert editor.abilities["positionEncoding"] == encoding
        editor.open(path, text)
        (found,) = editor.findings(path)
        assert start_of(found) == (0, column + 4)
        assert start_of(editor.at("definition", path, (1, 10))) == (0, column)
        assert "param b" in hovered(editor, path, (0, column + 1))


def test_every_word_of_the_grammar_is_explained() -> None:
    assert {*words.GRAMMAR, *words.STATEMENTS, "expect", "table"} >= {*grammar_words()}


ATTRIBUTES = """\
attribute tenant: int  # whose it is
workload own from sharegpt { attributes { tenant = zipf(3) } }
policy fair from chunked { local { admit r by r.tenant } }
slo both { ttft <= (1 s if tenant == 1 else 2 s) }
"""


def test_attributes_are_found_wherever_they_are_read(editor: Editor, tmp_path: Path) -> None:
    path = tmp_path / "own.tsim"
    editor.open(path, ATTRIBUTES)
    starts = [(0, 10), (1, 42), (2, 48), (3, 27)]
    for place in starts:
        assert "attribute tenant: int" in hovered(editor, path, place)
        changes = editor.at("rename", path, place, newName="who")["changes"][path.as_uri()]
        assert sorted(start_of(edit) for edit in changes) == starts
    behind = ATTRIBUTES.replace("r.tenant", "r.|")
    assert "tenant" in labels(editor, tmp_path / "typed.tsim", behind)


def test_what_has_an_attribute_is_renamed_before_it(editor: Editor, tmp_path: Path) -> None:
    path, handler = tmp_path / "own.tsim", "on token(r, w) when r.tenant == 1 { log r.id }"
    first = "attribute tenant: int"
    editor.open(path, f"{first}\npolicy own from chunked {{ local {{ {handler} }} }}\n")
    starts = [(1, 43), (1, 54), (1, 74)]
    for place in starts:
        changes = editor.at("rename", path, place, newName="asked")["changes"][path.as_uri()]
        assert sorted(start_of(edit) for edit in changes) == starts


@pytest.mark.parametrize("number", ["1e308 GB/s", "1e400 GB/s", "1e400"])
def test_hover_over_a_number_beyond_all_units_says_nothing_of_it(
    editor: Editor, tmp_path: Path, number: str
) -> None:
    path = tmp_path / "large.tsim"
    editor.open(path, f"param rate = {number}")
    told = editor.at("hover", path, (0, 14))
    assert told is None or number not in told["contents"]["value"]
