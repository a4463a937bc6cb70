"""What handlers, rules and `let`s of a stage know, besides what they are about."""

from tsdl.types import Quantity, Record, Sequence, Type
from tsdl.units import Dimension

TIME = Quantity(Dimension.of("time"))
AMBIENT: dict[str, dict[str, Type]] = {
    "local": {"now": TIME, "w": Record("worker"), "kv": Record("kv")},
    "global": {
        "now": TIME,
        "workers": Sequence(Record("worker")),
        "pending": Sequence(Record("request")),
    },
}
