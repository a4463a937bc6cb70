"""Settings of a program that change nothing, since what they are about is not there."""

from tsdl.evaluate import Evaluator, Instance
from tsdl.source import Span


def report_ineffective(
    evaluator: Evaluator, block: Instance, keys: tuple[str, ...], why: str, remedy: str
) -> None:
    """Warn of those fields of a block that its program sets, to something else than the default.

    What a declaration inherits may have an effect in the one that says it.
    """
    for key in keys:
        override, said = block.overrides.get(key), block.members.fields.get(key)
        if override is None and (said is None or said.owner is not block.declaration):
            continue
        if evaluator.get(block, key) != evaluator.usual(block, key):
            warn(evaluator, f"{block.path}{key}", evaluator.span(block, key), why, remedy)


def warn(evaluator: Evaluator, what: str, place: Span, why: str, remedy: str) -> None:
    """Warn of what a program says, but not of what the library does; once, whoever uses it."""
    told = (found for found in evaluator.sink.found if found.code == "W0529")
    if not place.source.of_library and not any(found.span == place for found in told):
        evaluator.sink.warning("W0529", f"`{what}` has no effect: {why}", place, help=(remedy,))
