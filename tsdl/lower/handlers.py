"""Handlers and state to the plan: statements with their formulas, variables under safe names."""

from msgspec.structs import replace

from tsdl import ast
from tsdl.check.events import event_of, variables_of
from tsdl.check.states import form_of
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Place, names_of_stage
from tsdl.evaluate.values import Value as EvaluatedValue
from tsdl.formula import Formula, Value, make, symbol, symbols
from tsdl.planhandlers import Handler, State, Statement
from tsdl.program import DeclarationName, Part
from tsdl.pythonsource import fresh_name
from tsdl.schema import BATCH_FEATURES, OF_A_WORKER
from tsdl.schema.scenarios import SHORTEST
from tsdl.source import Span

Names = dict[str, EvaluatedValue]


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
        initial: Value = formula_here(evaluator, clause.value, place) if clause.value else 0
        if isinstance(initial, Formula) and clause.value:
            raise evaluator.fail(
                "E0502", "the first value of a state must be known before the run",
                clause.value.span, "depends on what only the running system knows",
            )  # fmt: skip
        if clause.value is not None:
            evaluator.check_whole(form.type, initial, clause.value)
        if isinstance(form.type, ast.Name) and form.type.id == "bool" and clause.value is None:
            initial = False
        key = form.key.id if isinstance(form.key, ast.Name) else ""
        seconds = _span(evaluator, window.objects[0], place) if window else None
        found.append(State(clause.head.id, form.kind, key, seconds, initial))
    return tuple(found)


def formula_here(evaluator: Evaluator, expression: ast.Expr, place: Place) -> Value:
    """Return a formula of what a handler knows: a field may be one of the batch (`overhead`)."""
    value = evaluator.formula(expression, place)
    named = [name for local in place.locals.values() for name in _symbols(local)]
    used = symbols(value)
    for name in (*BATCH_FEATURES, *OF_A_WORKER):
        if name not in used or name in named:
            continue
        whose, remedy = "worker", f"only `overhead`, `eager` and `host_time` know `{name}`"
        if name in BATCH_FEATURES:
            whose, remedy = "batch", f"in a handler of `iteration(batch, w)`: `batch.{name}`"
        raise evaluator.fail(
            "E0502", f"this depends on the `{name}` of a {whose}, and none is known here",
            expression.span, help=(remedy,),
        )  # fmt: skip
    return value


def _symbols(value: EvaluatedValue) -> set[str]:
    return symbols(value) if isinstance(value, Formula) else set()


def _span(evaluator: Evaluator, expression: ast.Expr, place: Place) -> float:
    """Return a time that must be known and more than nothing."""
    value = formula_here(evaluator, expression, place)
    if not isinstance(value, (int, float)):
        raise evaluator.fail(
            "E0502", "this time must be known before the run", expression.span,
            "depends on what only the running system knows",
        )  # fmt: skip
    if value < SHORTEST:
        raise evaluator.fail(
            "E0503",
            f"this time is at least {SHORTEST * 1e6:g} us, not {value:g} s",
            expression.span,
        )
    return float(value)


def names_around(stage: Instance) -> Names:
    """Return what the names of a stage stand for, in its handlers and its rules.

    What a `let` says has their symbols in it, which no variable may hide where that is read: they
    are there under names that nobody can write, too.
    """
    found: Names = {**names_of_stage(stage.members)}
    hidden = {f"({name})": value for name, value in found.items()} if stage.members.lets else {}
    return found | hidden


def lower_handlers(evaluator: Evaluator, stage: Instance) -> dict[Span, Handler]:
    """Return the handlers of a stage by the place in which they are written."""
    return {
        part.item.span: _handler(evaluator, stage, part) for part in stage.members.clauses("on")
    }


def statements_at(evaluator: Evaluator, stage: Instance, part: Part) -> list[Span]:
    """Return where the statements of a handler stand, in the order in which they are counted."""
    spans: list[Span] = []
    _handler(evaluator, stage, part, spans)
    return spans


def _handler(
    evaluator: Evaluator, stage: Instance, part: Part, spans: list[Span] | None = None
) -> Handler:
    clause = part.item
    assert isinstance(clause, ast.Clause)
    event = event_of(clause)
    assert event is not None
    names = names_around(stage)
    variables = []
    for written in variables_of(clause) or ():
        others = {key: value for key, value in names.items() if key != written}
        variables.append(fresh_name(written, others.values()))
        names[written] = symbol(variables[-1])
    every = clause.preposition("every")
    place = Place(part.owner, stage, names)
    body = lower_body(evaluator, clause.body, place, spans)
    return Handler(
        event,
        tuple(variables),
        _span(evaluator, every.objects[0], place) if every else None,
        guard(evaluator, clause, place),
        _demoted(body, symbol(variables[0])) if event == "evict" else body,
    )


def guard(evaluator: Evaluator, clause: ast.Clause, place: Place) -> Value:
    """Return the condition of a clause; true where it has none."""
    when = clause.preposition("when")
    return formula_here(evaluator, when.objects[0], place) if when else True


# -- statements ----------------------------------------------------------------------------------


def lower_body(
    evaluator: Evaluator, body: ast.Body | None, place: Place, spans: list[Span] | None = None
) -> tuple[Statement, ...]:
    """Return statements; a variable is known to those behind its `let`.

    Where they stand is added to `spans`, each before those inside its braces.
    """
    spans = [] if spans is None else spans
    found: list[Statement] = []
    names = dict(place.locals)
    for item in body.items if body else ():
        here = Place(place.owner, place.instance, names)
        match item:
            case ast.Let(name=name, value=value):
                held = formula_here(evaluator, value, here)
                if not isinstance(held, Formula):  # known before the run: no variable is needed
                    names = {**names, name: held}
                    continue
                variable = fresh_name(name, names.values())
                names = {**names, name: symbol(variable)}
                spans.append(item.span)
                found.append(_statement("let", variable, (held,)))
            case ast.For(variable=name, iterable=iterable, body=inner):
                items = formula_here(evaluator, iterable, here)
                variable = fresh_name(name, names.values())
                inside = Place(place.owner, place.instance, {**names, name: symbol(variable)})
                spans.append(item.span)
                done = lower_body(evaluator, inner, inside, spans)
                found.append(_statement("for", variable, (items,), done))
            case ast.If():
                found += _if(evaluator, item, here, spans)
            case ast.Field():
                spans.append(item.span)
                found.append(_assignment(evaluator, item, here))
            case ast.Clause():
                spans.append(item.span)
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


def _if(evaluator: Evaluator, item: ast.If, place: Place, spans: list[Span]) -> list[Statement]:
    test = formula_here(evaluator, item.test, place)
    if isinstance(test, bool):  # decided before the run
        return list(lower_body(evaluator, item.then if test else item.otherwise, place, spans))
    spans.append(item.span)
    then = lower_body(evaluator, item.then, place, spans)
    otherwise = lower_body(evaluator, item.otherwise, place, spans)
    return [_statement("if", "", (test,), then, otherwise)]


def _assignment(evaluator: Evaluator, item: ast.Field, place: Place) -> Statement:
    value = formula_here(evaluator, item.value, place)
    _check_whole(evaluator, item, value, place)
    if item.operator == "-=":
        value = make("negate", value)
    word = "set" if item.operator == "=" else "add"
    target = item.target
    if isinstance(target, ast.Index):
        assert isinstance(target.value, ast.Name)
        key = formula_here(evaluator, target.arguments[0].value, place)
        return _statement(word, target.value.id, (key, value))
    assert isinstance(target, ast.Name)
    return _statement(word, target.id, (value,))


def _check_whole(evaluator: Evaluator, item: ast.Field, value: Value, place: Place) -> None:
    """See that what is known before the run is whole where a state is an `int`."""
    target = item.target.value if isinstance(item.target, ast.Index) else item.target
    parts = place.instance.members.parts if place.instance else {}
    for part in parts.get(("state", target.span.text), ()):
        form = form_of(part.item) if isinstance(part.item, ast.Clause) else None
        if form is not None and not form.kind:
            evaluator.check_whole(form.type, value, item.value)


def _action(evaluator: Evaluator, item: ast.Clause, place: Place) -> Statement:
    if item.verb == "record":
        series, recorded = item.objects
        value = formula_here(evaluator, recorded, place)
        if isinstance(series, ast.Text):
            return _statement("record", series.value, (value,))
        metric = evaluator.program.meanings[series]
        assert isinstance(metric, DeclarationName)
        evaluator.check_whole(metric.declaration.clause.type, value, recorded)
        return _statement("record", metric.declaration.name, (value,))
    if item.verb == "scale":
        assert isinstance(item.objects[0], ast.Name)
        count = formula_here(evaluator, item.prepositions[0].objects[0], place)
        return _statement("scale", item.objects[0].id, (count,))
    values = tuple(formula_here(evaluator, expression, place) for expression in item.objects)
    if item.verb == "delay":
        _refuse_negative(evaluator, values[0], item.objects[0].span)
    tier = item.within
    if item.verb == "fetch":
        tier, *into = [preposition.objects[0] for preposition in item.prepositions]
        values += tuple(near.id for near in into if isinstance(near, ast.Name))
    elif item.prepositions:
        values += (formula_here(evaluator, item.prepositions[0].objects[0], place),)
    ahead = item.verb == "fetch" and len(values) > 1  # the second tier is a text among the values
    word = "prefetch" if ahead else item.verb
    return _statement(word, tier.id if isinstance(tier, ast.Name) else "", values)


def _demoted(body: tuple[Statement, ...], *leaving: Value) -> tuple[Statement, ...]:
    """Return statements that store what leaves a tier, by one of its names: it goes from there."""
    found = []
    for statement in body:
        own = statement.values[0] in leaving if statement.values else False
        if statement.word == "let" and own:
            leaving = (*leaving, symbol(statement.name))
        found.append(
            replace(
                statement,
                word="demote" if statement.word == "store" and own else statement.word,
                body=_demoted(statement.body, *leaving),
                otherwise=_demoted(statement.otherwise, *leaving),
            )
        )
    return tuple(found)


def _refuse_negative(evaluator: Evaluator, value: Value, span: Span) -> None:
    if isinstance(value, (int, float)) and value < 0:
        raise evaluator.fail("E0503", f"a delay is not negative, and this is {value:g} s", span)
