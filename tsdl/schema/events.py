"""What handlers react to, and what they may do: events, actions, and the kinds of state."""

from msgspec import Struct

BOTH = ("local", "global")


class Event(Struct, frozen=True):
    """An event: in which stages it is handled, and what it is about, by record."""

    doc: str
    stages: tuple[str, ...]
    about: tuple[str, ...]


_REQUEST, _BOTH = ("request",), ("request", "worker")
EVENTS: dict[str, Event] = {
    "arrive": Event("a request has arrived; it is to be dispatched", ("global",), _REQUEST),
    "submit": Event("a worker has submitted it; it is to be dispatched", ("global",), _REQUEST),
    "start": Event("a worker takes it up for the first time", BOTH, _BOTH),
    "admit": Event("it is admitted, for the first time or again", BOTH, _BOTH),
    "token": Event("it has generated a token", BOTH, _BOTH),
    "finish": Event("it has generated its last token", BOTH, _BOTH),
    "preempt": Event("it had to give its place up", BOTH, _BOTH),
    "transferred": Event("it was handed over: all of its KV has come to a worker", BOTH, _BOTH),
    "iteration": Event("an iteration has ended", BOTH, ("batch", "worker")),
    "evict": Event("KV that it stored had to leave a tier", ("global",), _REQUEST),
    "every": Event("`on every(5 s) { … }`: so much time has passed", BOTH, ()),
    "ready": Event("a worker has started", ("global",), ("worker",)),
    "fail": Event("a worker has failed", ("global",), ("worker",)),
    "lost": Event("its worker has failed; it is to be dispatched", ("global",), _REQUEST),
}
# A breakpoint of the model is an event too: NAME(batch, layer, w).
BREAKPOINT = ("batch", "layer", "worker")


class Action(Struct, frozen=True):
    """An action: how it is written, and in which stages it may be."""

    form: str
    doc: str
    stages: tuple[str, ...] = BOTH


ACTIONS: dict[str, Action] = {
    "dispatch": Action("dispatch r to WORKER", "it goes there, with its KV", ("global",)),
    "submit": Action("submit r", "it leaves its worker; the event `submit` follows"),
    "preempt": Action("preempt r", "it gives its place up, as a victim does"),
    "reject": Action("reject r", "it is rejected, wherever it is"),
    "transfer": Action(
        "transfer r to WORKER", "what is computed of its KV is sent ahead", ("global",)
    ),
    "store": Action("store r in TIER", "its KV is copied to a tier"),
    "fetch": Action(
        "fetch r from TIER",
        "KV that a tier has of it is copied to its worker; `fetch r from TIER to TIER`: to another",
    ),
    "drop": Action("drop r", "it gives its KV back, and waits on its worker"),
    "delay": Action("delay 5 ms", "the worker does nothing for so long", ("local",)),
    "scale": Action("scale WORKERS to NUMBER", "more workers, or fewer", ("global",)),
}
# `log` and `record` take expressions, and are words of the grammar.

# Kinds of state that sum up what they are given; all others are plain values of a type.
AGGREGATES = {
    "count": "how many: the sum of what was added",
    "sum": "the sum of what was added",
    "mean": "the mean of what was assigned",
    "min": "the least of what was assigned",
    "max": "the greatest of what was assigned",
}
STATE_KEYS = {
    "worker": "a worker",
    "request": "a request",
    "session": "a plain number, such as `r.session` or `r.priority`",
}
