"""Values for params from outside: texts of the command line, numbers and texts of Python."""

from tsdl import ast
from tsdl.check.expressions import agrees, infer, mismatch
from tsdl.check.scope import Scope
from tsdl.diagnostics import Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Failed
from tsdl.evaluate.values import Path, Place, Value
from tsdl.parse import parse
from tsdl.program import Declaration, Program
from tsdl.source import Source, Span
from tsdl.types import Quantity, Text, Type, describe


def read_params(program: Program, given: dict[str, object], sink: Sink) -> dict[str, Value]:
    """Return the value of each param that was given, checked against its declaration."""
    declared = program.params()
    found: dict[str, Value] = {}
    for name, value in given.items():
        declaration = declared.get(name)
        if declaration is None:
            near = nearest(str(name), declared)
            known = f"its params are: {', '.join(declared) or 'none'}"
            hidden = next(
                (a for a, m in program.aliases[program.root].items() if name in program.scopes[m]),
                None,
            )
            if hidden is not None:
                known = f"`{hidden}.{name}` can be set where its file is imported without `as`"
            sink.error(
                "E0507",
                f"the file has no param `{name}`",
                Span(program.root.file.source, 0, 0),
                help=(f"did you mean `{near}`?" if near else known,),
            )
            continue
        try:
            found[name] = _value(program, declaration, value, sink)
        except Failed:
            continue
    return found


def _value(program: Program, declaration: Declaration, value: object, sink: Sink) -> Value:
    assert declaration.clause.head is not None
    wanted = program.types[declaration.clause.head]
    if isinstance(wanted, Text):
        text = str(value)
        if len(text) > 1 and text[0] == text[-1] == '"':
            text = text[1:-1]
        return Path(text, "") if wanted.path else text
    text = str(value)
    if text in ("True", "False") and not isinstance(value, str):  # of Python, or of numpy
        text = text.lower()
    return _expression(program, declaration, text, wanted, sink)


def _expression(
    program: Program, declaration: Declaration, text: str, wanted: Type, sink: Sink
) -> Value:
    name = declaration.name
    source = Source(f"<-p {name}>", f"param {name} = {text}")  # which may be called as a clause is
    expression = read_expression(program, declaration, source, f"param `{name}`", wanted, sink)
    program.given[name] = expression.span
    evaluator = Evaluator(program, {}, sink)
    value = evaluator.value(expression, Place(declaration, None))
    evaluator.check_whole(declaration.clause.type, value, expression)
    return value


def read_expression(
    program: Program,
    declaration: Declaration,
    source: Source,
    subject: str,
    wanted: Type,
    sink: Sink,
) -> ast.Expr:
    """Read `name = value`, or that of a param; check the value, with the names it sees there.

    Raises Failed where it is no expression of the wanted type, with the reason in the sink.
    """
    before = len(sink.found)
    file = parse(source, sink)
    values = [item.value for item in file.items if isinstance(item, (ast.Field, ast.Clause))]
    if len(sink.found) > before or len(values) != 1 or values[0] is None:
        if len(sink.found) == before:
            text = source.text.partition(" = ")[2]
            sink.error("E0101", f"`{text}` is not a value", Span(source, 0, len(source.text)))
        raise Failed
    expression = values[0]
    scope = Scope(program, sink, declaration)
    found = infer(expression, scope, wanted)
    if len(sink.found) > before:
        raise Failed
    if not agrees(found, wanted, expression):
        mismatch(expression, found, wanted, scope, subject)
        raise Failed
    if isinstance(wanted, Quantity) and not isinstance(found, Quantity):
        place = Label(declaration.span, f"{describe(wanted)} is declared here")
        sink.error("E0304", f"{subject} is a number", expression.span, secondary=(place,))
        raise Failed
    return expression
