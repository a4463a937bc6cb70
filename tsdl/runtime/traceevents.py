"""A timeline in the Trace Event Format, which Perfetto and chrome://tracing open.

The format: "Trace Event Format" (Google, 2016), as Perfetto reads it (docs/trace_processor and
src/trace_processor/importers/json of github.com/google/perfetto). Slices of one track nest or
follow one another; what may overlap in any way is asynchronous, or has tracks of its own. Numbers
of tracks are never those of another process, for Perfetto keeps names by number alone.
"""

from __future__ import annotations

import json
import math
from itertools import count
from typing import TYPE_CHECKING, Any

from tsdl.runtime.timeline import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsdl.runtime.result import Result
    from tsdl.runtime.timeline import Place, Timeline, Transfer

_REQUESTS = 1  # the process of what is about requests; those of workers follow
_ARRIVALS, _REJECTIONS, _PREEMPTIONS = "arrivals", "rejections", "preemptions"
_STATES = "states"
_WIDTH = len(FEATURES)
Event = dict[str, Any]
Track = tuple[int, str, int]  # worker (−1 for the cluster), kind, number


def trace_json(result: Result) -> Iterator[str]:
    """Yield the trace of a run as JSON, some lines at a time.

    Times are in microseconds, to the nanosecond. Raises ValueError for a run that was not traced.
    """
    if result.timeline is None:
        raise ValueError("the run was not traced: plan.run(trace=True)")
    yield '{"traceEvents":[\n'
    before = ""
    for event in _Writer(result, result.timeline).events():
        yield before + json.dumps(event, separators=(",", ":"), allow_nan=False)
        before = ",\n"
    about = {name: result.summary[name] for name in ("scenario", "plan", "seed")}
    yield '\n],"otherData":' + json.dumps(about) + "}\n"


def _time(seconds: float) -> float:
    """Return microseconds: whole nanoseconds, so that what touches does not overlap."""
    return round(seconds * 1e9) / 1e3


def _slice(name: str, kind: str, begin: float, end: float, arguments: Event) -> Event:
    at = round(begin * 1e9)
    return {
        "ph": "X", "name": name, "cat": kind, "ts": at / 1e3,
        "dur": (round(end * 1e9) - at) / 1e3, "args": arguments,
    }  # fmt: skip


class _Writer:
    """Events of a run, with the numbers of their processes and tracks."""

    def __init__(self, result: Result, timeline: Timeline) -> None:
        self.result, self.timeline = result, timeline
        self.workers = result.summary["workers"]
        numbers = count(len(self.workers) + _REQUESTS + 1)
        self.tracks = {track: next(numbers) for track in sorted(self._tracks(), key=_place)}

    def events(self) -> Iterator[Event]:
        """Yield all events: names, then slices before what is bound to them."""
        yield from self._names()
        yield from self._iterations()
        yield from map(self._transfer, self.timeline.transfers)
        yield from self._states()
        for mark in self.timeline.marks:
            kind = _PREEMPTIONS if mark.worker >= 0 else _REJECTIONS
            yield self._instant(mark.time, (mark.worker, kind, 0), mark.what, mark.request)
        yield from self._flows()
        yield from self._counters()
        yield from self._requests()

    # -- processes and tracks --------------------------------------------------------------------

    def _tracks(self) -> set[Track]:
        rows = self.timeline.iterations
        found: set[Track] = {
            (worker, "iterations", stage)
            for worker, stage in set(zip(rows.worker, rows.stage, strict=True))
        }
        found |= {(worker["id"], "iterations", 0) for worker in self.workers}
        found |= {(t.place.worker, "transfers", t.place.number) for t in self.timeline.transfers}
        found |= {(worker, _STATES, 0) for worker in self.result.states["worker"].tolist()}
        marks = self.timeline.marks
        found |= {(m.worker, _PREEMPTIONS, 0) for m in marks if m.worker >= 0}
        return found | {(-1, _ARRIVALS, 0), (-1, _REJECTIONS, 0)}

    def _at(self, track: Track) -> Event:
        return {"pid": track[0] + _REQUESTS + 1, "tid": self.tracks[track]}

    def _names(self) -> Iterator[Event]:
        """Yield the names of processes and tracks, and their order."""
        names = {_REQUESTS: "requests"}
        for worker in self.workers:
            where = f" on {worker['node']}" if worker["node"] else ""
            number = worker["id"] + _REQUESTS + 1
            names[number] = (
                f"{worker['name']} {worker['id']}{where} "
                f"({worker['devices']} × {worker['hardware']})"
            )
        for number, name in names.items():
            yield {"ph": "M", "pid": number, "name": "process_name", "args": {"name": name}}
            order = {"sort_index": number}
            yield {"ph": "M", "pid": number, "name": "process_sort_index", "args": order}
        staged = {worker for worker, _, number in self.tracks if number and _ == "iterations"}
        for track, number in self.tracks.items():
            worker, kind, place = track
            name = kind if not place else f"{kind} {place + 1}"
            if kind == "iterations" and worker in staged:
                name = f"stage {place}"
            at = self._at(track)
            yield {"ph": "M", **at, "name": "thread_name", "args": {"name": name}}
            yield {"ph": "M", **at, "name": "thread_sort_index", "args": {"sort_index": number}}

    # -- what workers did ------------------------------------------------------------------------

    def _iterations(self) -> Iterator[Event]:
        rows = self.timeline.iterations
        for row, worker in enumerate(rows.worker):
            values = rows.features[row * _WIDTH : (row + 1) * _WIDTH]
            found = dict(zip(FEATURES, values, strict=True))
            prefills, decodes = found["prefills"], found["decodes"]
            name = "mixed" if prefills and decodes else "prefill" if prefills else "decode"
            if not (prefills or decodes):
                name = "dummy"
            begin, end = rows.begin[row], rows.end[row]
            event = _slice(name, "iteration", begin, end, {
                "requests": prefills + decodes, **found
            })  # fmt: skip
            yield event | self._at((worker, "iterations", rows.stage[row]))

    def _transfer(self, transfer: Transfer) -> Event:
        place = transfer.place
        event = _slice(transfer.what, "transfer", place.time, transfer.end, {
            "request": transfer.request, "bytes": transfer.size, "way": " > ".join(transfer.way),
        })  # fmt: skip
        return event | self._at((place.worker, "transfers", place.number))

    def _states(self) -> Iterator[Event]:
        """Yield whether workers that may be scaled or fail are up, start, drain, are down."""
        table, timeline = self.result.states, self.timeline
        until = float(self.result.summary["end"])
        found: dict[int, tuple[float, str]] = {}
        rows = zip(*(table[name].tolist() for name in ("time", "worker", "state")), strict=True)
        last = ((until, worker, "") for worker in sorted(set(table["worker"].tolist())))
        for time, worker, state in (*rows, *last):
            begin, name = found.get(worker, (time, ""))
            if begin < time and begin < timeline.end and time >= timeline.begin:
                yield _slice(name, "state", begin, time, {}) | self._at((worker, _STATES, 0))
            found[worker] = (time, state)

    def _instant(self, time: float, track: Track, name: str, request: int) -> Event:
        about = {"request": request}
        return {
            "ph": "i", "s": "t", **self._at(track), "name": name, "cat": "request",
            "ts": _time(time), "args": about,
        }  # fmt: skip

    def _flows(self) -> Iterator[Event]:
        """Yield what links the iterations of a request to its transfers and to those after."""
        shown = {t.place for t in self.timeline.transfers}
        for request, chain in self.timeline.chains.items():
            places = [p for p in chain if p.kind == "iterations" or p in shown]
            if len(places) > 1:
                yield from self._flow(request, places)

    def _flow(self, request: int, places: list[Place]) -> Iterator[Event]:
        for number, place in enumerate(places):
            event = {
                "ph": "t", **self._at(place[:3]), "id": request, "name": "KV", "cat": "flow",
                "ts": _time(place.time),
            }  # fmt: skip
            if number == 0:
                event["ph"] = "s"
            elif number == len(places) - 1:
                event |= {"ph": "f", "bp": "e"}  # the slice that it is in, not the next one
            yield event

    def _counters(self) -> Iterator[Event]:
        for changes in self.timeline.states:
            rows = changes.rows
            at = self._at((changes.number, "iterations", 0))
            for row, time in enumerate(rows.time):
                if time < self.timeline.begin:
                    continue
                event = {"ph": "C", **at, "ts": _time(time)}
                counts = {"running": rows.running[row], "waiting": rows.queued[row]}
                yield event | {"name": "requests", "args": counts}
                yield event | {"name": "KV", "args": {"bytes": rows.kv_used[row]}}

    # -- requests --------------------------------------------------------------------------------

    def _requests(self) -> Iterator[Event]:
        """Yield each request as a span, with what it went through inside."""
        columns, timeline = self.result.columns, self.timeline
        until = float(self.result.summary["end"])
        rejected = {m.request: m.time for m in timeline.marks if m.what == "rejected"}
        names = ("arrived", "started", "first_token", "last_token", "status")
        table = zip(*(columns[name].tolist() for name in names), strict=True)
        for request, (arrived, started, first, last, status) in enumerate(table):
            end = last if status == "finished" else rejected.get(request, max(until, arrived))
            if arrived >= timeline.end or end < timeline.begin:
                continue
            if arrived >= timeline.begin:
                yield self._instant(arrived, (-1, _ARRIVALS, 0), "arrived", request)
            about = {
                name: columns[name][request].item()
                for name in ("id", "prompt", "output", "generated", "worker", "status")
            }
            spans = [("request", arrived, end), ("queue", arrived, _known(started, end))]
            if not math.isnan(started):
                spans.append(("prefill", started, min(_known(first, end), end)))
            if not math.isnan(first):
                spans.append(("decode", min(first, end), min(last, end)))
            yield from self._spans(request, spans, about)

    def _spans(
        self, request: int, spans: list[tuple[str, float, float]], about: Event
    ) -> Iterator[Event]:
        """Yield the first span, and the others one after another within it."""
        at = {**self._at((-1, _ARRIVALS, 0)), "cat": "request", "id": request}
        (name, begin, end), *parts = spans
        yield {"ph": "b", **at, "name": name, "ts": _time(begin), "args": about}
        for part, since, until in parts:
            yield {"ph": "b", **at, "name": part, "ts": _time(since)}
            yield {"ph": "e", **at, "name": part, "ts": _time(until)}
        yield {"ph": "e", **at, "name": name, "ts": _time(end)}


def _known(time: float, end: float) -> float:
    return end if math.isnan(time) else time


def _place(track: Track) -> tuple[int, Iterable[object]]:
    """Return the order of tracks: by worker, iterations first."""
    worker, kind, number = track
    return worker, (kind != "iterations", kind, number)
