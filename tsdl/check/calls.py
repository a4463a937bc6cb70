"""Types of calls: functions, constructors, selections of workers, anonymous declarations."""

from tsdl import ast
from tsdl.check import arguments, asked, expressions, slips
from tsdl.check.measures import agrees, mismatch
from tsdl.check.scope import Scope
from tsdl.check.statistics import (
    infer_statistic,
    infer_total,
    refuse_metric,
    refuse_where,
)
from tsdl.diagnostics import Label
from tsdl.diagnostics.suggest import nearest
from tsdl.formula import percentile_of
from tsdl.measures import is_statistic
from tsdl.program import ChoiceName, Declaration, DeclarationName
from tsdl.resolve import find, report_unknown
from tsdl.schema import (
    CONSTRUCTORS,
    FUNCTIONS,
    KINDS,
    METRICS,
    RECORD_FUNCTIONS,
    RECORDS,
    STATISTICS,
    TOTALS,
)
from tsdl.schema.names import REDUCTIONS, SELECTORS
from tsdl.types import (
    Boolean,
    Construct,
    Quantity,
    Record,
    Reference,
    Samples,
    Sequence,
    Type,
    Unknown,
    describe,
    with_article,
)

UNKNOWN = Unknown()
PLAIN = Quantity()


def constructors(family: str) -> list[str]:
    """Return the names of the constructors of a family."""
    return list(CONSTRUCTORS[family])


def is_function(name: str) -> bool:
    """Tell whether a name is that of a function."""
    names = {*FUNCTIONS, *SELECTORS, *REDUCTIONS, *(n for f in CONSTRUCTORS.values() for n in f)}
    return name in names or percentile_of(name) is not None


def infer_call(expression: ast.Call, scope: Scope, expected: Type | None) -> Type:
    """Return the type of a call."""
    function = expression.function
    if isinstance(function, ast.Attribute):
        return _method(expression, function, scope)
    if not isinstance(function, ast.Name):
        scope.sink.error("E0305", "this cannot be called", function.span)
        return UNKNOWN
    name = function.id
    if isinstance(expected, Construct) and name in CONSTRUCTORS[expected.family]:
        scope.program.meanings[function] = ChoiceName(name)
        return arguments.check_constructor(expression, name, expected, scope)
    # `min` and `max` of one thing are statistics; of several, the function, of each request.
    statistic = is_statistic(name) and not (name in FUNCTIONS and _several(expression))
    if scope.each and (statistic or name in TOTALS):
        shown = expression.span.text
        scope.sink.error(
            "E0304",
            f"{scope.each}, and `{shown}` is one value of all",
            expression.span,
            help=(f"of a whole result asks `expect`: `expect {shown} <= …`",),
        )
        return UNKNOWN
    if any(isinstance(a.value, ast.Across) for a in expression.arguments):
        return asked.check_along(expression, name, scope)
    if isinstance(expected, Construct) and name in SELECTORS:
        _not_callable(expression, function, scope, expected)  # `random` is a policy's name, too
        return UNKNOWN
    goes_over = any(isinstance(a.value, ast.Generator) for a in expression.arguments)
    chooses = name in SELECTORS and (
        scope.place is not None
        or isinstance(expected, (Quantity, Boolean))
        or (scope.metrics and not isinstance(expected, Reference))
    )
    if chooses or (goes_over and (name in SELECTORS or name in REDUCTIONS)):
        return _selection(expression, name, scope)
    declaration = scope.program.lookup(scope.owner.module, name)
    if declaration and declaration.kind in KINDS:
        scope.program.meanings[function] = DeclarationName(declaration)
        return arguments.check_derived(expression, declaration, scope)
    if scope.metrics and statistic:
        return infer_statistic(expression, name, scope)
    if scope.metrics and name in TOTALS:
        return infer_total(expression, name, scope)
    if scope.metrics and name in METRICS:
        return refuse_metric(expression, name, scope)
    if scope.metrics and is_function(name) and refuse_where(expression, name, scope):
        return UNKNOWN
    if name in FUNCTIONS:
        return _function(expression, name, scope)
    if name in SELECTORS or name in REDUCTIONS:
        return _selection(expression, name, scope)
    if declaration:
        _called_value(function, declaration, scope)
    else:
        _not_callable(expression, function, scope, expected)
    return UNKNOWN


def _several(expression: ast.Call) -> bool:
    """Tell whether a call has several arguments, none of which is named."""
    return len(expression.arguments) > 1 and not any(a.name for a in expression.arguments)


def _called_value(function: ast.Name, param: Declaration, scope: Scope) -> None:
    hidden = scope.program.prelude.get(param.name)
    helps: tuple[str, ...] = ()
    if hidden:
        helps = (f"it hides the library's {hidden.kind} of that name: rename the {param.kind}",)
    scope.sink.error(
        "E0305",
        f"`{param.name}` is {with_article(param.kind)} here, and cannot be called",
        function.span,
        secondary=(Label(param.span, "declared here"),),
        help=helps,
    )


def _not_callable(
    expression: ast.Call, function: ast.Name, scope: Scope, expected: Type | None
) -> None:
    name = function.id
    family = next((f for f, makers in CONSTRUCTORS.items() if name in makers), None)
    if family and isinstance(expected, Construct):
        wanted = expected.family
        scope.sink.error(
            "E0304",
            f"`{name}` makes {with_article(family)}, not {with_article(wanted)}",
            expression.span,
            help=(f"there are {', '.join(constructors(wanted))}",),
        )
    elif family:
        scope.sink.error(
            "E0304", f"`{name}(…)` makes {with_article(family)}, which has no place here",
            expression.span, help=(slips.of_construct(expression, family, scope),),
        )  # fmt: skip
    else:
        candidates = [*FUNCTIONS, *SELECTORS, *REDUCTIONS]
        if isinstance(expected, Construct):
            candidates = constructors(expected.family)
        elif scope.metrics:
            candidates += [*STATISTICS, "p50", "p90", "p99"]
        slip = ""
        if isinstance(expected, Construct) and expected.family == "parallel":
            slip = slips.of_parallelism(expression, name)
        near = nearest(name, candidates)
        if near is None and not isinstance(expected, Construct):
            kind = expected.kind if isinstance(expected, Reference) else None
            slip = slips.of_a_run(name, scope) or _percentiles(name) or slips.of_mean(expression)
            slip = slip or _INSTEAD.get(name, "")
            module = scope.owner.module
            report_unknown(scope.program, module, function, kind, scope.sink, slip=slip)
            return
        helps = (f"did you mean `{near}`?",) if near else (f"there are {', '.join(candidates)}",)
        helps = (slip,) if slip else helps
        scope.sink.error(
            "E0201", f"there is no function `{name}` here", function.span, "unknown", help=helps
        )


# Functions of other languages, and what says the same here.
_INSTEAD = {
    "exp": "`exp(x)` is `2 ** (1.442695 * x)`",
    "ln": "`ln(x)` is `0.6931472 * log2(x)`",
    "log": "`log(x)` is `0.6931472 * log2(x)`, the natural one",
    "pow": "`pow(x, y)` is `x ** y`",
    "len": "how many there are says `count(q for q in …)`",
    "size": "how many there are says `count(q for q in …)`",
    "round": "`floor(x + 0.5)` rounds",
}


def _percentiles(name: str) -> str:
    """Return which percentiles there are, for a name that looks like one; "" for others."""
    looks = name[:1] == "p" and name[1:].isdecimal()
    return "percentiles are `p0` to `p100`, and `p999` is that of 99.9 %" if looks else ""


def _method(expression: ast.Call, function: ast.Attribute, scope: Scope) -> Type:
    declaration = find(scope.program, scope.owner.module, function)
    if declaration:
        scope.program.meanings[function] = DeclarationName(declaration)
        return arguments.check_derived(expression, declaration, scope)
    holder = expressions.infer(function.value, scope)
    if isinstance(holder, Unknown):
        return UNKNOWN
    methods = RECORD_FUNCTIONS.get(holder.name, {}) if isinstance(holder, Record) else {}
    if function.name not in methods:
        fields = RECORDS[holder.name] if isinstance(holder, Record) else {}
        near = nearest(function.name, [*methods, *fields])
        scope.sink.error(
            "E0307",
            f"{describe(holder)} has no function `{function.name}`",
            function.span,
            "unknown",
            help=(f"did you mean `{near}`?",) if near else (),
        )
        return UNKNOWN
    argument, result, _ = methods[function.name]
    values = positional(expression, function.name, 1, 1, scope)
    if values is not None:
        expressions.require(values[0], Record(argument), scope, f"`{function.name}` takes what")
    return result


def positional(
    expression: ast.Call,
    name: str,
    least: int,
    most: int | None,
    scope: Scope,
    helps: tuple[str, ...] = (),
) -> list[ast.Expr] | None:
    """Return the arguments of a call that takes no names; report wrong ones."""
    for argument in expression.arguments:
        if argument.name or argument.weight:
            title = f"`{name}` takes its arguments by position"
            scope.sink.error("E0305", title, argument.span, help=helps)
            return None
    values = [argument.value for argument in expression.arguments]
    if len(values) < least or (most is not None and len(values) > most):
        count = (
            str(least)
            if most == least
            else f"{least} or more"
            if most is None
            else f"{least} to {most}"
        )
        scope.sink.error(
            "E0305",
            f"`{name}` takes {count} argument{'s' if count != '1' else ''}, here are {len(values)}",
            expression.span,
            help=helps,
        )
        return None
    return values


def _function(expression: ast.Call, name: str, scope: Scope) -> Type:
    rule, least, most, _ = FUNCTIONS[name]
    values = positional(expression, name, least, most, scope)
    if values is None:
        return UNKNOWN
    if rule == "number":
        taken = expressions.infer(values[0], scope)
        of = taken.of if isinstance(taken, Samples) else taken
        if not agrees(of, PLAIN, values[0]):
            mismatch(values[0], of, PLAIN, scope, f"what `{name}` takes")
        return Samples(PLAIN, taken.each) if isinstance(taken, Samples) else PLAIN
    if rule == "list":
        if isinstance(values[1], ast.ListOf) and not values[1].items:
            scope.sink.error("E0305", f"the list of `{name}` is empty", values[1].span)
            return UNKNOWN
        first = expressions.infer(values[0], scope)
        of = first.of if isinstance(first, Samples) else first
        expressions.require(values[1], Sequence(of), scope, f"the second argument of `{name}`")
        return first
    result: Type = UNKNOWN
    each = ""  # of what there is a value, where one of them is a metric: numbers go with it
    for value in values:
        found = expressions.infer(value, scope)
        if isinstance(found, Samples):
            if each and found.each != each:
                mismatch(value, found, Samples(PLAIN, each), scope, f"an argument of `{name}`")
                return UNKNOWN
            each, found = found.each, found.of
        if isinstance(found, Unknown):
            continue
        if not isinstance(found, Quantity):
            mismatch(value, found, PLAIN, scope, f"an argument of `{name}`")
            return UNKNOWN
        if isinstance(result, Unknown):
            result = found
        elif not agrees(found, result, value):
            if agrees(result, found, values[0]):
                result = found
                continue
            mismatch(value, found, result, scope, f"an argument of `{name}`")
            return UNKNOWN
    return Samples(result, each) if each and isinstance(result, Quantity) else result


def _selection(expression: ast.Call, name: str, scope: Scope) -> Type:
    if scope.metrics:
        scope.sink.error(
            "E0305",
            f"`{name}` goes over a list, and a condition on the result has none",
            expression.span,
            help=("statistics go over requests: `mean(ttft)`, `finished(where = ttft > 1 s)`",),
        )
        return UNKNOWN
    written = slips.of_selection(name, scope)
    values = positional(expression, name, 1, 1, scope, (written,))
    if values is None:
        return UNKNOWN
    generator = values[0]
    if not isinstance(generator, ast.Generator):
        scope.sink.error(
            "E0305",
            f"`{name}` takes a generator",
            generator.span,
            help=(written,),
        )
        return UNKNOWN
    if bool(generator.keys) != (name == "pick"):
        chosen = slips.of_selection("pick", scope)
        scope.sink.error(
            "E0305",
            f"`pick` needs `by KEY`, `{name}` takes none"
            if name != "pick"
            else "`pick` needs a key",
            generator.span,
            help=(chosen if name in SELECTORS else "leave `by` out",),
        )
    of = expressions.infer_generator(generator, scope)
    if name in ("random", "round_robin") and scope.place and scope.place.event == "let":
        scope.sink.error(
            "E0305",
            f"`{name}` chooses anew wherever the `let` is read",
            expression.span,
            help=("choose in a handler: `let w = …` is chosen once there",),
        )
    if name == "round_robin" and not isinstance(of, (Record, Unknown)):
        scope.sink.error(
            "E0304", "`round_robin` goes round workers, or requests, by their numbers",
            generator.element.span, describe(of),
            help=("choose among others by a key, `pick(… by … for …)`, or by `random`",),
        )  # fmt: skip
        return UNKNOWN
    if name in SELECTORS or isinstance(of, Unknown):
        return of
    if name == "count":
        return PLAIN
    if name in ("any", "all"):
        if of != Boolean():
            mismatch(generator.element, of, Boolean(), scope, f"what `{name}` looks at")
        return Boolean()
    if not isinstance(of, Quantity):
        done = "adds up" if name == "sum" else "compares"
        mismatch(generator.element, of, PLAIN, scope, f"what `{name}` {done}")
        return UNKNOWN
    return of
