"""The stages of a policy at work: state, handlers and extern policies, as hooks by event."""

from collections.abc import Callable, Mapping
from typing import Any

from tsdl.plan import Extern, Global, Handler, Local
from tsdl.runtime.actions import Actions, LocalActions
from tsdl.runtime.programs import Program, merged, programs
from tsdl.runtime.request import Request
from tsdl.runtime.rules import Rules
from tsdl.runtime.selections import Selections
from tsdl.runtime.states import state_of
from tsdl.runtime.streams import stream
from tsdl.runtime.system import System
from tsdl.runtime.worker import Worker

# Events that belong to no worker; all others have a hook on each.
OF_THE_CLUSTER = ("arrive", "submit", "evict")
OF_A_WORKER = (
    "start", "admit", "token", "finish", "preempt", "transferred", "iteration",
)  # fmt: skip

Timer = tuple[float, Program]  # seconds between two, what is done


class Stages:
    """The hooks of the global stage by event, those of each worker, and all timers."""

    def __init__(
        self, system: System, actions: Actions, seed: int, externs: Mapping[str, object]
    ) -> None:
        """Set up both stages; those of workers go to the workers themselves."""
        self.system = system
        self.actions = actions
        self.externs = externs
        self.timers: list[Timer] = []
        selections = Selections(stream(seed, "dispatch"))
        everywhere = {"workers": system.workers, "clock": system.clock}
        router = system.plan.router
        found = self._stage(router, actions, selections.names() | everywhere)
        self.events = {event: merged(functions) for event, functions in found.items()}
        for worker in system.workers:
            self._local(worker, found, Selections(stream(seed, f"local.{worker.id}")))

    def _stage(
        self, stage: Local | Global, actions: Actions, names: dict[str, object]
    ) -> dict[str, list[Program]]:
        """Return the functions of a stage by event; timers are kept aside."""
        states = {f"state_{s.name}": state_of(s, self.system.clock) for s in stage.states}
        names |= states
        names["do"] = actions
        found: dict[str, list[Program]] = {}
        handlers: list[tuple[Handler | None, str, Program]] = [
            (handler, handler.event, program)
            for handler, program in programs(f"policy {stage.policy}", stage.handlers, names)
        ]
        if stage.extern is not None:
            local = isinstance(stage, Local)
            handlers += [
                (None, event, program)
                for event, program in extern_hooks(
                    stage.extern, self.externs, actions, self.system, local=local
                )
            ]
        for handler, event, program in handlers:
            if handler is not None and handler.every is not None:
                self.timers.append((handler.every, program))
            else:
                found.setdefault(event, []).append(program)
        return found

    def _local(
        self, worker: Worker, everywhere: dict[str, list[Program]], selections: Selections
    ) -> None:
        """Give a worker its rules and hooks; the global stage sees its events after its own."""
        names = selections.names() | {
            "w": worker, "kv": worker.memory, "clock": self.system.clock,
        }  # fmt: skip
        found = self._stage(worker.local, LocalActions(self.actions, worker), names)
        rules = {key: value for key, value in names.items() if key not in ("w", "kv", "do")}
        worker.rules = Rules(worker.local, rules)
        for event in dict.fromkeys([*found, *everywhere]):
            hook = merged(found.get(event, []) + everywhere.get(event, []))
            if hook is not None and event not in OF_THE_CLUSTER:
                worker.hooks[event] = hook


# -- policies in Python ----------------------------------------------------------------------------


class View:
    """What an extern policy sees of a request or worker: its number, and what it says it reads."""

    __slots__ = ("_reads", "_thing")

    def __init__(self, thing: Request | Worker, reads: frozenset[str]) -> None:
        """Show some fields of a thing."""
        self._thing = thing
        self._reads = reads

    @property
    def id(self) -> int:
        """Return its number."""
        return self._thing.id

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the field is)
        """Return a field that the policy has declared to read."""
        if name in self._reads:
            return getattr(self._thing, name)
        raise AttributeError(
            f"the policy does not say that it reads `{name}`; its `reads` has "
            f"{', '.join(sorted(self._reads)) or 'nothing'}"
        )


class ExternActions:
    """The actions as an extern policy calls them: `act.dispatch(r, w)`, with what it was shown."""

    def __init__(self, actions: Actions, system: System, requests: dict[int, Request]) -> None:
        """Act by way of the language's own actions."""
        self._actions = actions
        self._system = system
        self._requests = requests

    def dispatch(self, request: View, worker: View | int) -> None:
        """Send a request to a worker."""
        number = worker if isinstance(worker, int) else worker.id
        self._actions.dispatch(self._requests[request.id], self._system.workers[number])

    def submit(self, request: View) -> None:
        """Have a request leave its worker."""
        self._actions.submit(self._requests[request.id])

    def preempt(self, request: View) -> None:
        """Have a request give its place up."""
        self._actions.preempt(self._requests[request.id])

    def reject(self, request: View) -> None:
        """Reject a request."""
        self._actions.reject(self._requests[request.id])

    def log(self, *values: object) -> None:
        """Note a line of text."""
        self._actions.log(*values)


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
    `arrive(act, r, workers)`, `token(act, r, w)`.
    """
    policy = externs[extern.name]
    seen: dict[int, Request] = {}
    act = ExternActions(actions, system, seen)
    reads = {kind: frozenset(r[2:] for r in extern.reads if r[0] == kind) for kind in "rw"}

    def shown(thing: object) -> object:
        if isinstance(thing, Request):
            seen[thing.id] = thing
            return View(thing, reads["r"])
        return View(thing, reads["w"]) if isinstance(thing, Worker) else thing

    def choose(request: Request) -> None:
        workers = [View(w, reads["w"]) for w in system.workers]
        chosen = policy(shown(request), workers)  # type: ignore[operator]
        if chosen is not None:
            act.dispatch(View(request, reads["r"]), chosen)

    def hook(method: Callable[..., object], event: str) -> Program:
        def call(*about: object) -> None:
            views = [shown(thing) for thing in about]
            if event in ("arrive", "submit"):
                views.append([View(w, reads["w"]) for w in system.workers])
            method(act, *views)

        return call

    if not any(hasattr(policy, event) for event in (*OF_THE_CLUSTER, *OF_A_WORKER)):
        return [] if local else [("arrive", choose), ("submit", choose)]
    events = OF_A_WORKER if local else OF_THE_CLUSTER
    return [(e, hook(getattr(policy, e), e)) for e in events if hasattr(policy, e)]
