"""The clauses of a local stage as functions, and the order in which a heap hands requests out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tsdl import pythonsource
from tsdl.parts import of_budget, of_clause

if TYPE_CHECKING:
    from tsdl.formula import Value
    from tsdl.plan import Local
    from tsdl.runtime.memory import Memory
    from tsdl.runtime.request import Request
    from tsdl.runtime.worker import Worker


class Rules:
    """The clauses of a local stage as functions of a request, KV memory and worker."""

    def __init__(self, local: Local, names: Callable[[], dict[str, object]]) -> None:
        """Compile them; `names` returns what one may read besides, with turns of its own."""
        self._names = names
        self._policy = local.policy
        self.admit_when = self._condition("admit when", local.admit_when, usual=True)
        self.evict_when = self._condition("evict when", local.evict_when, usual=False)
        self.resume_when = self._condition("resume when", local.resume_when, usual=True)
        self.budget: Callable[[Memory, Worker], Any] | None = None
        if local.budget is not None:
            source = pythonsource.python(local.budget)
            part = of_budget(local.policy)
            self.budget = pythonsource.function(part, "kv, w", source, names())
        self.admit_by = [self._rule("admit by", key) for key in local.admit_by]
        self.evict_by = [self._rule("evict by", key) for key in local.evict_by]
        self.resume_by = [self._rule("resume by", key) for key in local.resume_by]

    def _rule(self, clause: str, rule: Value) -> Callable[[Request, Memory, Worker], Any]:
        part, source = of_clause(self._policy, clause), pythonsource.python(rule)
        return pythonsource.function(part, "r, kv, w", source, self._names())  # type: ignore[no-any-return]

    def _condition(
        self, clause: str, rule: Value, *, usual: bool
    ) -> Callable[[Request, Memory, Worker], Any] | None:
        """Return a condition as a function; None where it is what holds without one."""
        return None if rule is usual else self._rule(clause, rule)


def heap_order(heap: list[Request]) -> list[Request]:
    """Return the order in which a binary heap yields elements that it finds equal.

    That is how TokenSim's queue hands out what came in during one iteration: the root goes, the
    hole sinks to a leaf, to the right where there is a right, and the last fills it.
    """
    found: list[Request] = []
    while heap:
        last = heap.pop()
        if not heap:
            return [*found, last]
        found.append(heap[0])
        hole = 0
        while (child := 2 * hole + 1) < len(heap):
            child += child + 1 < len(heap)
            heap[hole] = heap[child]
            hole = child
        heap[hole] = last
    return found
