"""The stages of a policy at work: state, handlers and extern policies, as hooks by event."""

from collections.abc import Mapping, Sequence

from tsdl.facts import reads_on
from tsdl.formula import STATE
from tsdl.plan import Global, Local
from tsdl.planhandlers import Handler
from tsdl.runtime.actions import Actions
from tsdl.runtime.candidates import Candidates
from tsdl.runtime.clock import Clock
from tsdl.runtime.externs import OF_THE_CLUSTER, extern_hooks
from tsdl.runtime.limits import Guard, Steps
from tsdl.runtime.localactions import LocalActions
from tsdl.runtime.programs import Program, merged, programs
from tsdl.runtime.rules import Rules
from tsdl.runtime.selections import Selections
from tsdl.runtime.states import state_of
from tsdl.runtime.streams import stream
from tsdl.runtime.system import System
from tsdl.runtime.worker import Worker

Timer = tuple[float, Program]  # seconds between two, what is done


def looking(
    program: Program, workers: Sequence[Worker], clock: Clock, *, on: bool = False
) -> Program:
    """Return a handler that has workers catch up before it looks at them.

    With `on` it may look at them again after a dispatch, which they take at once then.
    """
    behind = [worker for worker in workers if worker.woken is not None]
    if not behind:
        return program

    def call(*about: object) -> None:
        now = clock.now
        for worker in behind:
            if worker.due <= now or worker.inbox:
                worker.catch_up()
        program(*about)

    if not on:
        return call

    def looking_on(*about: object) -> None:
        for worker in behind:
            worker.looked_at = True
        try:
            call(*about)
        finally:
            for worker in behind:
                worker.looked_at = False

    return looking_on


class Stages:
    """The hooks of the global stage by event, those of each worker, and all timers."""

    def __init__(
        self, system: System, actions: Actions, seed: int, externs: Mapping[str, object],
        guard: Guard | None = None,
    ) -> None:  # fmt: skip
        """Set up both stages; those of workers go to the workers themselves.

        What they go through is counted for a `guard`, where there is one.
        """
        self.system = system
        self.steps = steps = Steps(guard) if guard is not None else None
        self.actions = actions
        self.externs = externs
        self.timers: list[Timer] = []
        self.selections = selections = Selections(stream(seed, "dispatch"), steps)
        self.in_turn: Sequence[Worker] = ()  # where arrivals go in turn, whatever goes on there
        router = system.plan.router
        # What handlers and clauses of the global stage read, by name.
        self.names = selections.names() | {
            "workers": system.up, "pending": system.pending, "clock": system.clock,
        }  # fmt: skip
        found = self._stage(router, actions, self.names)
        self.events = {event: merged(functions) for event, functions in found.items()}
        for worker in system.workers:
            self._local(worker, found, Selections(stream(seed, f"local.{worker.id}"), steps))

    def _stage(
        self, stage: Local | Global, actions: Actions | LocalActions, names: dict[str, object]
    ) -> dict[str, list[Program]]:
        """Return the functions of a stage by event; timers are kept aside."""
        clock = self.system.clock
        states = {f"{STATE}{s.name}": state_of(s, clock) for s in stage.states}
        names |= states
        names["do"] = actions
        if self.steps is not None:
            names["tuple"] = self.steps.through
        found: dict[str, list[Program]] = {}
        candidates = Candidates(stage.policy, self.system.workers)
        fixed = [candidates.handler(handler) for handler in stage.handlers]
        names |= candidates.names
        if isinstance(stage, Global) and len(fixed) == 1 and stage.extern is None:
            self.in_turn = candidates.in_turn(fixed[0])
        handlers: list[tuple[Handler | None, str, Program]] = [
            (
                handler,
                handler.event,
                looking(program, candidates.looked_at(handler), clock, on=reads_on(handler)),
            )
            for handler, program in programs(
                stage.policy, fixed, names, of_the_cluster=isinstance(stage, Global)
            )
        ]
        if stage.extern is not None:
            local = isinstance(stage, Local)
            handlers += [
                (None, event, program)
                for event, program in extern_hooks(
                    stage.extern, self.externs, self.actions, self.system, local=local
                )
            ]
        for event in dict.fromkeys(event for handler, event, _ in handlers if handler is None):
            if event in ("arrive", "submit"):  # what Python says wins over what the library would
                handlers = [h for h in handlers if h[0] is None or h[1] != event]
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
        states = {key: value for key, value in names.items() if key.startswith(STATE)}
        states["clock"] = self.system.clock
        draws = selections.random_stream
        worker.rules = Rules(worker.local, lambda: Selections(draws, self.steps).names() | states)
        for event in dict.fromkeys([*found, *everywhere]):
            hook = merged(found.get(event, []) + everywhere.get(event, []))
            if hook is not None and event not in OF_THE_CLUSTER:
                worker.hooks[event] = hook
