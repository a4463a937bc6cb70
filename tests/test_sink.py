"""The collector of diagnostics keeps each finding once and sorts by place."""

from collections.abc import Callable

from tests.sample_diagnostics import LIBRARY, NODE, at
from tsdl.diagnostics import Sink


def test_sink_the_same_at_the_same_place_is_kept_once() -> None:
    sink = Sink()
    report: list[Callable[[], None]] = [
        lambda: sink.error("E0301", "wrong", at(NODE, "A100")),
        lambda: sink.error("E0301", "wrong", at(NODE, "memory")),
        lambda: sink.error("E0301", "other", at(NODE, "A100")),
        lambda: sink.error("E0301", "wrong", None),
    ]
    for add in report * 2:
        add()
    assert len(sink.found) == len(report)


def test_sink_only_errors_are_errors() -> None:
    sink = Sink()
    sink.warning("W9901", "odd", None)
    sink.note("W9902", "by the way", None)
    assert not sink.has_errors
    sink.error("E0301", "wrong", None)
    assert sink.has_errors


def test_sink_they_are_sorted_by_source_and_place() -> None:
    sink = Sink()
    for title, span in (
        ("d", None),
        ("b", at(NODE, "memory")),
        ("c", at(LIBRARY, "TB")),
        ("a", at(NODE, "A100")),
    ):
        sink.error("E0301", title, span)
    assert [found.title for found in sink.sorted()] == ["a", "b", "c", "d"]
