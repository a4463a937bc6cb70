"""Operator classes and number formats that stand on one side only, of devices or of others."""

from collections.abc import Iterator

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, Members, Program
from tsdl.source import Span

# Classes with a default of their own: every device has them.
_ALWAYS = ("gemm", "attention", "pointwise", "collective")


def report_classes(program: Program, sink: Sink) -> None:
    """Warn of a class in the file itself that has no counterpart anywhere: most often a slip."""
    of_operators = {name for d in program.declarations for name, _ in _written(d)}
    of_devices = {*_ALWAYS, *(name for d in program.declarations for name, _ in _reached(d))}
    formats = {d.name for d in program.declarations if d.kind == "dtype"}
    for declaration in program.declarations:
        if declaration.module is not program.root:
            continue
        for name, span in _written(declaration):
            if name not in of_devices:
                _warn(sink, f"no device says what class `{name}` reaches", name, of_devices, span)
        for name, span in _reached(declaration):
            if name not in of_operators and name not in _ALWAYS:
                title = f"no operator is of class `{name}`"
                _warn(sink, title, name, of_operators, span, "counts for nothing")
        for name, span in _formats(declaration):
            if name not in formats:
                title = f"no number format is called `{name}`"
                _warn(sink, title, name, formats, span, "counts for nothing")


def _warn(
    sink: Sink,
    title: str,
    name: str,
    known: set[str],
    span: Span,
    label: str = "counts as pointwise",
) -> None:
    near = nearest(name, sorted(known))
    helps = (f"did you mean `{near}`?",) if near else (f"there are {', '.join(sorted(known))}",)
    sink.warning("W0505", title, span, label, help=helps)


def _written(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the classes that an operator names, in itself or in its parts, and a graph's nodes."""
    if declaration.kind == "model" and not declaration.module.library and declaration.clause.body:
        yield from _at_nodes(declaration.clause.body)  # those of the library give none
    if declaration.kind != "operator" or declaration.members is None:
        return
    for members in (declaration.members, *declaration.members.named("part")):
        definition = members.fields.get("class")
        if definition and isinstance(definition.value, ast.Name):
            yield definition.value.id, definition.value.span


def _at_nodes(body: ast.Body) -> Iterator[tuple[str, Span]]:
    """Yield the classes that nodes of a graph are given: `GEMM(k, n, class = head)`."""
    for node in ast.walk(body.items):
        if isinstance(node, ast.GraphNode) and isinstance(node.operator, ast.Call):
            for argument in node.operator.arguments:
                if argument.name == "class" and isinstance(argument.value, ast.Name):
                    yield argument.value.id, argument.value.span


def _reached(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the classes that a device has efficiencies of."""
    if declaration.kind != "hardware" or declaration.members is None:
        return
    efficiency: Members | None = declaration.members.block("efficiency")
    for (name, _), block in efficiency.blocks.items() if efficiency else ():
        yield name, block.span or declaration.span


def _formats(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the number formats of which a device has a peak, or what is attained of it."""
    if declaration.kind != "hardware" or declaration.members is None:
        return
    for block in ("compute", "attained"):
        members = declaration.members.block(block)
        for name, definition in members.fields.items() if members else ():
            if definition.owner is declaration:
                yield name, definition.value.span
