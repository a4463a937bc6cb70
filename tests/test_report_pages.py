"""Pages and pictures as files: they are whole, small and safe, and a browser draws them."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import tsdl
from tests.browser import open_page
from tests.command_line import start
from tests.reported import HOSTILE, PROGRAM, hostile_in, needs_drawing, pictures_of, results_in
from tsdl.cli import main
from tsdl.reports import charts_of, read

MOST_BYTES = 6_000_000


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_in(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def hostile(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_in(tmp_path_factory.mktemp("hostile"), results)


class Tags(HTMLParser):
    """The elements of a page, their attributes, and all text."""

    def __init__(self, page: str) -> None:
        """Read a page."""
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


def report(folder: Path, *names: str) -> str:
    """Return the page about some results."""
    needs_drawing()
    page = folder / "report.html"
    assert main(["report", *(str(folder / name) for name in names), "-o", str(page)]) == 0
    return page.read_text("utf-8")


def specs(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


# -- the page ----------------------------------------------------------------------------------


def test_the_page_is_whole_and_small(results: Path) -> None:
    page = report(results, "pair", "load")
    assert len(page.encode()) < MOST_BYTES
    tags = Tags(page)
    assert tags.names.count("script") == 3
    assert not {"img", "iframe", "object"} & set(tags.names)
    assert all(value == "data:," for name, value in tags.attributes if name in ("src", "href")
               and not (value or "").startswith("#part-"))  # fmt: skip
    found = specs(page)
    places = {value for name, value in tags.attributes if name == "data-chart"}
    assert places == set(found)
    charts = charts_of(read([str(results / "pair"), str(results / "load")]))
    assert len(found) == sum(len(chart.panels) for chart in charts)
    assert all(spec["description"] for spec in found.values())
    for told in ("llama2_7b", "p99(ttft) <= 1 us", "Llama-2-7b", "plan "):
        assert told in tags.text
    assert report(results, "pair", "load") == page, "the same results, other bytes"


def test_a_page_of_much_is_small(results: Path, tmp_path: Path) -> None:
    """See that a study of 4,000 points makes no page that is too large."""
    study = json.loads((results / "load" / "study.json").read_text("utf-8"))
    study["rows"] *= 1000
    for picture in study["pictures"]:
        picture["rows"] *= 1000
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "study.json").write_text(json.dumps(study), "utf-8")
    assert len(report(tmp_path, "large").encode()) < MOST_BYTES


def test_the_plan_and_what_is_said_of_a_search_are_in_the_page(results: Path) -> None:
    text = Tags(report(results, "most")).text
    assert text.count(", an end of the range") == 2
    plan = tsdl.compile(PROGRAM, params={"qps": "4 req/s", "scheduler": "static"}, scenario="one")
    assert f"The plan of the first row: {plan.hash}" in text
    assert json.loads((results / "most" / "plan.json").read_text("utf-8"))["scenario"] == "one"
    (drawn,) = pictures_of(results / "most")  # words are no scale
    assert [(v["x"], v["y"]) for v in drawn.panels[0].spec["data"]["values"]] == [
        ("static", 4), ("continuous", 4),
    ]  # fmt: skip


def test_all_that_came_from_a_file_is_escaped(hostile: Path) -> None:
    page = report(hostile, *(path.name for path in hostile.iterdir() if path.is_dir()))
    tags = Tags(page)
    assert tags.names.count("script") == 3
    assert not {"img", "b"} & set(tags.names)
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "Few. </script><img src=x onerror=alert(1)>" in tags.text  # as the file has it
    assert tags.text.count(HOSTILE) > 20
    for spec in specs(page).values():
        assert set(_keys(spec, "field")) <= set("cxyvlh") | {"x2"}


def _keys(value: Any, name: str) -> Iterator[Any]:  # noqa: ANN401
    """Yield what stands behind a name anywhere in a specification, but for its data."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key == name:
                yield item
            elif key != "data":
                yield from _keys(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item, name)


# -- in a browser ------------------------------------------------------------------------------


@pytest.mark.parametrize(("whose", "width"), [("results", 1280), ("hostile", 500)])
def test_a_browser_draws_every_chart(
    whose: str, width: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(whose)
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    page = report(folder, *names)
    opened = open_page(folder / "report.html", tmp_path, width)
    assert opened.console == []
    tags = Tags(opened.document)
    count = len(specs(page))
    assert f'data-drawn="{count}"' in opened.document
    assert tags.names.count("svg") >= count
    assert ("class", "error") not in tags.attributes
    assert not {"img", "b"} & set(tags.names)


def test_a_browser_tells_of_errors_and_of_what_a_page_would_fetch(tmp_path: Path) -> None:
    policy = """<meta http-equiv="Content-Security-Policy" content="default-src 'none';
      script-src 'unsafe-inline'">"""
    page = tmp_path / "page.html"
    page.write_text(f"{policy}<img src=https://a.invalid/b.png><script>throw 1</script>", "utf-8")
    said = "\n".join(open_page(page, tmp_path).console)
    assert "a.invalid" in said
    assert "Uncaught 1" in said


# -- pictures as files -------------------------------------------------------------------------


def test_plot_writes_svg_and_png(results: Path, tmp_path: Path) -> None:
    needs_drawing()
    files = []
    for number in (1, 2):
        file = tmp_path / f"{number}.svg"
        # Each in a process of its own: within one, ids go on from picture to picture.
        start("plot", str(results / "pair"), "--name", "memory", "-o", str(file))
        files.append(file.read_text("utf-8"))
    assert files[0] == files[1]
    root = ElementTree.fromstring(files[0])
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "0 gpu" in files[0]
    assert "KV memory in use" in files[0]
    file = tmp_path / "all.png"
    given = [str(results / "pair"), str(results / "load")]
    assert main(["plot", *given, "-o", str(file)]) == 0
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_hostile_picture_is_text(hostile: Path, tmp_path: Path) -> None:
    needs_drawing()
    names = [str(path) for path in hostile.iterdir() if path.is_dir()]
    assert main(["plot", *names, "-o", str(tmp_path / "all.svg")]) == 0
    root = ElementTree.parse(tmp_path / "all.svg").getroot()
    known = {"svg", "g", "path", "text", "rect", "line", "defs", "clipPath", "linearGradient",
             "stop", "image", "title", "tspan"}  # fmt: skip
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= known


def test_a_page_tells_of_drafts_and_of_requests_that_pile_up(tmp_path: Path) -> None:
    text = """edition "2026"
policy drafting from chunked { local { speculate { tokens = 1 token; acceptance(r) = 100 % } } }
workload many from sharegpt(rate = 30 req/s) { requests = 100 }
scenario it { model = llama2_7b; cluster = single(A100_80G); policy = POLICY; workload = many }
"""
    for name in ("drafting", "chunked"):
        program = tmp_path / f"{name}.tsim"
        program.write_text(text.replace("POLICY", name))
        assert main(["run", str(program), "--out", str(tmp_path / name)]) == 0
    page = Tags(report(tmp_path, "drafting", "chunked")).text
    assert re.search(r"tokens a decode\s*1\.9\d*\s*–", page)
    assert re.search(r"requests pile up\s*yes\s*yes", page)
    assert "tokens a decode" not in Tags(report(tmp_path, "chunked")).text
