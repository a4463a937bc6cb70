"""What a clause of a stage or of a model may have: each preposition once, and nothing else."""

from tsdl import ast
from tsdl.check.scope import Scope
from tsdl.program import Members

# These say one thing each; `by` takes several keys, and `admit` several conditions.
_ONE = ("on", "state", "breakpoint", "after")
_WITH_FORMS = ("breakpoint",)  # which says itself how it is written
_REMEDIES = {"when": "join conditions with `and`: `when A and B`"}


def check_once(clause: ast.Clause, scope: Scope) -> bool:
    """See that each preposition of a clause stands once, and for one thing where it says one."""
    known = len(scope.sink.found)
    words: list[str] = []
    for preposition in clause.prepositions:
        word = preposition.word
        further = preposition.objects[1:] if clause.verb in _ONE and word != "after" else ()
        if word in words or further:
            scope.sink.error(
                "E0412", f"`{word}` stands once, and for one thing" if further
                else f"`{word}` stands once",
                further[0].span if further else preposition.span, "one too many",
                help=(_REMEDIES.get(word, "leave one of them out"),),
            )  # fmt: skip
        words.append(word)
    return len(scope.sink.found) == known


def check_form(clause: ast.Clause, members: Members, scope: Scope) -> bool:
    """Check what stands in a clause beside its object; tell whether it can be read further."""
    check_once(clause, scope)
    state, shape = clause.verb == "state", members.shape.clauses[clause.verb]
    extra: list[ast.Expr | ast.Body | None] = [
        clause.count,
        None if shape.within else clause.within,
    ]
    extra += [] if state else [clause.type, clause.value]
    extra += clause.objects[1:] if clause.verb == "on" else []
    extra += [] if shape.body or clause.verb in _WITH_FORMS else [clause.body]
    wrong = next((part for part in extra if part is not None), None)
    if wrong is None:
        return True
    helps: tuple[str, ...] = ()
    when = clause.preposition("when")
    if wrong is clause.value and when:
        compared = f"{when.objects[-1].span.text} == {wrong.span.text}"
        helps = (f"a comparison has two equals signs: `{compared}`",)
    elif wrong in clause.objects:
        helps = ("each event has a handler of its own",)
    scope.sink.error(
        "E0412", f"`{clause.verb}` is not written like this", wrong.span, "does not belong here",
        help=helps,
    )  # fmt: skip
    return False
