"""Policies in Python: what they are shown of the running system, and what they may do with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from inspect import signature
from math import isnan, nan
from operator import index
from typing import TYPE_CHECKING, Any

from tsdl.costs import Batch
from tsdl.diagnostics.suggest import nearest
from tsdl.errors import TsdlError
from tsdl.runtime.batching import BatchView
from tsdl.runtime.memory import Memory
from tsdl.runtime.request import Request, Running
from tsdl.runtime.slips import in_short, named, raised_at, slip
from tsdl.runtime.worker import Worker

if TYPE_CHECKING:
    from tsdl.diagnostics import Diagnostic
    from tsdl.plan import Extern
    from tsdl.runtime.actions import Actions
    from tsdl.runtime.programs import Program
    from tsdl.runtime.system import System

# Events that belong to no worker; all others have a hook on each.
OF_THE_CLUSTER = ("arrive", "submit", "evict", "ready", "fail", "lost")
OF_A_WORKER = (
    "start", "admit", "token", "finish", "preempt", "transferred", "iteration",
)  # fmt: skip
TIMER = "every"  # an event of the language, which is about nothing that Python could be shown
_OF_MEMORY = frozenset({"capacity", "used", "free", "fill", "block"})

_UNREAD = "say in `reads` of the policy what it reads: r.… of requests, w.… of workers"
_SILENT = "it must go on at every event; where there is nothing to do, it returns None"

Reads = Mapping[type, frozenset[str]]


class NotRead(AttributeError):
    """A policy has read what it does not say that it reads."""


class View:
    """What a policy in Python sees of a request, a worker, its KV memory or a batch.

    Requests and workers have `id` and the fields that the policy says it reads. Nothing can be set.
    """

    __slots__ = ("_reads", "_thing")

    def __init__(self, thing: object, reads: Reads) -> None:
        """Show some fields of a thing."""
        object.__setattr__(self, "_thing", thing)
        object.__setattr__(self, "_reads", reads)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the field is)
        """Return a field that the policy has declared to read."""
        known = _readable(self._thing, self._reads) or frozenset()
        if name in known:
            own = self._thing.attributes if isinstance(self._thing, Request) else None
            if own is not None and name in own:
                return own[name]
            return shown(getattr(self._thing, name), self._reads)
        raise NotRead(
            f"the policy does not say that it reads `{name}`; "
            f"it may read {', '.join(sorted(known))}"
        )

    def __repr__(self) -> str:
        """Say what is shown, in words that are the same in every run."""
        number = getattr(self._thing, "id", None)
        named = type(self._thing).__name__.lower()
        return f"<{named}>" if number is None else f"<{named} {number}>"

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: actions change the system, and nothing else."""
        raise AttributeError(f"`{name}` cannot be set: it is shown, not handed over")


def shown(thing: object, reads: Reads) -> object:
    """Return a thing as a policy in Python may see it."""
    if _readable(thing, reads) is not None:
        return View(thing, reads)
    if isinstance(thing, (list, tuple, deque, Running)):
        return [shown(item, reads) for item in thing]
    return thing


def _readable(thing: object, reads: Reads) -> frozenset[str] | None:
    """Return what may be read of a thing: of a pipelined worker, say, what may be of any worker."""
    return next((reads[kind] for kind in type(thing).__mro__ if kind in reads), None)


def _thing(view: View) -> Any:  # noqa: ANN401 (a request, or a worker)
    return view._thing  # noqa: SLF001 (for the policy it is private, not for us)


class ExternActions:
    """The actions as a policy in Python calls them: `act.dispatch(r, w)`."""

    def __init__(self, name: str, actions: Actions, system: System) -> None:
        """Act by way of the language's own actions."""
        self._name = name
        self._actions = actions
        self._system = system
        self._beyond: Exception | None = None  # what was raised by what an action brought about

    def dispatch(self, request: View, worker: View | int) -> None:
        """Send a request to a worker, or the worker of a number."""
        self._do(self._actions.dispatch, self._request(request), self._worker(worker))

    def submit(self, request: View) -> None:
        """Have a request leave its worker."""
        self._do(self._actions.submit, self._request(request))

    def preempt(self, request: View) -> None:
        """Have a request give its place up."""
        self._do(self._actions.preempt, self._request(request))

    def reject(self, request: View) -> None:
        """Reject a request."""
        self._do(self._actions.reject, self._request(request))

    def scale(self, workers: str, number: float) -> None:
        """Have so many workers of a name, as far as there may be."""
        known = {w.kind.name for w in self._system.workers if w.kind.fewest is not None}
        if workers not in known:
            told = ", ".join(sorted(known)) or "none: write `worker name * 2..8` in the cluster"
            what = f"scales {in_short(repr(workers))}, which cannot be scaled"
            raise self._slip(what, f"those that can be are {told}")
        try:
            wanted = nan if isinstance(number, (bool, str)) else float(number)
        except (TypeError, ValueError, OverflowError):
            wanted = nan
        if isnan(wanted):
            what = f"scales `{workers}` to {in_short(repr(number))}, which is no number"
            raise self._slip(what, "say how many there are to be, such as 2")
        self._do(self._actions.scale, workers, wanted)

    def log(self, *values: object) -> None:
        """Note a line of text."""
        self._actions.log(*values)

    @contextmanager
    def told(self, where: str) -> Iterator[None]:
        """Let the policy say what it does. Raises TsdlError (E0904) where it fails."""
        try:
            yield
        except (TsdlError, MemoryError):
            raise
        except Exception as error:
            if error is self._beyond:
                raise
            raise self._slip(
                f"fails: {named(error)}",
                _UNREAD if isinstance(error, NotRead) else _SILENT,
                where,
                raised_at(error),
            ) from error

    def _do(self, action: Callable[..., None], *about: object) -> None:
        """Act; what goes wrong in what follows is no slip of the policy in Python."""
        try:
            action(*about)
        except Exception as error:
            self._beyond = error
            raise

    def _request(self, view: object) -> Request:
        thing = _thing(view) if isinstance(view, View) else None
        if isinstance(thing, Request):
            return thing
        what = f"acts on {in_short(repr(view))}, which is no request"
        raise self._slip(what, "act on what it is shown")

    def _worker(self, view: object) -> Worker:
        thing = _thing(view) if isinstance(view, View) else view
        if isinstance(thing, Worker):
            return thing
        workers = self._system.workers
        try:
            number = -1 if isinstance(thing, bool) else index(thing)  # type: ignore[arg-type]
        except TypeError:
            number = -1
        if 0 <= number < len(workers):
            return workers[number]
        raise self._slip(
            f"sends a request to {in_short(repr(view))}, which is no worker",
            f"return one of the workers, or a number from 0 to {len(workers) - 1}, or None",
        )

    def ignored(self, event: str, answer: str) -> TsdlError:
        """Return what is raised where a method returns something, to which nobody listens."""
        return self._slip(
            f"returns {answer} from `{event}`",
            "a method returns nothing, and acts by its first argument: `act.dispatch(r, w)`",
        )

    def _slip(self, what: str, remedy: str, *notes: str) -> TsdlError:
        when = f"at {self._system.clock.now:.6g} s of simulated time"
        title = f"the policy `{self._name}` in Python {what}"
        return TsdlError([slip(title, (*notes, when), remedy)])


def extern_hooks(
    extern: Extern,
    externs: Mapping[str, object],
    actions: Actions,
    system: System,
    *,
    local: bool,
) -> list[tuple[str, Program]]:
    """Return the hooks of a policy in Python by event.

    A function is asked where an arrival, or who was submitted, goes: `f(r, workers)` returns one of
    the workers, its number, or None. Any other object has a method for each event that it handles:
    `arrive(act, r, workers)`, `token(act, r, w)`. What they raise, and answers that are no worker,
    are TsdlError (E0904).
    """
    policy = externs[extern.name]
    act = ExternActions(extern.name, actions, system)
    written = {kind: {r[2:] for r in extern.reads if r[0] == kind} for kind in "rw"}
    reads: Reads = {
        Request: frozenset({"id", *written["r"]}),
        Worker: frozenset({"id", *written["w"]}),
        Memory: _OF_MEMORY,
        BatchView: frozenset(Batch.__slots__) | {"prefilling", "decoding"},
    }

    def choose(request: Request) -> None:
        with act.told(f"asked where request {request.id} goes"):
            chosen = policy(shown(request, reads), shown(system.up, reads))  # type: ignore[operator]
        if chosen is not None:
            act.dispatch(View(request, reads), chosen)

    def hook(method: Callable[..., object], event: str) -> Program:
        def call(*about: object) -> None:
            views = [shown(thing, reads) for thing in about]
            if event in ("arrive", "submit", "lost"):
                views.append(shown(system.up, reads))
            of = next((f" of request {t.id}" for t in about if isinstance(t, Request)), "")
            with act.told(f"told of `{event}`{of}"):
                answer = method(act, *views)
                told = None if answer is None else in_short(repr(answer))
            if told is not None:
                raise act.ignored(event, told)

        return call

    events = OF_A_WORKER if local else OF_THE_CLUSTER
    found = [(e, hook(getattr(policy, e), e)) for e in events if hasattr(policy, e)]
    if found or handled(policy):
        return found
    return [] if local else [("arrive", choose), ("submit", choose)]


def handled(policy: object) -> list[str]:
    """Return the events that a policy in Python has methods for."""
    return [event for event in (*OF_THE_CLUSTER, *OF_A_WORKER) if hasattr(policy, event)]


def cannot_decide(extern: Extern, policy: object) -> Diagnostic | None:
    """Return why a policy in Python can be told of nothing, or seems to; None where it can."""
    events = (*OF_THE_CLUSTER, *OF_A_WORKER)
    for name in (TIMER, f"on_{TIMER}"):
        if hasattr(policy, name) and _may_be_told(policy, name, about=(1, 2, 3)):
            title = f"the policy `{extern.name}` in Python handles `{name}`, and no timer asks it"
            remedy = (
                "act at another event, or by `on every(5 s) { … }` in the policy's own stage; "
                "what is only for the policy itself begins with `_`"
            )
            return slip(title, (), remedy)
    if not handled(policy):
        if callable(policy):
            return None
        title = f"the policy `{extern.name}` in Python is no function, and handles no event"
        return slip(title, (), f"the events are {', '.join(events)}")
    for name in dir(policy):
        meant = name.removeprefix("on_")
        near = meant if meant in events else nearest(meant, events)
        if near and name not in events and name[0] != "_" and _may_be_told(policy, name):
            title = f"the policy `{extern.name}` in Python handles `{name}`, which is no event"
            remedy = f"did you mean `{near}`? What is only for the policy itself begins with `_`"
            return slip(title, (), remedy)
    return None


def _may_be_told(policy: object, name: str, about: tuple[int, ...] = (2, 3)) -> bool:
    """Tell whether an attribute can be called as methods for events are: `act`, and what it is.

    That is with one of so many arguments.
    """
    method = getattr(policy, name)
    if not callable(method):
        return False
    for count in about:
        with suppress(TypeError, ValueError):
            signature(method).bind(*range(count))
            return True
    return False
