"""A part of what a file brings: its requests from a time on."""

from itertools import accumulate
from typing import Any

from msgspec.structs import replace

from tsdl.planworkload import Table
from tsdl.traces.rows import Recorded


def since(found: Recorded, begin: float) -> Recorded:
    """Return what arrives at a time of the file or later, in seconds; times count from it then.

    Of sessions those count whose first call does. It may be nothing at all.
    """
    table = found.table
    kept = [row for row, arrived in enumerate(table.arrived) if arrived >= begin]

    def part(column: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple([column[row] for row in kept]) if column else ()

    firsts = [0, *accumulate(table.turns)]
    turns = tuple(
        turns
        for turns, first in zip(table.turns, firsts, strict=False)
        if table.arrived[first] >= begin
    )
    return replace(
        found,
        table=Table(
            tuple([arrived - begin for arrived in part(table.arrived)]),
            part(table.prompt),
            part(table.output),
            part(table.content),
            table.span,
            turns,
            part(table.think),
        ),
        priority=part(found.priority),
        attributes=tuple(replace(each, values=part(each.values)) for each in found.attributes),
    )
