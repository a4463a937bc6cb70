"""What files of results must look like: a shape is met, or it is said where it is not."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from tsdl.schema.studies import PLOTS

NUMBER = (int, float, type(None))  # undefined is null
_LARGEST = 2**1000  # a float holds it
CELL = (int, float, str, bool, type(None))


class Each(Struct, frozen=True):
    """Any number of members, each of one shape."""

    shape: object


class Maybe(Struct, frozen=True):
    """A member that need not be there."""

    shape: object


class OrNull(Struct, frozen=True):
    """A shape, or nothing."""

    shape: object


class OneOf(Struct, frozen=True):
    """One of a few texts."""

    names: tuple[str, ...]


def check(data: Any, shape: object, where: str = "") -> None:  # noqa: ANN401 (JSON)
    """See that data has a shape. Raises ValueError, which says what is not as it should be.

    A shape is a type or several; a mapping of members that must be there, others may; `Each`,
    `OrNull`, `OneOf`; or a list with the shape of its items, of any number.
    """
    if isinstance(shape, Mapping):
        _be(data, dict, where)
        for name, inner in shape.items():
            place = f"{where}.{name}" if where else name
            if isinstance(inner, Maybe):
                if name in data:
                    check(data[name], inner.shape, place)
                continue
            if name not in data:
                raise ValueError(f"`{place}` is missing")
            check(data[name], inner, place)
    elif isinstance(shape, OrNull):
        if data is not None:
            check(data, shape.shape, where)
    elif isinstance(shape, OneOf):
        _be(data, str, where)
        if data not in shape.names:
            raise ValueError(f"`{where}` is not one of {', '.join(shape.names)}")
    elif isinstance(shape, Each):
        _be(data, dict, where)
        for name, item in data.items():
            check(item, shape.shape, f"{where}.{name}")
    elif isinstance(shape, list):
        _be(data, list, where)
        for number, item in enumerate(data):
            check(item, shape[0], f"{where}[{number}]")
    else:
        _be(data, shape, where)


def _be(data: object, kind: Any, where: str) -> None:  # noqa: ANN401 (what isinstance takes)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if (isinstance(data, bool) and bool not in kinds) or not isinstance(data, kinds):
        raise ValueError(f"`{where or 'the file'}` is not what stands there in results")
    if isinstance(data, int) and abs(data) > _LARGEST:
        raise ValueError(f"`{where}` is no number that can be computed with")


_TOTALS = (
    "makespan", "throughput", "token_throughput", "goodput", "attainment", "utilization",
    "preemptions", "acceptance_length", "end",
)  # fmt: skip
_OF_A_WORKER = (
    "devices", "iterations", "busy", "utilization", "preemptions", "kv_capacity", "kv_peak",
)  # fmt: skip
_OF_THE_CLUSTER = (
    "devices", "price", "idle_power", "decode_power", "peak_power", "energy", "energy_per_token",
    "cost", "cost_per_million_tokens", "carbon", "carbon_per_token",
)  # fmt: skip
_STATISTICS = dict.fromkeys(("mean", "p50", "p90", "p99", "max"), NUMBER)

SUMMARY = {
    "scenario": str,
    "plan": str,
    "seed": int,
    "requests": {
        **dict.fromkeys(("arrived", "finished", "rejected", "unfinished", "warmup"), int),
        "stuck": [int],
    },
    **dict.fromkeys(_TOTALS, NUMBER),
    "latency": Each(_STATISTICS),
    "metrics": Each({"count": int, **_STATISTICS}),
    "tokens": {"prompt": _STATISTICS, "output": _STATISTICS},
    "cluster": dict.fromkeys(_OF_THE_CLUSTER, NUMBER),
    "transfers": {"count": int, "bytes": NUMBER, "time": _STATISTICS},
    "tiers": [Each(CELL)],
    "workers": [
        {
            "id": int,
            "name": str,
            "hardware": str,
            **dict.fromkeys(_OF_A_WORKER, NUMBER),
        }
    ],
    "expect": [{"text": str, "value": NUMBER, "passed": bool}],
    "steady": OrNull(bool),
    "partial": OrNull({"at": float, "by": str, "limit": float}),
}

_NAMED = {"text": str, "unit": str}

STUDY = {
    "study": str,
    "scenario": str,
    "seed": (int, type(None)),
    "replicates": int,
    "columns": Each(str),
    "table": Each(str),
    "scales": Each({"unit": str, "size": float}),
    "rows": [
        {
            "point": Each(CELL),
            "status": str,
            "runs": [{"plan": str, "seed": int}],
            "notes": Maybe([str]),
            "reason": Maybe(str),
            "values": Each({"mean": NUMBER, "half_width": NUMBER}),
        }
    ],
    "expect": [{"text": str, "passed": bool, "failed": [Each(CELL)], "told": str}],
    "pictures": [
        {
            "kind": OneOf(tuple(PLOTS)),
            "text": str,
            "shown": [_NAMED],
            "channels": Each(_NAMED),
            "log": Maybe([OneOf(("x", "y"))]),
            "rows": [
                {
                    "point": Each(CELL),
                    "channels": Each(CELL),
                    "values": Maybe([NUMBER]),
                    "half_widths": Maybe([NUMBER]),
                    "percentiles": Maybe([[NUMBER]]),
                }
            ],
        }
    ],
}
