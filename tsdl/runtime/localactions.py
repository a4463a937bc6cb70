"""What handlers of a local stage may do: not compiled, as it finds its methods when asked."""

from collections.abc import Callable

from tsdl.formulaerrors import CALLER, CannotBe, cannot_be, see_to_size
from tsdl.runtime.actions import Actions
from tsdl.runtime.worker import Worker


class LocalActions:
    """The actions of the local stage of one worker: those of all, and what is about the worker."""

    def __init__(self, actions: Actions, worker: Worker) -> None:
        """Act on a worker; all else goes to the actions of the global stage."""
        self._actions = actions
        self._worker = worker

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return an action that is the same in both stages; the next time it is found at once."""
        action: Callable[..., None] = getattr(self._actions, name)
        setattr(self, name, action)
        return action

    def delay(self, seconds: float) -> None:
        """Have the worker do nothing for so long. Raises CannotBe for less than nothing."""
        see_to_size(seconds, "delays a worker by")
        if cannot_be(seconds):
            raise CannotBe(
                CALLER,
                f"a handler delays worker {self._worker.id} by {seconds:g} seconds",
                "see to it that a `delay` is never negative: `max(0 s, …)`",
            )
        self._worker.spend(seconds, self._actions.system.clock.now)

    def record(self, name: str, value: float) -> None:
        """Note a number under a name, and of which worker it is. Raises CannotBe as in actions."""
        see_to_size(value, "records")
        system = self._actions.system
        system.notes.records.append((system.clock.now, self._worker.id, name, float(value)))
