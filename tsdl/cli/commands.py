"""What each command does: run, check, plan, explain."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli import defaults
from tsdl.cli.limiting import limits_of
from tsdl.cli.rungs import rung_lines
from tsdl.cli.shared import (
    EXPECTATION,
    MISTAKE,
    OK,
    PARTIAL,
    chosen_scenario,
    compile_scenario,
    no_collector,
    open_file,
    tell,
    usage_error,
)
from tsdl.cli.studying import plan_study, run_study, study_lines
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.diagnostics.codes import explanation
from tsdl.diagnostics.suggest import nearest

if TYPE_CHECKING:
    import argparse

    from tsdl.runtime.result import Result


def run(arguments: argparse.Namespace) -> int:
    """Run a scenario."""
    if arguments.study:
        return run_study(arguments)
    if arguments.jobs or arguments.store or arguments.cluster:
        return usage_error("--jobs, --store and --cluster are of a study: add --study NAME")
    plan = compile_scenario(arguments)
    if plan is None:
        return MISTAKE
    from tsdl.cli.progress import Bar
    from tsdl.runtime import files, text
    from tsdl.runtime.run import run as run_plan
    from tsdl.runtime.vllm import vllm_json
    from tsdl.runtime.watched import watch

    problem = _no_place_for(arguments)  # better now than after a long run
    if problem:
        return usage_error(problem)
    window = arguments.trace_window or True
    watched = watch(trace=bool(arguments.trace) and window, tokens=arguments.format == "vllm")
    with Bar() as bar:
        result = run_plan(
            plan,
            arguments.seed,
            bar.show,
            engine=arguments.engine,
            watch=watched,
            limits=limits_of(arguments),
        )
    tell(result.warnings, "text")
    unwritten = _write(result, arguments)  # before it is shown: whoever reads it may stop reading
    if arguments.format == "json":
        sys.stdout.write(files.summary_json(result))
    elif arguments.format == "vllm":
        sys.stdout.write(vllm_json(result))
    else:
        print(text.summary(result))
    if unwritten:
        return usage_error(unwritten)
    if result.partial:
        return PARTIAL
    return OK if result.passed and not result.summary["requests"]["stuck"] else EXPECTATION


def _no_place_for(arguments: argparse.Namespace) -> str:
    """Return why results could not be written; nothing where they can. Makes their folder."""
    if arguments.out:
        try:
            Path(arguments.out).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"cannot write to {arguments.out!r}: {error.strerror or error}"
    if arguments.table_format == "parquet":
        from tsdl.runtime.parquet import NoPyarrow, pyarrow

        if not arguments.out:
            return "--table-format is of the files that --out writes: add --out DIR"
        try:
            pyarrow()
        except NoPyarrow as error:
            return str(error)
    if arguments.trace_window and not arguments.trace:
        return "--trace-window is of the file that --trace writes: add --trace FILE"
    if arguments.trace and not Path(arguments.trace).parent.is_dir():
        return f"cannot write {arguments.trace!r}: there is no such folder"
    return ""


def _write(result: Result, arguments: argparse.Namespace) -> str:
    """Write the files that are asked for; return why one could not be written, if so."""
    from tsdl.runtime import files

    place = arguments.out
    try:
        if arguments.out:
            files.write(result, Path(arguments.out), arguments.table_format)
        if arguments.trace:
            place = arguments.trace
            files.write_trace(result, Path(place))
    except OSError as error:
        return f"cannot write to {place!r}: {error.strerror or error}"
    timeline = result.timeline
    if timeline is not None and timeline.cut:
        print(
            f"tsdl: the trace ends at {timeline.end:g} s, where it has {len(timeline):,} events; "
            f"--trace-window {timeline.end:g}.. shows what follows",
            file=sys.stderr,
        )
    return ""


def check(arguments: argparse.Namespace) -> int:
    """Check files."""
    found: list[Diagnostic] = []
    for path in arguments.files:
        with no_collector():
            found += _check(path, arguments)
    tell(found, arguments.format)
    return MISTAKE if any(d.severity is Severity.ERROR for d in found) else OK


def _check(path: str, arguments: argparse.Namespace) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    session = open_file(path, found, arguments.allowed)
    if session is None:
        return found
    program, sink = session.compile()
    constants = dict(arguments.constants)
    plans = [] if sink.has_errors else session.verify(program, sink, constants)
    if sink.has_errors:
        return sink.sorted()
    if arguments.format == "text":
        for plan in plans:
            sys.stdout.writelines(f"{plan.scenario}: {line}\n" for line in rung_lines(plan))
        sys.stdout.writelines(f"{line}\n" for line in study_lines(session, program))
    if arguments.explain_defaults:
        sys.stdout.write(defaults.explain(program))
    return sink.sorted()


def plan(arguments: argparse.Namespace) -> int:
    """Show the plan of a scenario, or the numbers that go into it."""
    if arguments.study:
        return plan_study(arguments)
    if arguments.listed:
        return _list_constants(arguments)
    made = compile_scenario(arguments)
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


def _list_constants(arguments: argparse.Namespace) -> int:
    chosen = chosen_scenario(arguments)
    if chosen is None:
        return MISTAKE
    for constant in chosen.constants():
        print(f"{constant.name} = {constant.written(constant.value, chosen.program.units)}")
    return OK


def explain(arguments: argparse.Namespace) -> int:
    """Explain a code."""
    from tsdl.diagnostics.codes import CATALOGUE

    code = arguments.code.upper()
    page = explanation(code)
    if page is None:
        near = nearest(code, CATALOGUE)
        hint = f"; did you mean {near}?" if near else ""
        return usage_error(f"there is no code {arguments.code}{hint}")
    print(page.rstrip())
    return OK


def serve(_: argparse.Namespace) -> int:
    """Answer an editor until it says that it is done."""
    try:
        import pygls  # noqa: F401 (whether it is there)
    except ImportError:
        return usage_error("`tsdl lsp` needs pygls: pip install 'tsdl[lsp]'")
    from tsdl import __version__
    from tsdl.server.server import make_server

    # The server closes its output when it is told to end; ours is flushed after that.
    output = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    make_server(__version__).start_io(stdout=output)
    return OK


def import_(arguments: argparse.Namespace) -> int:
    """Turn a configuration of another simulator, a model or an engine into TSDL."""
    from tsdl.imports import COMMANDS, FORMATS, named_files

    sink = Sink()
    files = []
    paths = [*arguments.files, *named_files(arguments.format, arguments.flags)]
    for path in dict.fromkeys(paths):
        if arguments.format in COMMANDS and " " in path:  # no script's path, but the command
            files.append(("<command>", path))
            continue
        session = open_file(path, sink.found)
        if session is not None:
            files.append((session.path, session.text))
    text = None
    if not sink.has_errors:
        text = FORMATS[arguments.format](files, arguments.flags, sink)
    tell(sink.sorted(), "text")
    if text is None:
        return MISTAKE
    if arguments.output is None:
        sys.stdout.write(text)
        return OK
    try:
        Path(arguments.output).write_text(text, encoding="utf-8")
    except OSError as error:
        return usage_error(f"cannot write to {arguments.output!r}: {error.strerror or error}")
    return OK
