"""What the Trace Event Format asks of a file, and what Perfetto makes of one, as checks.

Rules from "Trace Event Format" (Google, 2016) and from Perfetto's importer
(github.com/google/perfetto, src/trace_processor/importers/json): which fields each phase needs;
slices of one thread nest; names of threads go by `tid` alone; asynchronous slices of one category
and id nest, and end by name; a flow begins in a slice, and goes on in slices that are not earlier.
"""

import json
from bisect import bisect_right
from collections import defaultdict
from itertools import pairwise
from typing import Any

Event = dict[str, Any]
Track = tuple[int, int]
Spans = dict[Track, list[tuple[int, int]]]

NEEDED = {
    "M": {"pid", "name", "args"},
    "X": {"pid", "tid", "name", "ts", "dur"},
    "C": {"pid", "name", "ts", "args"},
    "i": {"pid", "tid", "name", "ts", "s"},
    "b": {"pid", "tid", "name", "cat", "ts", "id"},
    "e": {"pid", "tid", "name", "cat", "ts", "id"},
    "s": {"pid", "tid", "name", "cat", "ts", "id"},
    "t": {"pid", "tid", "name", "cat", "ts", "id"},
    "f": {"pid", "tid", "name", "cat", "ts", "id", "bp"},
}
TYPES: dict[str, tuple[type, ...]] = {
    "pid": (int,), "tid": (int,), "name": (str,), "cat": (str,), "ts": (int, float),
    "dur": (int, float), "args": (dict,), "id": (int,), "s": (str,), "bp": (str,), "ph": (str,),
}  # fmt: skip


class WrongTraceError(AssertionError):
    """A trace is not as the format asks; the message has the event."""


def ensure(holds: bool, what: str, event: object) -> None:
    if not holds:
        raise WrongTraceError(f"{what}: {event}")


def nanoseconds(microseconds: float) -> int:
    return round(microseconds * 1000)


def checked(text: str) -> list[Event]:
    """Return the events of a trace. Raises WrongTraceError."""
    whole = json.loads(text)
    ensure(next(iter(whole)) == "traceEvents", "the events come first", list(whole))
    events: list[Event] = whole["traceEvents"]
    for event in events:
        check_fields(event)
    check_names(events)
    spans = slices_of(events)
    check_nesting(spans)
    check_spans(events)
    check_flows(events, spans)
    return events


def check_fields(event: Event) -> None:
    ensure(event.get("ph") in NEEDED, "there is no such phase", event)
    missing = NEEDED[event["ph"]] - set(event)
    ensure(not missing, f"it has no {missing}", event)
    for name, value in event.items():
        ensure(isinstance(value, TYPES[name]), f"`{name}` is of another type", event)
    if "ts" in event:
        ensure(event["ts"] >= 0, "it is before the begin", event)
        exact = nanoseconds(event["ts"]) / 1000 == event["ts"]
        ensure(exact, "its time is no whole number of nanoseconds", event)
    match event["ph"]:
        case "X":
            ensure(event["dur"] >= 0, "it takes less than no time", event)
        case "C":
            values = event["args"].values()
            ensure(all(isinstance(v, (int, float)) and v >= 0 for v in values), "counts", event)
        case "i":
            ensure(event["s"] in ("g", "p", "t"), "there is no such scope", event)
        case "f":
            ensure(event["bp"] == "e", "it ends in the slice that it is in", event)


def check_names(events: list[Event]) -> None:
    """See that all processes and threads have a name, and a `tid` belongs to one process."""
    processes = {e["pid"]: e["args"]["name"] for e in events if e["name"] == "process_name"}
    threads = {e["tid"]: e["pid"] for e in events if e["name"] == "thread_name"}
    ensure(not threads.keys() & processes.keys(), "a thread is the main one", sorted(threads))
    for event in events:
        ensure(event["pid"] in processes, "its process has no name", event)
        if "tid" in event:
            ensure(threads.get(event["tid"]) == event["pid"], "its thread is another's", event)


def slices_of(events: list[Event]) -> Spans:
    """Return the slices of each thread as begins and ends in nanoseconds, in order."""
    found: Spans = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            begin = nanoseconds(event["ts"])
            found[event["pid"], event["tid"]].append((begin, begin + nanoseconds(event["dur"])))
    for spans in found.values():
        spans.sort(key=lambda span: span[0])  # of those at one time, as they stand in the file
    return found


def check_nesting(found: Spans) -> None:
    """See that slices of one thread follow one another: ours need not even nest."""
    for track, spans in found.items():
        for (_, end), after in pairwise(spans):
            ensure(end <= after[0], f"slices of {track} overlap, one ends at {end}", after)


def check_spans(events: list[Event]) -> None:
    """See that asynchronous slices of one id nest, in order of time, and all end."""
    open_: dict[tuple[str, int], list[str]] = defaultdict(list)
    last: dict[tuple[str, int], int] = {}
    for event in events:
        if event["ph"] not in "be":
            continue
        key = (event["cat"], event["id"])
        at = nanoseconds(event["ts"])
        ensure(last.get(key, 0) <= at, "it is earlier than the one before it", event)
        last[key] = at
        if event["ph"] == "b":
            open_[key].append(event["name"])
        else:
            ensure(open_[key][-1:] == [event["name"]], f"it ends {open_[key]}", event)
            open_[key].pop()
    ensure(not any(open_.values()), "some never end", dict(open_))


def check_flows(events: list[Event], found: Spans) -> None:
    """See that flows begin once, end once, go on in time, and that each stands in a slice."""
    flows: dict[int, list[Event]] = defaultdict(list)
    for event in events:
        if event["ph"] in "stf":
            flows[event["id"]].append(event)
            spans = found[event["pid"], event["tid"]]
            at = nanoseconds(event["ts"])
            place = bisect_right(spans, at, key=lambda span: span[0]) - 1
            ensure(place >= 0 and at <= spans[place][1], "it is in no slice", event)
    for steps in flows.values():
        phases = "".join(event["ph"] for event in steps)
        inner = phases[1:-1]
        ensure(phases[:1] + phases[-1:] == "sf" and set(inner) <= {"t"}, phases, steps)
        times = [event["ts"] for event in steps]
        ensure(times == sorted(times), "it goes back in time", steps)
