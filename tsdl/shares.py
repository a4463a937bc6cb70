"""Conditions on shares that hold always or never: a share is at most the whole."""

from tsdl.formula import Formula, Value, every_part
from tsdl.schema import SHARES

_COMPARED = ("<", "<=", ">", ">=", "==", "!=")


def beyond(condition: Value) -> tuple[str, float] | None:
    """Return the first share of a condition that is compared with more than 1, and that number."""
    for part in every_part(condition):
        if part.operation in _COMPARED:
            for one, other in (part.arguments, part.arguments[::-1]):
                if not (isinstance(other, (int, float)) and other > 1):
                    continue
                if isinstance(one, Formula) and one.operation == "symbol":
                    name = str(one.arguments[0])
                    if name in SHARES:
                        return name, float(other)
    return None
