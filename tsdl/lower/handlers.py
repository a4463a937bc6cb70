"""Handlers and state to the plan: statements with their formulas, variables under safe names."""

import builtins
import keyword

from tsdl import ast
from tsdl.check.policies import event_of, variables_of
from tsdl.check.states import form_of
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Place
from tsdl.evaluate.values import Value as EvaluatedValue
from tsdl.formula import NOW, RUNTIME_NAMES, SELECTIONS, STATE, Formula, Value, make, state, symbol
from tsdl.plan import Handler, State, Statement
from tsdl.program import Part
from tsdl.source import Span

Names = dict[str, EvaluatedValue]
_RESERVED = frozenset({"clock", "workers", "do", "least", "greatest", *RUNTIME_NAMES, *SELECTIONS})


def safe_name(name: str, taken: Names) -> str:
    """Return a name for a variable in generated source that hides nothing there."""
    formulas = (value for value in taken.values() if isinstance(value, Formula))
    used = {value.arguments[0] for value in formulas if value.operation == "symbol"}
    while (
        name in _RESERVED
        or name in used
        or hasattr(builtins, name)
        or keyword.iskeyword(name)
        or name.startswith((STATE, "_"))
    ):
        name = f"{name.lstrip('_')}_" if name.strip("_") else "variable"
    return name


def lower_states(evaluator: Evaluator, stage: Instance) -> tuple[State, ...]:
    """Return the declared state of a stage."""
    found = []
    for part in stage.members.clauses("state"):
        clause = part.item
        assert isinstance(clause, ast.Clause)
        form = form_of(clause)
        assert form is not None
        assert isinstance(clause.head, ast.Name)
        place = Place(part.owner, stage)
        window = clause.preposition("over")
        initial: Value = evaluator.formula(clause.value, place) if clause.value else 0
        if isinstance(form.type, ast.Name) and form.type.id == "bool" and clause.value is None:
            initial = False
        key = form.key.id if isinstance(form.key, ast.Name) else ""
        seconds = _span(evaluator, window.objects[0], place) if window else None
        found.append(State(clause.head.id, form.kind, key, seconds, initial))
    return tuple(found)


def _span(evaluator: Evaluator, expression: ast.Expr, place: Place) -> float:
    """Return a time that must be known and more than nothing."""
    value = evaluator.formula(expression, place)
    if not isinstance(value, (int, float)):
        raise evaluator.fail(
            "E0502", "this time must be known before the run", expression.span,
            "depends on what only the running system knows",
        )  # fmt: skip
    if value <= 0:
        raise evaluator.fail(
            "E0503", f"this time is more than zero, not {value:g}", expression.span
        )
    return float(value)


def states_by_name(stage: Instance) -> Names:
    """Return what the names of the states of a stage stand for."""
    return {key[1]: state(key[1]) for key in stage.members.parts if key[0] == "state"}


def lower_handlers(evaluator: Evaluator, stage: Instance) -> dict[Span, Handler]:
    """Return the handlers of a stage by the place in which they are written."""
    return {
        part.item.span: _handler(evaluator, stage, part) for part in stage.members.clauses("on")
    }


def _handler(evaluator: Evaluator, stage: Instance, part: Part) -> Handler:
    clause = part.item
    assert isinstance(clause, ast.Clause)
    event = event_of(clause)
    assert event is not None
    names: Names = {"now": NOW, **states_by_name(stage)}
    ambient = ("w", "kv") if stage.members.shape.kind == "local" else ("workers",)
    names |= {name: symbol(name) for name in ambient}
    variables = []
    for written in variables_of(clause) or ():
        others = {key: value for key, value in names.items() if key != written}
        variables.append(safe_name(written, others))
        names[written] = symbol(variables[-1])
    every = clause.preposition("every")
    place = Place(part.owner, stage, names)
    return Handler(
        event,
        tuple(variables),
        _span(evaluator, every.objects[0], place) if every else None,
        guard(evaluator, clause, place),
        lower_body(evaluator, clause.body, place),
    )


def guard(evaluator: Evaluator, clause: ast.Clause, place: Place) -> Value:
    """Return the condition of a clause; true where it has none."""
    when = clause.preposition("when")
    return evaluator.formula(when.objects[0], place) if when else True


# -- statements ----------------------------------------------------------------------------------


def lower_body(evaluator: Evaluator, body: ast.Body | None, place: Place) -> tuple[Statement, ...]:
    """Return statements; a variable is known to those behind its `let`."""
    found: list[Statement] = []
    names = dict(place.locals)
    for item in body.items if body else ():
        here = Place(place.owner, place.instance, names)
        match item:
            case ast.Let(name=name, value=value):
                held = evaluator.formula(value, here)
                variable = safe_name(name, names)
                names = {**names, name: symbol(variable)}
                found.append(_statement("let", variable, (held,)))
            case ast.For(variable=name, iterable=iterable, body=inner):
                items = evaluator.formula(iterable, here)
                variable = safe_name(name, names)
                inside = Place(place.owner, place.instance, {**names, name: symbol(variable)})
                found.append(
                    _statement("for", variable, (items,), lower_body(evaluator, inner, inside))
                )
            case ast.If():
                found += _if(evaluator, item, here)
            case ast.Field():
                found.append(_assignment(evaluator, item, here))
            case ast.Clause():
                found.append(_action(evaluator, item, here))
    return tuple(found)


def _statement(
    word: str,
    name: str,
    values: tuple[Value, ...],
    body: tuple[Statement, ...] = (),
    otherwise: tuple[Statement, ...] = (),
) -> Statement:
    return Statement(word, name, values, body, otherwise)


def _if(evaluator: Evaluator, item: ast.If, place: Place) -> list[Statement]:
    test = evaluator.formula(item.test, place)
    then = lower_body(evaluator, item.then, place)
    otherwise = lower_body(evaluator, item.otherwise, place)
    if isinstance(test, bool):  # decided before the run
        return list(then if test else otherwise)
    return [_statement("if", "", (test,), then, otherwise)]


def _assignment(evaluator: Evaluator, item: ast.Field, place: Place) -> Statement:
    value = evaluator.formula(item.value, place)
    if item.operator == "-=":
        value = make("negate", value)
    word = "set" if item.operator == "=" else "add"
    target = item.target
    if isinstance(target, ast.Index):
        assert isinstance(target.value, ast.Name)
        key = evaluator.formula(target.arguments[0].value, place)
        return _statement(word, target.value.id, (key, value))
    assert isinstance(target, ast.Name)
    return _statement(word, target.id, (value,))


def _action(evaluator: Evaluator, item: ast.Clause, place: Place) -> Statement:
    if item.verb == "record":
        assert isinstance(item.objects[0], ast.Text)
        value = evaluator.formula(item.objects[1], place)
        return _statement("record", item.objects[0].value, (value,))
    if item.verb == "scale":
        raise evaluator.fail(
            "E0590", "`scale` is checked, but not simulated yet", item.span,
            help=("this version would run as if it were not there, so it does not run at all",),
        )  # fmt: skip
    values = tuple(evaluator.formula(expression, place) for expression in item.objects)
    if item.verb == "delay":
        _refuse_negative(evaluator, values[0], item.objects[0].span)
    tier = item.within
    if item.verb == "fetch":
        tier = item.prepositions[0].objects[0]
    elif item.prepositions:
        values += (evaluator.formula(item.prepositions[0].objects[0], place),)
    return _statement(item.verb, tier.id if isinstance(tier, ast.Name) else "", values)


def _refuse_negative(evaluator: Evaluator, value: Value, span: Span) -> None:
    if isinstance(value, (int, float)) and value < 0:
        raise evaluator.fail("E0503", f"a delay is not negative, and this is {value:g} s", span)
