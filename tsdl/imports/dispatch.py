"""The handlers of policies: who gets a request, and what becomes of its KV cache."""

from collections.abc import Sequence

from tsdl.imports.deployment import Deployment, Group
from tsdl.writing import Block, Line

# How other simulators call a way to choose among workers, folded, and what it is here.
CHOICES = {
    "roundrobin": "round_robin",
    "random": "random",
    "leastloaded": "outstanding",
    "leastload": "outstanding",
    "balancedload": "outstanding",
    "leastgpumemory": "kv.fill",
}


def choose(choice: str, condition: str, variable: str = "w") -> str:
    """Return the selection of a worker."""
    among = f"for {variable} in workers if {condition}"
    if choice in ("round_robin", "random"):
        return f"{choice}({variable} {among})"
    return f"pick({variable} by {variable}.{choice} {among})"


def arrivals(choice: str, comment: str, *, recorded: str = "") -> Block:
    """Return the handler of arrivals; with a record book, what is dispatched is counted in it."""
    if not recorded:
        return Block(
            "on arrive(r)", [Line(f"dispatch r to {choose(choice, 'w.prefills')}", comment)]
        )
    chosen = choose(choice, "v.prefills", "v")
    lines = [
        Line(f"let w = {chosen}", comment),
        Line("dispatch r to w"),
        Line("sent[w] += 1", recorded),
    ]
    return Block("on arrive(r)", [*lines])


def record_book(comment: str) -> Line:
    """Return the state that counts what was dispatched to each worker of late."""
    return Line("state sent: count[worker] over 10 s", comment)


def submissions(choice: str, comment: str, *, near: str = "") -> Block:
    """Return the handler of requests that are handed over; `near`: first within their node."""
    if not near:
        return Block(
            "on submit(r)", [Line(f"dispatch r to {choose(choice, 'w.decodes')}", comment)]
        )
    condition = "w.decodes and (w.node == r.node or not near)"
    lines = [
        Line("let near = any(w.node == r.node for w in workers if w.decodes)", near),
        Line(f"dispatch r to {choose(choice, condition)}", comment),
    ]
    return Block("on submit(r)", [*lines])


def hand_over(lines: Sequence[Line]) -> Block:
    """Return the handler of the first token where decoding is left to others."""
    return Block("on token(r, w) when r.generated == 1 and not w.decodes", [*lines])


def fetch(condition: str, comment: str) -> Block:
    """Return the handler that takes KV from the pool before a request begins."""
    when = f" when {condition}" if condition else ""
    return Block(f"on start(r, w){when}", [Line("fetch r from pool", comment)])


def of_groups(deployment: Deployment, groups: Sequence[Group], otherwise: str, runs: str) -> str:
    """Return the condition that a worker belongs to some groups.

    It is `otherwise` where these are just the groups that run one phase, nothing for all groups.
    """
    if len(groups) == len(deployment.groups):
        return ""
    if groups == [group for group in deployment.groups if group.runs == runs]:
        return otherwise
    return " or ".join(f'w.group == "{group.name}"' for group in groups)
