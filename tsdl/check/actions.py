"""What handlers do: each action where it has a place, `log` and `record`."""

from tsdl import ast
from tsdl.check.expressions import infer, require
from tsdl.check.measures import no_number
from tsdl.check.parameters import param_type
from tsdl.check.scope import Scope
from tsdl.check.slips import groups_of
from tsdl.diagnostics import Edit, Fix
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, DeclarationName
from tsdl.resolve import find
from tsdl.schema import ACTIONS
from tsdl.types import Boolean, Quantity, Record, Text, Unknown, describe, with_article
from tsdl.units import Dimension

REQUEST, WORKER = Record("request"), Record("worker")
TIME, PLAIN = Quantity(Dimension.of("time")), Quantity()

# Events at which a request is nowhere: a handler says where it goes, to a worker that does this.
NOT_SAID = {"arrive": "prefills", "submit": "decodes"}

# Verbs that are no actions, and what to write for them.
_OTHERS = {
    "state": "state is declared in the stage, beside its handlers",
    "on": "a handler stands in the stage itself, beside the others",
    "admit": "who may start is said in the stage: `admit r when …`",
    "evict": "who is the victim is said in the stage: `evict r by …`",
    "speculate": "it is a block of the local stage, beside its handlers: `speculate { … }`",
    "expect": "what is expected of the result is said in the scenario",
    "send": "write `dispatch r to WORKER`, or `transfer r to WORKER` to send KV ahead",
    "migrate": "write `dispatch r to WORKER`: its KV goes with it",
    "print": "write `log VALUE, …`",
    "return": "nothing is returned; what is not to be done stands in `if … { … }`",
    "wait": "write `delay 5 ms`, or do it later in `on every(5 s) { … }`",
}

_DONE = {"dispatch": "dispatched", "transfer": "transferred"}


def statements(stage: str) -> str:
    """Say which statements there are."""
    known = [verb for verb, action in ACTIONS.items() if stage in action.stages]
    return f"there are let, if, for, assignments to state, log, record, {', '.join(known)}"


def check_action(item: ast.Clause, scope: Scope) -> None:
    """Check an action: that there is one, that it has its place here, what it is about."""
    assert scope.place is not None
    stage, event = scope.place.stage, scope.place.event
    if item.verb in ("log", "record"):
        _note(item, scope)
        return
    action = ACTIONS.get(item.verb)
    if action is None:
        _refuse_unknown(item, stage, scope)
    elif stage not in action.stages:
        _refuse_stage(item, stage, action.stages[0], scope)
    elif event in NOT_SAID and item.verb == "submit":
        scope.sink.error(
            "E0417", f"a handler of `{event}` cannot submit", item.span,
            help=(
                "dispatch it: `dispatch r to "
                f"pick(w by w.queued for w in workers if w.{NOT_SAID[event]})`",
            ),
        )  # fmt: skip
    elif item.verb == "delay" and item.count is not None:
        computed = item.span.text.removeprefix("delay").strip()
        scope.sink.error(
            "E0416", "what is computed does not stand in `delay`", item.span,
            help=(f"give it a name first: `let t = {computed}; delay t`",),
        )  # fmt: skip
    elif not _well_formed(item):
        scope.sink.error(
            "E0416", f"`{item.verb}` is not written like this", item.span,
            help=(f"write `{action.form}`: {action.doc}",),
        )  # fmt: skip
    else:
        _arguments(item, scope)


def _refuse_unknown(item: ast.Clause, stage: str, scope: Scope) -> None:
    known = _OTHERS.get(item.verb)
    near = None if known else nearest(item.verb, [*ACTIONS, "log", "record"])
    scope.sink.error(
        "E0416", f"there is no action `{item.verb}`", item.verb_span, "unknown",
        help=(known or (f"did you mean `{near}`?" if near else statements(stage)),),
    )  # fmt: skip


def _refuse_stage(item: ast.Clause, stage: str, other: str, scope: Scope) -> None:
    helps = [f"it belongs to handlers of the {other} stage"]
    if item.verb == "dispatch":
        helps.append("write `submit r`, and dispatch it there in `on submit(r) { … }`")
    scope.sink.error(
        "E0417", f"`{item.verb}` has no place in the {stage} stage", item.span, help=tuple(helps)
    )


def _well_formed(item: ast.Clause) -> bool:
    words = [p.word for p in item.prepositions]
    single = all(len(p.objects) == 1 for p in item.prepositions)
    extra = (item.count, item.type, item.value, item.body)
    if len(item.objects) != 1 or not single or any(e is not None for e in extra):
        return False
    if item.verb == "store":
        return not words and isinstance(item.within, ast.Name)
    if item.verb == "scale" and not isinstance(item.objects[0], ast.Name):
        return False
    wanted = {"fetch": ["from"], "scale": ["to"], "dispatch": ["to"], "transfer": ["to"]}
    if item.verb == "fetch" and words in (["from"], ["from", "to"]):
        named = [isinstance(p.objects[0], ast.Name) for p in item.prepositions]
        return item.within is None and all(named)
    return item.within is None and words == wanted.get(item.verb, [])


def _arguments(item: ast.Clause, scope: Scope) -> None:
    subject = item.objects[0]
    tiers = [p.objects[0].span.text for p in item.prepositions if item.verb == "fetch"]
    if len(tiers) > len(set(tiers)):
        scope.sink.error(
            "E0416", f"`{tiers[0]}` is both where the KV is and where it goes", item.span,
            help=(f"to fetch it to the worker: `fetch {subject.span.text} from {tiers[0]}`",),
        )  # fmt: skip
    if item.verb == "delay":
        require(subject, TIME, scope, "a delay", "ms")
        return
    placed = bool(item.prepositions) and item.verb != "fetch"
    target = item.prepositions[0].objects[0] if placed else None
    if item.verb == "scale" and target is not None:
        _check_group(subject, scope)
        count = infer(target, scope)
        if not isinstance(count, Quantity) or not count.dimension.is_count:
            require(target, PLAIN, scope, "how many workers there are to be")
        return
    if target is not None and (infer(subject, scope), infer(target, scope)) == (WORKER, REQUEST):
        swapped = f"{item.verb} {target.span.text} to {subject.span.text}"
        scope.sink.error(
            "E0304", f"`{item.verb}` names the request first, then the worker", item.span,
            help=(f"write `{swapped}`",),
        )  # fmt: skip
        return
    require(subject, REQUEST, scope, f"what `{item.verb}` acts on")
    if target is not None:
        require(target, WORKER, scope, f"where a request is {_DONE[item.verb]} to")


def _check_group(name: ast.Expr, scope: Scope) -> None:
    """See that workers of a name are there, where the file has clusters of its own."""
    program = scope.program
    own = any(d.kind == "cluster" and not d.module.library for d in program.declarations)
    known = groups_of(program)
    if own and name.span.text not in known:
        near = nearest(name.span.text, known)
        scope.sink.error(
            "E0201", f"no workers are called `{name.span.text}`", name.span, "not declared",
            help=(f"did you mean `{near}`?" if near else f"there are {', '.join(known)}",),
        )  # fmt: skip


def _note(item: ast.Clause, scope: Scope) -> None:
    if item.verb == "record":
        _record(item, scope)
        return
    for expression in item.objects:
        found = infer(expression, scope)
        if not isinstance(found, (Quantity, Boolean, Text, Unknown)):
            scope.sink.error(
                "E0304", f"`log` shows numbers and texts, this is {describe(found)}",
                expression.span, describe(found),
                help=("name one of its fields, such as `r.id`",),
            )  # fmt: skip


def _record(item: ast.Clause, scope: Scope) -> None:
    """Check what is recorded: any number under a text, or of a metric what it measures."""
    named = len(item.objects) == 2 and isinstance(  # noqa: PLR2004
        item.objects[0], (ast.Text, ast.Name, ast.Attribute)
    )
    if not named:
        scope.sink.error(
            "E0416", "`record` takes a name and a number", item.span,
            help=('write `record "queued", w.queued`',),
        )  # fmt: skip
        return
    series, value = item.objects
    if isinstance(series, ast.Text):
        name = series.value
        if name in scope.program.shared("metric"):
            scope.sink.error(
                "E0416", f"`{name}` is a metric, whose name stands without quotes", series.span,
                help=(f"write `record {name}, {value.span.text}`",),
                fix=Fix(f"write `{name}`", (Edit(series.span, name),)),
            )  # fmt: skip
            return
        found = infer(value, scope)
        if not isinstance(found, (Quantity, Unknown)):
            chosen = f"1 if {value.span.text} else 0"
            helps = (f"write `{chosen}`",) if isinstance(found, Boolean) else ()
            no_number(value, found, scope, "what is recorded", helps)
        return
    program, module = scope.program, scope.owner.module
    declaration = find(program, module, series)
    if declaration is None and isinstance(series, ast.Name):
        declaration = program.metric(module, series.id)
    if declaration is None or declaration.kind != "metric":
        _refuse_series(series, declaration, scope)
        return
    program.meanings[series] = DeclarationName(declaration)
    require(value, param_type(declaration, scope), scope, f"what `{declaration.name}` records")


def _refuse_series(series: ast.Expr, found: Declaration | None, scope: Scope) -> None:
    name = series.span.text
    near = nearest(name, list(scope.program.shared("metric")))
    scope.sink.error(
        "E0201",
        f"there is no metric called `{name}`" if found is None else
        f"`{name}` is {with_article(found.kind)}, and no metric",
        series.span, "not declared" if found is None else "",
        help=(
            f"did you mean `{near}`?" if near else
            "declare it in the file: `metric NAME: time`; or record under a text, "
            f'which is in records.csv alone: `record "{name}", …`',
        ),
    )  # fmt: skip
