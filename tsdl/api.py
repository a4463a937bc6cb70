"""TSDL from Python: `compile` a scenario to a plan, `run` it to a result."""

from __future__ import annotations

from os import PathLike, fspath
from typing import TYPE_CHECKING

from tsdl import plan as plan_
from tsdl.diagnostics import Diagnostic, Severity
from tsdl.errors import TsdlError
from tsdl.params import read_params
from tsdl.session import Session, choose, read_file
from tsdl.source import Source, Span

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsdl.runtime.result import Result


class Plan(plan_.Plan):
    """An executable plan: a value that prints, hashes, pickles and runs."""

    __slots__ = ("_externs",)

    def with_externs(self, externs: Mapping[str, object]) -> Plan:
        """Return the plan with the policies in Python that it names; they are no part of it."""
        plan = Plan(**self.fields())
        object.__setattr__(plan, "_externs", dict(externs))
        return plan

    def run(self, seed: int | None = None, engine: str = "fast") -> Result:
        """Run the plan; without a seed, with the plan's own.

        `engine` is `fast` or `reference`: both give the same result, to the last bit. The result
        holds numpy columns (times in seconds, lengths in tokens) and a summary.
        """
        from tsdl.runtime.run import run

        return run(self, seed, externs=getattr(self, "_externs", {}), engine=engine)


def _session(source: str | PathLike[str]) -> Session:
    if isinstance(source, str):
        if source.endswith(".tsim") and "\n" not in source:
            raise _unreadable("E0109", source, "a str is a program's text; give a file as a Path")
        return Session("<text>", source)
    path = fspath(source)
    try:
        return Session(path, read_file(path))
    except UnicodeDecodeError:
        raise _unreadable("E0108", path, "it is not UTF-8 text") from None
    except OSError as error:
        raise _unreadable("E0109", path, error.strerror or str(error)) from None


def _unreadable(code: str, path: str, reason: str) -> TsdlError:
    place = Span(Source(path, ""), 0, 0)
    return TsdlError([Diagnostic(code, Severity.ERROR, f"cannot read `{path}`: {reason}", place)])


def check(source: str | PathLike[str]) -> list[Diagnostic]:
    """Check a program (a `str` is its text, a `PathLike` a file); return what was found."""
    session = _session(source)
    program, sink = session.compile()
    if not sink.has_errors:
        session.verify(program, sink)
    return sink.sorted()


def compile(  # noqa: A001 (the name that people look for: tsdl.compile)
    source: str | PathLike[str],
    params: Mapping[str, object] | None = None,
    scenario: str | None = None,
    externs: Mapping[str, object] | None = None,
) -> Plan:
    """Compile a scenario (a `str` is its text, a `PathLike` a file) to a plan.

    `params` sets params by name: a number, a text as on the command line (`"8 req/s"`), a bool.
    `scenario` chooses one where the file has several. `externs` hands in the policies that are
    Python, by the name that the file has for them (SPEC.md, section 8.17). Raises TsdlError, whose
    `diagnostics` say what is wrong and where.
    """
    session = _session(source)
    program, sink = session.compile()
    if not sink.has_errors:
        values = read_params(program, dict(params or {}), sink)
        chosen = choose(program, scenario, sink)
        if chosen is not None and not sink.has_errors:
            plan = session.plan(program, sink, values, chosen)
            if plan is not None:
                return Plan(**plan.fields()).with_externs(externs or {})
    raise TsdlError([d for d in sink.sorted() if d.severity is Severity.ERROR])
