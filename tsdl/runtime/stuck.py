"""Who is stuck when a run is over, by what they wait for: to be dispatched, or a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tsdl.parts import of_clause, of_handler

if TYPE_CHECKING:
    from tsdl.plan import Plan
    from tsdl.runtime.engine import Engine
    from tsdl.runtime.request import Request

_SHOWN = 10  # requests that are named
_LINES = 5  # groups that are told


class Stuck(Struct, frozen=True):
    """Requests that wait for the same for ever: what does not happen, with `{}` for who they are.

    `where` says what decides it: a handler or a clause, with its place where that is known.
    """

    requests: tuple[int, ...]
    what: str
    where: str

    def __str__(self) -> str:
        """Say it in a line."""
        shown = ", ".join(map(str, self.requests[:_SHOWN]))
        more = ", …" if len(self.requests) > _SHOWN else ""
        return self.what.format(shown + more) + (f" ({self.where})" if self.where else "")


def stuck_in(engine: Engine) -> list[Stuck]:
    """Return those that are still there when nothing happens any more, in groups."""
    found: dict[tuple[str, str], list[int]] = {}
    for request in engine.ledger.live.values():
        why = _not_dispatched(engine, request) if request.loose else _at_worker(engine, request)
        found.setdefault(why, []).append(request.id)
    return [Stuck(tuple(numbers), *why) for why, numbers in found.items()]


def _not_dispatched(engine: Engine, request: Request) -> tuple[str, str]:
    router = engine.plan.router
    event = "submit" if request in engine.router.queues["submit"] else "arrive"
    by = of_handler(router.policy, event)
    if router.extern is not None:
        where = f"the policy `{router.extern.name}` in Python"
    else:
        where = _placed(engine.plan, by)
    if not engine.system.up:
        where += "; no worker is up"
    if engine.timers.over:
        where += f"; timers have found nothing to do {engine.timers.most:,} times in a row"
    return "no handler dispatches {} to a worker that takes them", where


def _at_worker(engine: Engine, request: Request) -> tuple[str, str]:
    worker = engine.workers[request.worker]
    name, local = f"worker {worker.kind.name} {worker.id}", worker.local
    if request in worker.swapped:
        clause, used = "resume when", local.resume_when is not True
        what = f"{name} will never swap {{}} back in"
    elif request.active:
        return f"{name} will never go on with {{}}", ""
    else:
        clause, used = "admit when", local.admit_when is not True
        what = f"{name} will never admit {{}}"
    return what, _placed(engine.plan, of_clause(local.policy, clause)) if used else ""


def _placed(plan: Plan, part: str) -> str:
    """Return what a part is called, with where it stands."""
    places = ", ".join(place.place for place in plan.places if place.part == part)
    return f"{part}: {places}" if places else part


def lines_of(groups: list[Stuck]) -> list[str]:
    """Return a line for each of the first groups, and one for the others together."""
    lines = [f"stuck: {group}" for group in groups[:_LINES]]
    rest = sum(len(group.requests) for group in groups[_LINES:])
    return [*lines, f"stuck: … and {rest:,} more"] if rest else lines
