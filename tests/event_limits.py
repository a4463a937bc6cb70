"""A run that ends in an error where it has more events than a test lets it have."""

from __future__ import annotations

from tsdl.runtime.engine import Engine


class TooLongError(Exception):
    """A run has had more events than a test lets it have."""


def limit_events(engine: Engine, most: int) -> None:
    """Let a run end in a TooLongError where it has more events than that."""
    step = engine.clock.step
    left = iter(range(most))

    def counted() -> None:
        if next(left, None) is None:
            raise TooLongError(f"after {most} events, at {engine.clock.now} s")
        step()

    setattr(engine.clock, "step", counted)  # noqa: B010 (mypy lets nobody assign to a method)
