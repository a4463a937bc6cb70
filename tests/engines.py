"""Both engines on one plan: whether they give the same bytes, and else where they first differ.

    python -m tests.engines FIRST_SEED COUNT [--tame | --wild | --tied | --routed] [--processes N]
        [--reduce]

runs random systems on both, tells each seed that differs at once, and counts how runs end. With
`--digest` it tells of each seed how it ended, and a hash of all that came of it: what two builds of
the engines tell is compared with `diff`.
"""

from __future__ import annotations

import csv
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import tsdl
from tests import random_systems, routed_systems, tame_systems, tied_systems
from tests.brought_files import files_in
from tests.event_limits import TooLongError, limit_events
from tests.limits import within
from tests.python_costs import EXTERNS
from tsdl.errors import TsdlError
from tsdl.runtime import run as running
from tsdl.runtime.engine import Engine
from tsdl.runtime.files import summary_json, table_csv

if TYPE_CHECKING:
    from tsdl.api import Plan
    from tsdl.runtime.result import Result

LONGEST = 60  # seconds that one run may compute; beyond them an engine is taken to hang
SHOWN = 5  # rows, columns and numbers of a file that are told of


@dataclass(frozen=True)
class Kind:
    """Random systems of a kind: their writer, and the events that a run of them may have."""

    write: Callable[[int], str]
    most_events: int


KINDS = {
    "tame": Kind(tame_systems.a_tame_system, tame_systems.MOST_EVENTS),
    "wild": Kind(random_systems.a_system, random_systems.MOST_EVENTS),
    "tied": Kind(tied_systems.a_tied_system, tied_systems.MOST_EVENTS),
    "routed": Kind(routed_systems.a_routed_system, routed_systems.MOST_EVENTS),
}


class DifferenceError(AssertionError):
    """The engines differ; the message shows where, and on what program."""


@dataclass
class Ending:
    """How a run ended: `done` with the texts of its files, or with the code of a diagnostic."""

    how: str
    files: dict[str, str] = field(default_factory=dict)
    told: str = ""
    result: Result | None = None

    @property
    def digest(self) -> str:
        """Return a hash of its files and of what was told."""
        found = sha256(self.told.encode())
        for name, text in self.files.items():
            found.update(f"\n{name}\n{text}".encode())
        return found.hexdigest()


# -- one engine --------------------------------------------------------------------------------


def ending(plan: Plan, engine: str, seed: int | None = None) -> Ending:
    """Run a plan on an engine. Raises TooLongError where a run is cut off."""
    try:
        with within(LONGEST, TooLongError):
            result = plan.run(seed, engine=engine)
    except TsdlError as error:
        return Ending(error.diagnostics[0].code, told=str(error))
    except TooLongError:
        raise
    except Exception as error:
        return Ending(type(error).__name__, told=traceback.format_exc())
    return Ending("done", files_of(result), result=result)


def files_of(result: Result) -> dict[str, str]:
    """Return the texts of all files, those that are empty too."""
    return {
        "requests.csv": "".join(table_csv(result.requests)),
        "timeseries.csv": "".join(table_csv(result.timeseries)),
        "states.csv": "".join(table_csv(result.states)),
        "records.csv": "".join(table_csv(result.records)),
        "log.txt": "".join(f"{time!r} {line}\n" for time, line in result.log),
        "summary.json": summary_json(result),
        "warnings": "".join(  # those of the plan come from its program
            f"{warning.title}\n"
            for warning in result.warnings
            if warning not in result.plan.warnings
        ),
    }


@contextmanager
def cut_off(most_events: int) -> Iterator[None]:
    """Let the reference engine end in a TooLongError after so many events."""

    # No subclass: the engine may be compiled, and then it has none in Python.
    def limited(*arguments: Any, **named: Any) -> Engine:  # noqa: ANN401
        engine = Engine(*arguments, **named)
        limit_events(engine, most_events)
        return engine

    with patch.dict(running.ENGINES, reference=limited):
        yield


# -- both --------------------------------------------------------------------------------------


def compared(plan: Plan, most_events: int | None = None, seed: int | None = None) -> Ending:
    """Run a plan on both engines; return how it ended. Raises DifferenceError.

    A run that the reference engine does not end within so many events ends `for ever`: nothing is
    compared. The fast engine has to end whatever the reference engine ends.
    """
    try:
        if most_events is None:
            wanted = ending(plan, "reference", seed)
        else:
            with cut_off(most_events):
                wanted = ending(plan, "reference", seed)
    except TooLongError:
        return Ending("for ever")
    try:
        found = ending(plan, "fast", seed)
    except TooLongError as error:
        raise DifferenceError(f"reference: {wanted.how}\nfast: goes on, {error}") from None
    if wanted.how != found.how:
        told = "\n".join(f"{one.how}\n{one.told}".rstrip() for one in (wanted, found))
        raise DifferenceError(f"reference, then fast: {told}")
    if not (wanted.how == "done" or wanted.how.startswith("E0")):
        raise DifferenceError(f"both engines fail:\n{wanted.told}\n{found.told}")
    both = [wanted.told, found.told]
    if running.extern_names(plan):
        both = [*map(_timeless, both)]
    if both[0] != both[1]:
        raise DifferenceError(f"reference, then fast: {wanted.told}\n{found.told}")
    differing = [name for name, text in wanted.files.items() if text != found.files[name]]
    if differing:
        shown = (difference(name, wanted.files[name], found.files[name]) for name in differing)
        raise DifferenceError("\n".join(shown))
    return wanted


def _timeless(told: str) -> str:
    """Leave out when it was: where Python has a part the fast engine does not always know."""
    return "\n".join(line for line in told.splitlines() if "s of simulated time" not in line)


def compiled(text: str) -> Plan:
    """Compile a program of tests, with the files that it brings along."""
    return tsdl.compile(text, externs=EXTERNS, files=files_in(text))


def compared_text(text: str, most_events: int | None = None) -> Ending:
    """Compile a program and run it on both engines. Raises DifferenceError, which shows it."""
    try:
        plan = compiled(text)
    except TsdlError as error:
        return Ending(f"refused: {error.diagnostics[0].code}")
    try:
        return compared(plan, most_events)
    except DifferenceError as error:
        raise DifferenceError(f"{error}\n\n{text}") from None


def compared_seed(kind: str, seed: int) -> Ending:
    """Run the random system of a seed on both engines. Raises DifferenceError."""
    writer = KINDS[kind]
    try:
        return compared_text(writer.write(seed), writer.most_events)
    except DifferenceError as error:
        raise DifferenceError(f"{kind} seed {seed}\n{error}") from None


def agree(kind: str, seeds: range) -> Counter[str]:
    """Run random systems on both engines; count how they end. Raises DifferenceError."""
    return Counter(compared_seed(kind, seed).how for seed in seeds)


# -- where they differ -------------------------------------------------------------------------


def difference(name: str, wanted: str, found: str) -> str:
    """Say where two texts of a file differ first, in which columns."""
    if name == "summary.json":
        return f"{name}: {of_values(json.loads(wanted), json.loads(found))}"
    ours, theirs = wanted.splitlines(), found.splitlines()
    lines = [i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b]
    if not lines:
        return f"{name}: {len(ours)} lines with the reference engine, {len(theirs)} with the fast"
    row = lines[0]
    columns = ""
    if name.endswith(".csv"):
        head, one, other = csv.reader((ours[0], ours[row], theirs[row]))
        cells = zip(head, one, other, strict=True)
        told = [f"{column} {a} ≠ {b}" for column, a, b in cells if a != b]
        columns = f" in {'; '.join(told)}"
    more = f"; {len(lines)} lines differ" if len(lines) > 1 else ""
    more += f"; {len(ours)} lines, and {len(theirs)}" if len(ours) != len(theirs) else ""
    shown = f"\n  reference: {ours[row]}\n  fast:      {theirs[row]}"
    return f"{name}: line {row + 1}{columns}{more}{shown}"


def of_values(wanted: Any, found: Any) -> str:  # noqa: ANN401 (JSON)
    """Say where two JSON values differ."""
    ours, theirs = dict(leaves(wanted)), dict(leaves(found))
    told = [
        f"{path} {ours.get(path, '–')} ≠ {theirs.get(path, '–')}"
        for path in dict.fromkeys((*ours, *theirs))
        if ours.get(path, "–") != theirs.get(path, "–")
    ]
    return "; ".join(told[:SHOWN]) + (f"; and {len(told) - SHOWN} more" * (len(told) > SHOWN))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 (JSON)
    """Yield the numbers and texts of a JSON value by their path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{index}]")
    else:
        yield path, repr(value)


if __name__ == "__main__":
    from tests.fuzzing import main

    main()
