"""What each command does: run, check, plan, explain."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli import defaults
from tsdl.cli.rungs import rung_lines
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.diagnostics.codes import explanation
from tsdl.diagnostics.export import FORMATS
from tsdl.diagnostics.suggest import nearest
from tsdl.diagnostics.text import render_all
from tsdl.params import read_params
from tsdl.session import Session, choose, read_file
from tsdl.source import Source, Span

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tsdl.plan import Plan
    from tsdl.program import Program

OK, MISTAKE, USAGE, EXPECTATION = 0, 1, 2, 3


def run(arguments: argparse.Namespace) -> int:
    """Run a scenario."""
    if arguments.study:
        return _usage("studies are checked, but not run yet; run their scenario: --scenario NAME")
    plan = _plan(arguments)
    if plan is None:
        return MISTAKE
    if arguments.out:  # better now than after a long run
        try:
            Path(arguments.out).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return _usage(f"cannot write to {arguments.out!r}: {error.strerror or error}")
    from tsdl.cli.progress import Bar
    from tsdl.runtime import files, text
    from tsdl.runtime.run import run as run_plan

    with Bar() as bar:
        result = run_plan(plan, arguments.seed, bar.show, engine=arguments.engine)
    unwritten = ""
    if arguments.out:  # before anything is shown: whoever reads it may stop reading
        try:
            files.write(result, Path(arguments.out))
        except OSError as error:
            unwritten = f"cannot write to {arguments.out!r}: {error.strerror or error}"
    if arguments.format == "json":
        sys.stdout.write(files.summary_json(result))
    else:
        print(text.summary(result))
    if unwritten:
        return _usage(unwritten)
    return OK if result.passed and not result.summary["requests"]["stuck"] else EXPECTATION


def check(arguments: argparse.Namespace) -> int:
    """Check files."""
    found: list[Diagnostic] = []
    for path in arguments.files:
        with _no_collector():
            found += _check(path, arguments)
    _tell(found, arguments.format)
    return MISTAKE if any(d.severity is Severity.ERROR for d in found) else OK


def _check(path: str, arguments: argparse.Namespace) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    session = _open(path, found)
    if session is None:
        return found
    program, sink = session.compile()
    plans = [] if sink.has_errors else session.verify(program, sink)
    if sink.has_errors:
        return sink.sorted()
    if arguments.format == "text":
        for plan in plans:
            sys.stdout.writelines(f"{plan.scenario}: {line}\n" for line in rung_lines(plan))
    if arguments.explain_defaults:
        sys.stdout.write(defaults.explain(program))
    return sink.sorted()


def plan(arguments: argparse.Namespace) -> int:
    """Show the plan of a scenario."""
    made = _plan(arguments)
    if made is None:
        return MISTAKE
    if arguments.format == "json":
        print(made.to_json())
    elif arguments.format == "yaml":
        import json

        import yaml

        print(
            yaml.safe_dump(json.loads(made.to_json()), sort_keys=False, allow_unicode=True), end=""
        )
    else:
        from tsdl.cli.plantext import describe

        print(describe(made))
    return OK


def explain(arguments: argparse.Namespace) -> int:
    """Explain a code."""
    from tsdl.diagnostics.codes import CATALOGUE

    code = arguments.code.upper()
    page = explanation(code)
    if page is None:
        near = nearest(code, CATALOGUE)
        hint = f"; did you mean {near}?" if near else ""
        return _usage(f"there is no code {arguments.code}{hint}")
    print(page.rstrip())
    return OK


def import_(arguments: argparse.Namespace) -> int:
    """Turn a configuration of another simulator, or of a model, into TSDL."""
    from tsdl.imports import FORMATS, named_files

    sink = Sink()
    files = []
    paths = [*arguments.files, *named_files(arguments.format, arguments.flags)]
    for path in dict.fromkeys(paths):
        session = _open(path, sink.found)
        if session is not None:
            files.append((session.path, session.text))
    text = None
    if not sink.has_errors:
        text = FORMATS[arguments.format](files, arguments.flags, sink)
    _tell(sink.sorted(), "text")
    if text is None:
        return MISTAKE
    if arguments.output is None:
        sys.stdout.write(text)
        return OK
    try:
        Path(arguments.output).write_text(text, encoding="utf-8")
    except OSError as error:
        return _usage(f"cannot write to {arguments.output!r}: {error.strerror or error}")
    return OK


# -- shared ------------------------------------------------------------------------------------


@contextmanager
def _no_collector() -> Iterator[None]:
    """Make trees without looking through them for cycles again and again: they have none.

    They stay out of sight of the collector, in a run and when the process ends.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _usage(message: str) -> int:
    print(f"tsdl: {message}", file=sys.stderr)
    return USAGE


def _open(path: str, found: list[Diagnostic]) -> Session | None:
    try:
        text = sys.stdin.buffer.read().decode("utf-8") if path == "-" else read_file(path)
        return Session("<stdin>" if path == "-" else path, text)
    except UnicodeDecodeError:
        code, reason = "E0108", "it is not UTF-8 text"
    except (OSError, ValueError) as error:
        code, reason = "E0109", getattr(error, "strerror", None) or str(error)
    place = Span(Source(path, ""), 0, 0)
    found.append(Diagnostic(code, Severity.ERROR, f"cannot read `{path}`: {reason}", place))
    return None


def _plan(arguments: argparse.Namespace) -> Plan | None:
    with _no_collector():
        return _compiled(arguments)


def _compiled(arguments: argparse.Namespace) -> Plan | None:
    found: list[Diagnostic] = []
    session = _open(arguments.file, found)
    if session is None:
        _tell(found, "text")
        return None
    program, sink = session.compile()
    made = None if sink.has_errors else _lowered(session, program, arguments, sink)
    # Warnings and notes are what `check` is for; here only what stops the run is told.
    _tell([d for d in sink.sorted() if made is None and d.severity is Severity.ERROR], "text")
    return made


def _lowered(
    session: Session, program: Program, arguments: argparse.Namespace, sink: Sink
) -> Plan | None:
    values = read_params(program, dict(arguments.params), sink)
    chosen = choose(program, arguments.scenario, sink)
    if chosen is None or sink.has_errors:
        return None
    return session.plan(program, sink, values, chosen)


def _tell(found: list[Diagnostic], form: str) -> None:
    """Print diagnostics: for people to the error stream, for machines to the output."""
    if form == "text":
        if found:
            print(render_all(found, color=sys.stderr.isatty()), file=sys.stderr)
        return
    text = FORMATS[form](found)
    if text:
        print(text)
