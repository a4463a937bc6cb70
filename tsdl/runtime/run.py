"""A plan to a result: draws the requests, runs an engine, sums up."""

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import deepcopy
from operator import index
from threading import Lock
from typing import Any

from tsdl.diagnostics import Diagnostic, Severity
from tsdl.diagnostics.suggest import nearest
from tsdl.errors import TsdlError
from tsdl.formulaerrors import formulas_told, nothing_to_choose
from tsdl.plan import Extern, Global, Local, Plan
from tsdl.runtime.arrivals import generate
from tsdl.runtime.asked import cannot_be_called
from tsdl.runtime.engine import Engine, Progress
from tsdl.runtime.externs import cannot_decide
from tsdl.runtime.fast.engine import FastEngine
from tsdl.runtime.limits import Guard, Interrupted, Limits, no_room
from tsdl.runtime.result import Result
from tsdl.runtime.selections import NoCandidate
from tsdl.runtime.watched import Watch, WatchedEngine

# A formula that fails, a time that cannot be, a policy that goes round: of several the first in
# time is told of. The fast engine may meet them in another order: the reference engine is asked,
# but where Python has a part, which may have kept something.
_IN_TIME = ("E0901", "E0902", "E0903")
ENGINES: dict[str, type[Engine]] = {"fast": FastEngine, "reference": Engine}


def seed_of(value: object) -> int:
    """Return a seed as Python's own whole number. Raises ValueError for what is none."""
    try:
        seed = index(value)  # type: ignore[arg-type]
    except TypeError:
        seed = -1
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed is a whole number from 0 to 2^64 - 1, not {value!r}")
    return seed


def run(  # noqa: PLR0913 (what is run, how, and who looks on)
    plan: Plan,
    seed: int | None = None,
    progress: Progress | None = None,
    externs: Mapping[str, object] | None = None,
    engine: str = "fast",
    watch: Watch | None = None,
    *,
    limits: Limits | None = None,
    sampled: bool = True,
) -> Result:
    """Run a plan; without a seed, with the plan's own. Raises TsdlError where a formula fails.

    A run that reaches one of `limits` stops; what there is of its result says so (`partial`).

    Where it is not `sampled`, the result has no time series, and is the same but for that.

    `externs` are the policies and costs in Python that the plan names; `engine` is `fast` or
    `reference`, which give the same result. Where something is to be noted of single iterations
    (`watch`), it is the reference engine. Raises ValueError for a seed or an engine that there
    cannot be.
    """
    if engine not in ENGINES:
        raise ValueError(f"there is no engine {engine!r}; there are {', '.join(ENGINES)}")
    _check_externs(plan, externs or {})
    chosen = plan.seed if seed is None else seed_of(seed)
    guard = Guard(limits or Limits(), repeatable=not extern_names(plan))
    guard.see_room(plan.workload)
    try:
        arrivals = generate(plan.workload, chosen, math.inf if plan.until is None else plan.until)

        def simulated(kind: str, noted: Watch | None, progress: Progress | None = None) -> Result:
            made: Engine
            named: Any = {"progress": progress, "externs": externs}
            named["guard"] = guard if limits else None
            with _told(plan) as engines:
                if noted is not None:
                    made = WatchedEngine(plan, arrivals, chosen, noted, **named)
                else:
                    made = ENGINES[kind](plan, arrivals, chosen, **named)
                made.sampled = sampled
                engines.append(made)
                return Result(plan, chosen, made.run(), noted)

        def ended(kind: str, progress: Progress | None) -> Result:
            anew, guard.repeats = deepcopy(watch), False
            with suppress(Interrupted):
                return simulated(kind, watch, progress)
            guard.repeats = True
            return simulated(kind, anew)

        try:
            return ended(engine, progress)
        except TsdlError as error:
            again = engine == "fast" and watch is None and not extern_names(plan)
            if again and error.diagnostics[0].code in _IN_TIME:
                return ended("reference", None)  # it decides, and says what is to be told
            raise
    except MemoryError:
        raise no_room("the system gives it no more") from None


@contextmanager
def _told(plan: Plan) -> Iterator[list[Engine]]:
    """Let an engine run, once it is handed in. Raises TsdlError where a part of the plan fails."""
    engines: list[Engine] = []

    def now() -> float | None:
        for engine in engines:
            if not (isinstance(engine, FastEngine) and engine.fast):  # whose clock may be behind
                return engine.clock.now
        return None

    try:
        with formulas_told(plan, now), _DEEP_CALLS.allowed():
            yield engines
    except NoCandidate as error:
        raise TsdlError([nothing_to_choose(error, plan.places)]) from error


# Calls in one another: what is done to one request at one time, up to a thousand times (E0903),
# may bring about the next of it each time, over some ten calls.
DEEPEST = 20_000


class _DeepCalls:
    """Lets calls go deep while runs go on; the limit is one for all threads of a process."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.runs = 0
        self.before = 0

    @contextmanager
    def allowed(self) -> Iterator[None]:
        with self.lock:
            if not self.runs:
                self.before = sys.getrecursionlimit()
                sys.setrecursionlimit(max(self.before, DEEPEST))
            self.runs += 1
        try:
            yield
        finally:
            with self.lock:
                self.runs -= 1
                if not self.runs:
                    sys.setrecursionlimit(self.before)


_DEEP_CALLS = _DeepCalls()


def extern_names(plan: Plan) -> list[str]:
    """Return the names of the Python that a plan asks for, as `externs` hands it in."""
    return list(dict.fromkeys(extern.name for _, extern in _wanted(plan)))


def _wanted(plan: Plan) -> list[tuple[str, Extern]]:
    """Return the policies and the costs that are Python, each once."""
    stages: tuple[Global | Local, ...] = (plan.router, *(kind.local for kind in plan.workers))
    wanted = [("policy", stage.extern) for stage in stages if stage.extern]
    wanted += [("cost", extern) for kind in plan.workers for extern in kind.cost.externs]
    return list(dict.fromkeys(wanted))


def _check_externs(plan: Plan, externs: Mapping[str, object]) -> None:
    """See that all Python is handed in, and can be called. Raises TsdlError."""
    for what, extern in _wanted(plan):
        name = extern.name
        if name not in externs:
            known = ", ".join(map(str, externs)) or "none"
            wanted = extern_names(plan)
            near = nearest(name, [str(other) for other in externs if other not in wanted])
            given = f'{{"{name}": function}}'
            example = (
                f"from Python: `tsdl.compile(source, externs={given})`, "
                f"or of a plan that was read `plan.with_externs({given})`"
            )
            missing = Diagnostic(
                "E0519",
                Severity.ERROR,
                f"the {what} `{name}` is Python, and was not handed in",
                None,
                notes=(f"handed in: {known}",),
                help=(f"did you mean `{name}` by `{near}`?" if near else example,),
            )
            raise TsdlError([missing])
        wrong = cannot_be_called if what == "cost" else cannot_decide
        if found := wrong(extern, externs[name]):
            raise TsdlError([found])
