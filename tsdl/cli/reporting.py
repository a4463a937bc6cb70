"""What `report` and `plot` do with folders of results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tsdl.cli.shared import OK, usage_error

if TYPE_CHECKING:
    import argparse

_LACKING = "this needs vl-convert-python and Jinja2 (pip install 'tsdl[report]')"
_FORMATS = (".svg", ".png")


def report(arguments: argparse.Namespace) -> int:
    """Write one page about results."""
    from tsdl import __version__
    from tsdl.cli.plantext import describe
    from tsdl.reports import NoReports, page, read
    from tsdl.runtime.parquet import NoPyarrow

    try:
        results = read(arguments.results)
        text = page(results, describe, __version__)
    except NoReports:
        return usage_error(_LACKING)
    except (NoPyarrow, ValueError) as error:
        return usage_error(str(error))
    return _write(Path(arguments.output), text.encode())


def plot(arguments: argparse.Namespace) -> int:
    """Write charts of results as a picture."""
    from tsdl.reports import NoReports, charts_of, png, read, svg
    from tsdl.runtime.parquet import NoPyarrow

    path = Path(arguments.output)
    if path.suffix.lower() not in _FORMATS:
        return usage_error(f"a picture is one of {', '.join(_FORMATS)}, not {path.name!r}")
    try:
        results = read(arguments.results)
        charts = {chart.name: chart for chart in charts_of(results)}
        unknown = [name for name in arguments.names if name not in charts]
        if unknown:
            return usage_error(f"there is no chart {unknown[0]!r}; there are {', '.join(charts)}")
        chosen = [charts[name] for name in arguments.names or charts]
        if not chosen:
            return usage_error("these results have no chart")
        drawn = svg(chosen).encode() if path.suffix.lower() == ".svg" else png(chosen)
    except NoReports:
        return usage_error(_LACKING)
    except (NoPyarrow, ValueError) as error:
        return usage_error(str(error))
    return _write(path, drawn)


def _write(path: Path, content: bytes) -> int:
    """Write a file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        return usage_error(f"cannot write {str(path)!r}: {error.strerror or error}")
    return OK
