"""Settings of a program that change nothing, since what they are about is not there."""

from tsdl.evaluate import Evaluator, Instance
from tsdl.program import Declaration
from tsdl.source import Span


def report_ineffective(
    evaluator: Evaluator, block: Instance, keys: tuple[str, ...], why: str, remedy: str
) -> None:
    """Warn of those fields of a block that its program sets, to something else than the default.

    What a declaration inherits may have an effect in the one that says it, and what is said in one
    that others derive from in these.
    """
    for key in keys:
        override, said = block.overrides.get(key), block.members.fields.get(key)
        own = said is not None and said.owner is block.declaration
        if override is None and (not own or is_base(evaluator, block.declaration)):
            continue
        if evaluator.get(block, key) != evaluator.usual(block, key):
            warn(evaluator, f"{block.path}{key}", evaluator.span(block, key), why, remedy)


def is_base(evaluator: Evaluator, declaration: Declaration) -> bool:
    """Tell whether others derive from a declaration."""
    every = evaluator.program.declarations
    return any(base.declaration is declaration for one in every for base in one.bases)


def warn(evaluator: Evaluator, what: str, place: Span, why: str, remedy: str) -> None:
    """Warn of what a program says, but not of what the library does; once, whoever uses it."""
    told = (found for found in evaluator.sink.found if found.code == "W0529")
    if not place.source.of_library and not any(found.span == place for found in told):
        evaluator.sink.warning("W0529", f"`{what}` has no effect: {why}", place, help=(remedy,))
