"""Handlers that look every so often, and when it is clear that they do so in vain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsdl.formula import NOW, every_part
from tsdl.plan import Global, Local, Plan, of_stage
from tsdl.runtime.clock import TIMER, Process

if TYPE_CHECKING:
    from tsdl.runtime.engine import Engine
    from tsdl.runtime.programs import Program

MOST_ROUNDS = 10_000  # in a row with nothing else to come: then nothing will
MORE_ROUNDS = 1_000_000  # the same where a policy goes by the time, which passes


class Timers:
    """The timers of an engine's stages; once `over`, nothing will ever happen any more."""

    def __init__(self, engine: Engine) -> None:
        """Begin before the first round."""
        self.engine = engine
        self.over = False
        # Rounds in vain; when the last one was, and after how many iterations.
        self._rounds, self._looked, self._iterated = 0, -1.0, 0
        self.most = MORE_ROUNDS if goes_by_time(engine.plan) else MOST_ROUNDS

    def begin(self) -> None:
        """Let all of them run."""
        timers = self.engine.stages.timers
        for index, (every, program) in enumerate(timers):
            self.engine.clock.process(self._run(every, program, TIMER + index / len(timers)))

    def _run(self, every: float, program: Program, priority: float) -> Process:
        """Let a handler look every so often, until nothing is open or nothing will change."""
        engine, clock, count = self.engine, self.engine.clock, 0
        while engine.open and not self.over:
            count += 1
            yield clock.at(count * every, priority)
            engine.catch_up()
            if not engine.open:
                return
            if clock.now != self._looked:  # timers of one time are one round
                self._count_round()
            program()
            engine.router.dispatch_pending()
            self._have_conditions_asked()
            if self._rounds > self.most:
                self._rounds = 0
                self.over = not engine.break_deadlock()

    def _count_round(self) -> None:
        """Count the rounds in a row before which nothing has happened since the last one.

        That workers fail and start between them changes nothing; until one is up is no round.
        """
        engine = self.engine
        iterations = sum([worker.iterations for worker in engine.workers])
        if iterations != self._iterated or not engine.still:
            self._rounds = 0
        elif engine.quiet:
            self._rounds += 1
        self._looked, self._iterated = engine.clock.now, iterations

    def _have_conditions_asked(self) -> None:
        """Let workers look whose policy says who may go on: a timer may have changed that."""
        for worker in self.engine.workers:
            if worker.has_to_ask:
                self.engine.system.wake(worker)


def goes_by_time(plan: Plan) -> bool:
    """Tell whether what a policy does may change because time passes, and for nothing else."""
    stages: list[Local | Global] = [plan.router, *(kind.local for kind in plan.workers)]
    windows = any(state.window is not None for stage in stages for state in stage.states)
    return windows or NOW in every_part(*(value for stage in stages for value in of_stage(stage)))
