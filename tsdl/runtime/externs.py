"""Policies in Python: what they are shown of the running system, and what they may do with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tsdl.runtime.batching import BatchView
from tsdl.runtime.memory import Memory
from tsdl.runtime.request import Request
from tsdl.runtime.worker import Worker

if TYPE_CHECKING:
    from tsdl.plan import Extern
    from tsdl.runtime.actions import Actions
    from tsdl.runtime.programs import Program
    from tsdl.runtime.system import System

# Events that belong to no worker; all others have a hook on each.
OF_THE_CLUSTER = ("arrive", "submit", "evict")
OF_A_WORKER = (
    "start", "admit", "token", "finish", "preempt", "transferred", "iteration",
)  # fmt: skip
_OF_MEMORY = frozenset({"capacity", "used", "free", "fill", "block"})
_OF_A_BATCH = frozenset(
    {"tokens", "requests", "last_tokens", "prefills", "prefill_tokens", "decodes", "contexts"}
)

Reads = Mapping[type, frozenset[str]]


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
            return shown(getattr(self._thing, name), self._reads)
        raise AttributeError(
            f"the policy does not say that it reads `{name}`; "
            f"it may read {', '.join(sorted(known))}"
        )

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: actions change the system, and nothing else."""
        raise AttributeError(f"`{name}` cannot be set: it is shown, not handed over")


def shown(thing: object, reads: Reads) -> object:
    """Return a thing as a policy in Python may see it."""
    if _readable(thing, reads) is not None:
        return View(thing, reads)
    if isinstance(thing, (list, tuple, deque)):
        return [shown(item, reads) for item in thing]
    return thing


def _readable(thing: object, reads: Reads) -> frozenset[str] | None:
    """Return what may be read of a thing: of a pipelined worker, say, what may be of any worker."""
    return next((reads[kind] for kind in type(thing).__mro__ if kind in reads), None)


def _thing(view: View) -> Any:  # noqa: ANN401 (a request, or a worker)
    return view._thing  # noqa: SLF001 (for the policy it is private, not for us)


def _wrong(name: str, what: str, remedy: str) -> ValueError:
    return ValueError(f"the policy `{name}` in Python {what}; {remedy}")


class ExternActions:
    """The actions as a policy in Python calls them: `act.dispatch(r, w)`."""

    def __init__(self, name: str, actions: Actions, system: System) -> None:
        """Act by way of the language's own actions."""
        self._name = name
        self._actions = actions
        self._workers = system.workers

    def dispatch(self, request: View, worker: View | int) -> None:
        """Send a request to a worker, or the worker of a number."""
        self._actions.dispatch(self._request(request), self._worker(worker))

    def submit(self, request: View) -> None:
        """Have a request leave its worker."""
        self._actions.submit(self._request(request))

    def preempt(self, request: View) -> None:
        """Have a request give its place up."""
        self._actions.preempt(self._request(request))

    def reject(self, request: View) -> None:
        """Reject a request."""
        self._actions.reject(self._request(request))

    def log(self, *values: object) -> None:
        """Note a line of text."""
        self._actions.log(*values)

    def _request(self, view: object) -> Request:
        thing = _thing(view) if isinstance(view, View) else None
        if isinstance(thing, Request):
            return thing
        raise _wrong(
            self._name, f"acts on {view!r}, which is no request", "act on what it is shown"
        )

    def _worker(self, view: object) -> Worker:
        thing = _thing(view) if isinstance(view, View) else view
        if isinstance(thing, Worker):
            return thing
        number = isinstance(thing, int) and not isinstance(thing, bool)
        if number and 0 <= thing < len(self._workers):  # type: ignore[operator]
            return self._workers[thing]  # type: ignore[index]
        raise _wrong(
            self._name,
            f"sends a request to {view!r}, which is no worker",
            f"return one of the workers, or a number from 0 to {len(self._workers) - 1}, or None",
        )


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
    `arrive(act, r, workers)`, `token(act, r, w)`. Raises ValueError for one that has none, and for
    answers that are no worker.
    """
    policy = externs[extern.name]
    act = ExternActions(extern.name, actions, system)
    written = {kind: {r[2:] for r in extern.reads if r[0] == kind} for kind in "rw"}
    reads: Reads = {
        Request: frozenset({"id", *written["r"]}),
        Worker: frozenset({"id", *written["w"]}),
        Memory: _OF_MEMORY,
        BatchView: _OF_A_BATCH | {"prefilling", "decoding"},
    }

    def choose(request: Request) -> None:
        chosen = policy(shown(request, reads), shown(system.workers, reads))  # type: ignore[operator]
        if chosen is not None:
            act.dispatch(View(request, reads), chosen)

    def hook(method: Callable[..., object], event: str) -> Program:
        def call(*about: object) -> None:
            views = [shown(thing, reads) for thing in about]
            if event in ("arrive", "submit"):
                views.append(shown(system.workers, reads))
            method(act, *views)

        return call

    events = OF_A_WORKER if local else OF_THE_CLUSTER
    found = [(e, hook(getattr(policy, e), e)) for e in events if hasattr(policy, e)]
    if found or any(hasattr(policy, e) for e in (*OF_THE_CLUSTER, *OF_A_WORKER)):
        return found
    if callable(policy):
        return [] if local else [("arrive", choose), ("submit", choose)]
    known = ", ".join((*OF_THE_CLUSTER, *OF_A_WORKER))
    raise _wrong(extern.name, "is no function, and handles no event", f"the events are {known}")
