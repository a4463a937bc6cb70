"""Operator classes, shares and number formats that stand on one side only, of devices or others."""

from collections.abc import Iterator

from tsdl import ast
from tsdl.diagnostics import Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, DeclarationName, Members, Program
from tsdl.source import Span

# Classes with a default of their own: every device has them.
_ALWAYS = ("gemm", "attention", "pointwise", "collective")
# What is reached of computing and of memory: kernels that only send do neither.
_OF_WORK = ("compute", "bandwidth", "sharpness")


def report_classes(program: Program, sink: Sink) -> None:
    """Warn of a class in the file itself that has no counterpart anywhere: most often a slip."""
    of_operators = {name for d in program.declarations for name, _ in _written(d)}
    of_devices = {*_ALWAYS, *(name for d in program.declarations for name, _ in _reached(d))}
    done = _done(program)
    formats = {d.name for d in program.declarations if d.kind == "dtype"}
    for declaration in program.declarations:
        if declaration.module is not program.root:
            continue
        for name, span in _written(declaration):
            if name not in of_devices:
                _warn(sink, f"no device says what class `{name}` reaches", name, of_devices, span)
        for name, span in (*_reached(declaration), *_extra(declaration)):
            if name not in of_operators and name not in _ALWAYS:
                title = f"no operator is of class `{name}`"
                _warn(sink, title, name, of_operators, span, "counts for nothing")
        for name, shares in _in_vain(declaration, done):
            block = "exchange" if name == "exchange" else "collective"
            first, *others = (Label(span, "counts for nothing") for span in shares)
            sink.warning(
                "W0505",
                f"operators of class `{name}` neither compute nor move bytes of memory",
                first.span,
                first.text,
                secondary=tuple(others),
                help=(f"a link says what sending reaches: `{block} {{ bandwidth = …; … }}`",),
            )
        for name, span in _formats(declaration):
            if name not in formats:
                title = f"no number format is called `{name}`"
                _warn(sink, title, name, formats, span, "counts for nothing")
        for name, span in _without_a_peak(declaration):
            if name in formats:
                sink.warning(
                    "W0505", f"`{declaration.name}` has no peak in {name} to attain a share of",
                    span, "counts for nothing", help=(f"write `compute {{ {name} = … }}`, too",),
                )  # fmt: skip


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
    for call in _calls(declaration):
        yield from ((value.id, value.span) for value in _classes(call))
    if declaration.kind != "operator" or declaration.members is None:
        return
    for members in (declaration.members, *declaration.members.named("part")):
        definition = members.fields.get("class")
        if definition and isinstance(definition.value, ast.Name):
            yield definition.value.id, definition.value.span


def _calls(declaration: Declaration) -> Iterator[ast.Call]:
    """Yield the calls of operators in a model's graph: `GEMM(k, n, class = head)`."""
    if declaration.kind == "model" and not declaration.module.library and declaration.clause.body:
        for node in ast.walk(declaration.clause.body.items):  # those of the library give no class
            if isinstance(node, ast.GraphNode) and isinstance(node.operator, ast.Call):
                yield node.operator


def _classes(call: ast.Call) -> Iterator[ast.Name]:
    """Yield the class that a node of a graph is given, if it is."""
    for argument in call.arguments:
        if argument.name == "class" and isinstance(argument.value, ast.Name):
            yield argument.value


def _done(program: Program) -> dict[str, list[set[str]]]:
    """Return what work kernels of each class do: those of each operator, part and node."""
    found: dict[str, list[set[str]]] = {}
    for declaration in program.declarations:
        if declaration.kind == "operator" and declaration.members:
            for kernel in declaration.members.named("part") or [declaration.members]:
                said = kernel.fields.get("class")
                if said and isinstance(said.value, ast.Name):
                    found.setdefault(said.value.id, []).append(set(kernel.fields))
        for call in _calls(declaration):
            for name, fields in _at_node(program, call):
                found.setdefault(name, []).append(fields)
    return found


def _at_node(program: Program, call: ast.Call) -> Iterator[tuple[str, set[str]]]:
    """Yield the class that a node of a graph is given, and what its operator does."""
    meaning = program.meanings.get(call.function)
    if isinstance(meaning, DeclarationName) and meaning.declaration.members:
        given = {argument.name or "" for argument in call.arguments}
        for value in _classes(call):
            yield value.id, given | set(meaning.declaration.members.fields)


def _in_vain(
    declaration: Declaration, done: dict[str, list[set[str]]]
) -> Iterator[tuple[str, list[Span]]]:
    """Yield classes that only send, and where a device says what they reach of other work."""
    if declaration.kind != "hardware" or declaration.members is None:
        return
    efficiency = declaration.members.block("efficiency")
    for (name, _), block in efficiency.blocks.items() if efficiency else ():
        blocks = [block, *(inner for _, inner in _with_weights(block))]
        said = [each.fields[key] for each in blocks for key in _OF_WORK if key in each.fields]
        own = [definition for definition in said if definition.owner is declaration]
        kernels = done.get(name, [])
        if own and kernels and all(each.isdisjoint(("flops", "bytes")) for each in kernels):
            yield name, [definition.value.span for definition in own]


def _with_weights(reached: Members) -> Iterator[tuple[str, Members]]:
    """Yield the formats of weights with which a class reaches something else, and what."""
    for which in ("stored_in", "widened"):
        formats = reached.block(which)
        for (name, _), block in formats.blocks.items() if formats else ():
            yield name, block


def _reached(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the classes that a device has efficiencies of."""
    if declaration.kind != "hardware" or declaration.members is None:
        return
    efficiency: Members | None = declaration.members.block("efficiency")
    for (name, _), block in efficiency.blocks.items() if efficiency else ():
        yield name, block.span or declaration.span


def _extra(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the classes to whose kernels a policy adds time."""
    local = declaration.members.block("local") if declaration.members else None
    extra = local.block("extra") if local and declaration.kind == "policy" else None
    for name, definition in extra.fields.items() if extra else ():
        if definition.owner is declaration:
            begin = definition.span.start
            yield name, Span(definition.span.source, begin, begin + len(name))


def _formats(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the number formats of which a device has a peak, what is attained, or of weights."""
    if declaration.kind != "hardware" or declaration.members is None:
        return
    for which in ("compute", "attained"):
        members = declaration.members.block(which)
        for name, definition in members.fields.items() if members else ():
            if definition.owner is declaration:
                yield name, definition.value.span
    efficiency = declaration.members.block("efficiency")
    for reached in efficiency.blocks.values() if efficiency else ():
        for name, block in _with_weights(reached):
            if any(said.owner is declaration for said in block.fields.values()):
                yield name, block.span or declaration.span


def _without_a_peak(declaration: Declaration) -> Iterator[tuple[str, Span]]:
    """Yield the formats of which a device says what is attained of its peak, and has none."""
    if declaration.kind != "hardware" or declaration.members is None:
        return
    attained, peaks = (declaration.members.block(name) for name in ("attained", "compute"))
    for name, definition in attained.fields.items() if attained and peaks else ():
        if peaks and name not in peaks.fields and definition.owner is declaration:
            yield name, definition.value.span
