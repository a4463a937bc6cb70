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
                of_all = _of_all(one)
                if isinstance(of_all, Formula) and of_all.operation == "symbol":
                    name = str(of_all.arguments[0])
                    if name in SHARES:
                        return name, float(other)
    return None


def _of_all(value: Value) -> Value:
    """Return a total of all requests for one of some."""
    some = isinstance(value, Formula) and value.operation == "where"
    return value.arguments[0] if some else value  # type: ignore[union-attr]
