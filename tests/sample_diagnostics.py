"""Diagnostics for tests of how they are told: one of each severity, and what these point at."""

from tsdl.diagnostics import Diagnostic, Edit, Fix, Label, Severity
from tsdl.diagnostics.text import render
from tsdl.source import Source, Span

NODE = Source(
    "node.tsim",
    "hardware A100 {\n  compute = 312 TFLOP/s\n\n  memory { bandwidth = 2.039 TB }\n}\n",
)
LIBRARY = Source("lib/units.tsim", "# units\nunit TB = 1000 GB\n")


def at(source: Source, text: str) -> Span:
    start = source.text.index(text)
    return Span(source, start, start + len(text))


def error(
    span: Span | None,
    label: str = "here",
    *,
    secondary: tuple[Label, ...] = (),
    title: str = "wrong",
) -> Diagnostic:
    return Diagnostic("E0301", Severity.ERROR, title, span, label, secondary)


def shown(source: str, start: int, end: int | None = None, label: str = "here") -> list[str]:
    """Return what is shown below the place: the marked lines and their marks."""
    span = Span(Source("x.tsim", source), start, start if end is None else end)
    return render(error(span, label)).split("\n")[3:]


BANDWIDTH = Diagnostic(
    "E0301",
    Severity.ERROR,
    "`memory.bandwidth` is bytes per second, this is bytes",
    at(NODE, "2.039 TB"),
    "a size (bytes)",
    help=("did you mean `2.039 TB/s`?",),
    fix=Fix("write `2.039 TB/s`", (Edit(at(NODE, "2.039 TB"), "2.039 TB/s"),)),
)
WARNING = Diagnostic(
    "W9901", Severity.WARNING, "this hardware is never used", at(NODE, "A100"), "declared here"
)
PLACELESS = Diagnostic("E0101", Severity.ERROR, "no such file", None, help=("create it",))
REMARK = Diagnostic("W9902", Severity.NOTE, "by the way", None)
