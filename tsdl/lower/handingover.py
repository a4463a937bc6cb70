"""Whether requests get from where they are prefilled to where they are decoded."""

from collections.abc import Container, Iterator, Mapping

from tsdl import ast
from tsdl.check.handlers import holds
from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.formula import symbol
from tsdl.plan import Global, Workers
from tsdl.planhandlers import Handler
from tsdl.program import Declaration
from tsdl.source import Span

# Events of requests that are at no worker, or are done.
_ELSEWHERE = ("arrive", "submit", "lost", "evict", "finish")


def check_hand_over(
    evaluator: Evaluator,
    place: Span,
    workers: list[Workers],
    policies: list[Instance],
    router: Global,
    used: Mapping[Span, Handler],
) -> None:
    """See that who is prefilled on a worker that does not decode leaves it. Raises Failed.

    `used` are the handlers that may fire, by their places.
    """
    if router.extern is not None:
        return
    for kind in workers:
        own = (*kind.local.handlers, *router.handlers)
        leaves = any(does(handler, ("submit", "dispatch")) for handler in own)
        if not kind.decodes and not leaves and kind.local.extern is None:
            policy = next(p for p in policies if p.name == kind.local.policy)
            raise _stays(evaluator, place, kind, policy.declaration)
    if any(handler.event == "submit" for handler in router.handlers):
        return
    every = (*router.handlers, *(h for kind in workers for h in kind.local.handlers))
    for handler in every:
        if does(handler, ("submit",)):
            raise evaluator.fail(
                "E0517",
                "requests are submitted, and no handler dispatches them",
                next((span for span, other in used.items() if other == handler), place),
                help=(
                    "write `on submit(r) { dispatch r to random(w for w in workers if w.decodes) }`"
                    " in the global stage",
                ),
            )


def does(handler: Handler, words: Container[str], *, finished: bool = False) -> bool:
    """Tell whether a handler does one of some actions to requests that are at a worker.

    What it does to its own request counts where that is at one, and if it is done where `finished`
    says so; requests that it goes through are at theirs.
    """
    passed = handler.event in _ELSEWHERE and not (finished and handler.event == "finish")
    own = symbol(handler.variables[0]) if passed and handler.variables else None
    return any(
        statement.word in words and (own is None or statement.values[0] != own)
        for statement in handler.statements()
    )


def _stays(evaluator: Evaluator, place: Span, kind: Workers, policy: Declaration) -> Failed:
    """Report that nobody leaves a worker that does not decode."""
    title = (
        f"worker `{kind.name}` does not decode, and policy `{kind.local.policy}` hands nothing over"
    )
    own, inherited = _replaced(policy)
    if own is None or inherited is None:
        remedy = (
            "derive the policy from `handing_over`, too, or write "
            "`on token(r, w) when not w.decodes { submit r }` in its local stage"
        )
        return evaluator.fail("E0517", title, place, help=(remedy,))
    remedy = "a handler replaces the inherited one of its event: write in this one, too, "
    remedy += "`if not w.decodes { submit r }`"
    if own.preposition("when"):
        remedy += ", and its `when` as an `if` beside that"
    return evaluator.fail(
        "E0517", title, place, help=(remedy,),
        secondary=(
            Label(own.span, "replaces the inherited handler"),
            Label(inherited.span, "which hands over"),
        ),
    )  # fmt: skip


def _replaced(policy: Declaration) -> tuple[ast.Clause | None, ast.Clause | None]:
    """Return a handler that submits nothing, and the inherited one that it replaces, which does."""
    own = _handlers(policy)
    for base in _ancestors(policy):
        for event, handler in _handlers(base).items():
            if event != "finish" and _hands_over(handler) and not _hands_over(own[event]):
                return own[event], handler
    return None, None


def _hands_over(handler: ast.Clause) -> bool:
    return handler.body is not None and holds(handler.body, ("submit",))


def _handlers(policy: Declaration) -> dict[str, ast.Clause]:
    """Return the handlers of a policy's local stage by event, inherited ones included."""
    local = policy.members.block("local") if policy.members else None
    parts = local.parts.items() if local else ()
    return {
        key[1]: part.item
        for key, (part, *_) in parts
        if key[0] == "on" and isinstance(part.item, ast.Clause)
    }


def _ancestors(declaration: Declaration) -> Iterator[Declaration]:
    for base in declaration.bases:
        yield base.declaration
        yield from _ancestors(base.declaration)
