"""The file of a workload: with which columns it is read, and what it brings."""

import math

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Path
from tsdl.lower.files import FileReader, check_unit, read_named
from tsdl.traces import Columns, Counter, Recorded, read_requests
from tsdl.traces.tokenizer import NoTokenizer, counter
from tsdl.traces.windows import since


def recorded_of(
    evaluator: Evaluator, workload: Instance, key: str, read: FileReader
) -> Recorded | None:
    """Return what a file brings; None where there is none. Raises Failed."""
    path = _path_of(evaluator, workload, key)
    if path is None:
        return None
    place = evaluator.span(workload, key)
    name, text = read_named(evaluator, path, place, read)
    block = evaluator.inner(workload, "columns")
    declared = evaluator.program.attributes()
    columns = Columns(
        evaluator.word(block, "arrived"),
        evaluator.word(block, "prompt"),
        evaluator.word(block, "output"),
        per_second=_per_second(evaluator.real(block, "unit")),
        priority=str(evaluator.get(block, "priority") or ""),
        attributes=tuple(
            (str(evaluator.get(block, name)), declared[name][0].whole)
            for name in of_file(evaluator, workload)
        ),
    )
    form = evaluator.word(workload, "format")
    if key == "trace" and form in ("auto", "csv"):
        check_unit(evaluator, block, "arrived")
    found = read_requests(
        name, text, form, columns, evaluator.sink,
        arrivals=key == "trace", count=_counter(evaluator, workload, read),
        said={name: evaluator.span(block, name) for name in block.members.fields},
    )  # fmt: skip
    if found is None:
        raise evaluator.fail(
            "E0605",
            f"`{path.text}` cannot be used",
            place,
            help=("what is wrong with it is said above, row by row",),
        )
    return _since(evaluator, workload, found) if key == "trace" else found


def _since(evaluator: Evaluator, workload: Instance, found: Recorded) -> Recorded:
    """Return what a trace has from the `begin` of its workload on. Raises Failed for nothing."""
    begin = evaluator.real(workload, "begin")
    arrived = found.table.arrived
    if not begin or not arrived:
        return found
    if begin > arrived[-1]:
        raise evaluator.fail(
            "E0503",
            f"the trace of `{workload.name}` ends before {begin:,g} s",
            evaluator.span(workload, "begin"),
            f"its last request arrives at {arrived[-1]:,g} s",
            secondary=(Label(evaluator.span(workload, "trace"), "the trace"),),
            help=(
                "times count from the first row of the file, before they are divided by `speed`",
            ),
        )
    return since(found, begin)


def _path_of(evaluator: Evaluator, workload: Instance, key: str) -> Path | None:
    """Return the file that a field names, from where it is written; None where it names none."""
    path = evaluator.get(workload, key)
    if isinstance(path, str):
        path = Path(path, evaluator.span(workload, key).source.name)
    assert path is None or isinstance(path, Path)
    return path


def _per_second(unit: float) -> float:
    """Return how many of a unit of time a second has: 10^9 of 1 ns, and not a little less."""
    count = 1 / unit
    return float(round(count)) if math.isclose(count, round(count), rel_tol=1e-15) else count


def _counter(evaluator: Evaluator, workload: Instance, read: FileReader) -> Counter | None:
    """Return what counts tokens, if a tokenizer is named."""
    path = _path_of(evaluator, workload, "tokenizer")
    if path is None:
        return None
    place = evaluator.span(workload, "tokenizer")
    _, text = read_named(evaluator, path, place, read)
    try:
        return counter(text)
    except NoTokenizer as error:
        raise evaluator.fail(
            "E0605",
            f"`{path.text}` cannot be used: {error}",
            place,
            help=("`pip install 'tsdl[tokenizers]'` reads the tokenizer.json of a model",),
        ) from None


def of_file(evaluator: Evaluator, workload: Instance) -> list[str]:
    """Return the attributes of which a column of a file is named."""
    columns = evaluator.inner(workload, "columns")
    usual = columns.members.shape.fields
    named = (key for key in columns.members.fields if key not in usual)
    return [key for key in named if evaluator.get(columns, key)]  # "" takes back what a base names
