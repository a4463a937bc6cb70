"""Which options of a command do not go together, and what is said where both are given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    Pairs = Iterable[tuple[str, str, str]]

_SCENARIO = "a study names its scenario: leave --scenario or --study out"
_ONE_RUN = (
    "--trace, --trace-window, --format vllm and --table-format are of one run: give --scenario NAME"
)
_ITERATION = (
    "{} chooses an iteration that the plan of a scenario shows as text: leave it out, or "
    "--format, --study and --constants"
)

# By command: two that exclude each other, and what is said. `no --study` is its absence, and
# `--format vllm` this value alone, where `--format` is any but the usual one.
APART = {
    "run": (
        *(
            (name, "no --study", "--jobs, --store and --cluster are of a study: add --study NAME")
            for name in ("--jobs", "--store", "--cluster")
        ),
        ("--study", "--scenario", _SCENARIO),
        *(
            ("--study", name, _ONE_RUN)
            for name in ("--trace", "--trace-window", "--format vllm", "--table-format")
        ),
        (
            "--table-format", "no --out",
            "--table-format is of the files that --out writes: add --out DIR",
        ),
        (
            "--trace-window", "no --trace",
            "--trace-window is of the file that --trace writes: add --trace FILE",
        ),
    ),
    "check": (
        (
            "--explain-defaults", "--format",
            "what --explain-defaults shows is text: leave it or --format out",
        ),
    ),
    "plan": (
        *(
            (name, other, _ITERATION.format(name))
            for name in ("--decodes", "--context", "--prefill")
            for other in ("--study", "--constants", "--format")
        ),
        *(
            (name, "no --study", f"{name} is of the runs of a study: add --study NAME")
            for name in ("--store", "--seed")
        ),
        ("--study", "--scenario", _SCENARIO),
        ("--study", "--format", "the plan of a study is text: leave --format or --study out"),
        (
            "--study", "--constants",
            "--constants lists those of a scenario: give --scenario NAME in the place of --study",
        ),
    ),
}  # fmt: skip

# The same of the magic of notebooks.
IN_CELLS = (
    ("--jobs", "no --study", "--jobs is of a study: add --study NAME"),
    ("--study", "--scenario", _SCENARIO),
)


def wrong_together(arguments: argparse.Namespace, pairs: Pairs | None = None) -> str:
    """Return what is wrong with options side by side, those of a command; "" where nothing is."""
    for one, other, sentence in APART.get(arguments.called, ()) if pairs is None else pairs:
        if _holds(arguments, one) and _holds(arguments, other):
            return sentence
    return ""


def _holds(arguments: argparse.Namespace, written: str) -> bool:
    """Tell whether an option is given, or a value of it, or its absence."""
    if written.startswith("no "):
        return not _holds(arguments, written.removeprefix("no "))
    option, _, value = written.partition(" ")
    known = arguments.parser._option_string_actions  # noqa: SLF001 (argparse has no other way)
    name = known[option].dest
    found = getattr(arguments, name)
    return bool(found == value if value else found != arguments.parser.get_default(name))
