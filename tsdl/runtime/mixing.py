"""Requests of several workloads that arrive together: those of each, in order of time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from tsdl.runtime.contents import UNKNOWN, Parted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsdl.runtime.arrivals import Arrivals, Floats, Whole
    from tsdl.runtime.contents import Content


class Contents(Struct, frozen=True):
    """What is in the prompts of rows that are those of several workloads; no two share a text."""

    of_parts: tuple[Callable[[int], Content] | None, ...]
    part: Whole  # of each row
    row: Whole  # its number there

    def __call__(self, row: int) -> Content:
        """Return what is in the prompt of a row."""
        part = int(self.part[row])
        known = self.of_parts[part]
        content = UNKNOWN if known is None else known(int(self.row[row]))
        assert not isinstance(content, Parted), "a part is not mixed itself"
        return Parted(content, part, len(self.of_parts))


def mixed(parts: list[Arrivals]) -> Arrivals:
    """Return the requests of all parts; of those that come at one time, the first part's first.

    Whoever has no priority, where others have one, has 0.
    """
    talks = any(part.turns is not None for part in parts)
    whole = any(part.whole for part in parts)
    turns = np.concatenate([_turns(part) for part in parts])
    starts = np.concatenate([_starts(part) for part in parts])
    before = np.cumsum([0, *(len(part.arrived) for part in parts)])
    starts += np.repeat(before[:-1], [len(_turns(part)) for part in parts])
    arrived = np.concatenate([part.arrived for part in parts])
    order = np.argsort(arrived[starts], kind="stable")
    rows = _rows(starts[order], turns[order])
    part = np.repeat(np.arange(len(parts)), [len(each.arrived) for each in parts])[rows]
    prompts = [_whole(each) if whole else each.prompt for each in parts]
    contents = None
    if any(each.contents is not None for each in parts):
        own = tuple(each.contents for each in parts)
        contents = Contents(own, part, rows - before[part])
    return replace(
        parts[0],
        arrived=arrived[rows],
        prompt=np.concatenate(prompts)[rows],
        output=np.concatenate([each.output for each in parts])[rows],
        priority=_priorities(parts, rows),
        attributes={
            name: np.concatenate([each.attributes[name] for each in parts])[rows]
            for name in parts[0].attributes
        },
        turns=turns[order] if talks else None,
        think=_thinks(parts)[rows] if talks else np.zeros(0),
        whole=whole,
        contents=contents,
    )


def _turns(part: Arrivals) -> Whole:
    """Return how many turns each conversation has; a request alone is one of one turn."""
    return np.ones(len(part.arrived), np.int64) if part.turns is None else part.turns


def _starts(part: Arrivals) -> Whole:
    turns = _turns(part)
    starts: Whole = np.cumsum(turns) - turns
    return starts


def _rows(starts: Whole, turns: Whole) -> Whole:
    """Return the rows of conversations, one conversation after another."""
    within = np.arange(int(turns.sum())) - np.repeat(np.cumsum(turns) - turns, turns)
    rows: Whole = np.repeat(starts, turns) + within
    return rows


def _whole(part: Arrivals) -> Whole:
    """Return prompts with all that was said before in them."""
    if part.whole or part.turns is None:
        return part.prompt
    said = np.cumsum(part.prompt + part.output)
    before = np.repeat(said[_starts(part)] - (part.prompt + part.output)[_starts(part)], part.turns)
    prompts: Whole = said - part.output - before
    return prompts


def _priorities(parts: list[Arrivals], rows: Whole) -> Floats | None:
    if all(part.priority is None for part in parts):
        return None
    found = [np.zeros(len(p.arrived)) if p.priority is None else p.priority for p in parts]
    priorities: Floats = np.concatenate(found)[rows]
    return priorities


def _thinks(parts: list[Arrivals]) -> Floats:
    found = [part.think if len(part.think) else np.zeros(len(part.arrived)) for part in parts]
    thinks: Floats = np.concatenate(found)
    return thinks
