"""What those parts of a plan are called whose formulas may fail during a run."""

from tsdl.plan import Cost


def of_cost(cost: Cost) -> str:
    """Return what the times of a worker's iterations are called."""
    return "the operators" if cost.source == "operators" else f"cost {cost.source}"


def of_kvcache(name: str) -> str:
    """Return what the formulas of a memory manager are called."""
    return f"kvcache {name}"


def of_tier(name: str) -> str:
    """Return what the order of eviction in a tier is called."""
    return f"tier {name}"


def of_policy(name: str) -> str:
    """Return what a policy is called, where it cannot be told which of its formulas fails."""
    return f"policy {name}"


def of_clause(policy: str, clause: str) -> str:
    """Return what a clause of a policy is called, such as `admit when`."""
    return f"`{clause}` of policy {policy}"


def of_budget(policy: str) -> str:
    """Return what the tokens are called that a policy gives an iteration."""
    return f"`budget` of policy {policy}"


def of_acceptance(policy: str) -> str:
    """Return what the chance that a policy gives to drafted tokens is called."""
    return f"`acceptance` of policy {policy}"


def of_breakpoint(event: str) -> str:
    """Return what a breakpoint of a model is called, or an `after NODE` with what is done there."""
    return f"`{event}` of the model" if event.startswith("after ") else f"breakpoint {event}"


def of_statement(handlers: str, number: int, *, of_the_cluster: bool) -> str:
    """Return what a statement is called: handlers of an event in a stage count theirs together."""
    stage = " in the global stage" if of_the_cluster else ""
    return f"statement {number} of {handlers}{stage}"


def of_field(key: str, kernel: str) -> str:
    """Return what a formula of an operator is called, by a field and the name of its kernel."""
    return f"`{key}` of `{kernel}`"


def of_handler(policy: str, event: str) -> str:
    """Return what the handlers of an event are called in a policy; a model may bring its own."""
    if event.startswith("after "):
        return of_breakpoint(event)
    return f"`on {event}` of policy {policy}"
