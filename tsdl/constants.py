"""Numbers that the declarations of a scenario hold: which there are, and other values for them."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from numbers import Integral, Real

from msgspec import Struct

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.evaluate.values import Binding, Place
from tsdl.formula import Formula
from tsdl.params import read_expression
from tsdl.program import Declaration, Program
from tsdl.schema import Block, Field
from tsdl.schema.scenarios import MIXED
from tsdl.source import Source, Span
from tsdl.types import Quantity, Reference
from tsdl.units import Units
from tsdl.writing import number, percent, seconds

# What a value is put in the place of: the declaration (by identity) and the path in it.
Key = tuple[int, str]
_SMALL = 1e-3  # of the usual unit: below, base units are easier to read
_BASE_UNITS = {
    "time": "s", "data": "B", "work": "FLOP", "energy": "J", "money": "USD", "carbon": "gCO2"
}  # fmt: skip


SHARES = (1, 10)  # the greatest that a share may be; above 1 where caches serve it


class Constant(Struct, frozen=True, eq=False):
    """A number that a declaration holds, as the scenario has it, in base units."""

    declaration: Declaration
    path: str
    value: float
    field: Field

    @property
    def name(self) -> str:
        """Return kind, declaration and path: `hardware.A100_80G.efficiency.gemm.compute`."""
        return f"{self.declaration.kind}.{self.declaration.name}.{self.path}"

    @property
    def short(self) -> str:
        """Return kind and path: `hardware.efficiency.gemm.compute`, of all devices."""
        return f"{self.declaration.kind}.{self.path}"

    @property
    def key(self) -> Key:
        """Return what the evaluator knows it by."""
        return id(self.declaration), self.path

    def matches(self, pattern: str) -> bool:
        """Tell whether a name or short name, with `*` for any part of it, means this one."""
        return fnmatchcase(self.name, pattern) or fnmatchcase(self.short, pattern)

    def written(self, value: float, units: Units) -> str:
        """Write a value of it in the language, with its unit."""
        assert isinstance(self.field.type, Quantity)
        exact, value = value, float(f"{value:.5g}")
        dimension = self.field.type.dimension
        if not dimension.exponents:
            return percent(value) if self.field.high in SHARES else number(value)
        if str(dimension) == "time":
            return seconds(value)
        example = units.example_of(dimension)
        factor = float(units.parse(example).factor) if example else 0.0
        if example is not None and (value >= factor * _SMALL or not value):
            return f"{number(float(f'{exact / factor:.5g}'))} {example}"
        parts = [
            ("/" if power < 0 else "*", _BASE_UNITS.get(name, name), abs(power))
            for name, power in sorted(dimension.exponents, key=lambda e: -e[1])
        ]
        token = "".join(f"{s}{n}{f'^{p}' if p > 1 else ''}" for s, n, p in parts)
        return f"{number(value)} {token.removeprefix('*')}"


def constants_in(evaluator: Evaluator, instances: list[Instance]) -> list[Constant]:
    """Return the numbers of declarations and of all that they use, each once, in order.

    Numbers that must be whole are left out, and formulas that only the run can compute.
    """
    found: dict[Key, Constant] = {}
    for declaration, path, spec, value in _used(evaluator, instances):
        if isinstance(value, float):
            constant = Constant(declaration, path, value, spec)
            found.setdefault(constant.key, constant)
    return list(found.values())


def formulas_of(evaluator: Evaluator, scenario: Declaration) -> list[str]:
    """Return the short names of what could be constants of a scenario, and are formulas there."""
    found = (
        f"{declaration.kind}.{path}"
        for declaration, path, _, value in _used(evaluator, [evaluator.instance(scenario)])
        if isinstance(value, Formula)
    )
    return list(dict.fromkeys(found))


def links_of(
    evaluator: Evaluator, scenario: Declaration
) -> list[tuple[Declaration, str, Declaration]]:
    """Return which links the devices of a scenario have as their own, and by which field."""
    found = (
        (declaration, path, value.declaration)
        for declaration, path, _, value in _used(evaluator, [evaluator.instance(scenario)])
        if declaration.kind == "hardware" and isinstance(value, Instance)
    )
    return [(device, path, link) for device, path, link in found if link.kind == "link"]


def _used(
    evaluator: Evaluator, instances: list[Instance]
) -> Iterator[tuple[Declaration, str, Field, float | Formula | Instance]]:
    """Yield the quantities and references of declarations, and of all that they use."""
    seen: set[int] = set()
    waiting = list(instances)
    while waiting:
        instance = waiting.pop(0)
        if id(instance) in seen:
            continue
        seen.add(id(instance))
        for path, spec, value in _quantities(evaluator, instance, waiting):
            yield instance.declaration, path, spec, value


def _quantities(
    evaluator: Evaluator, instance: Instance, used: list[Instance]
) -> Iterator[tuple[str, Field, float | Formula | Instance]]:
    """Yield quantities and references of a block and of those in it; note what it uses."""
    shape, members = instance.members.shape, instance.members
    specs = dict(shape.fields)
    if shape.open_field:
        specs |= {key: shape.open_field for key in members.fields if key not in specs}
    for key, spec in specs.items():
        if spec.whole or not (isinstance(spec.type, (Quantity, Reference)) or spec.type == MIXED):
            continue
        try:
            value = evaluator.get(instance, key)
        except Failed:  # what the scenario has no need of may lack a value
            continue
        if isinstance(value, Instance):
            used.append(value)
            yield f"{instance.path}{key}", spec, value
        elif isinstance(value, list):
            used += [part for part in value if isinstance(part, Instance)]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield f"{instance.path}{key}", spec, float(value)
        elif isinstance(value, Formula):
            yield f"{instance.path}{key}", spec, value
    for verb, name in _blocks(shape, instance):
        inner = evaluator.block(instance, verb, name)
        if inner is not None:
            yield from _quantities(evaluator, inner, used)


def _blocks(shape: Block, instance: Instance) -> Iterator[tuple[str, str]]:
    for verb, nested in shape.blocks.items():
        if not nested.named:
            yield verb, ""
    for verb, name in instance.members.blocks:
        if name or verb not in shape.blocks:
            yield verb, name


def read_constants(
    program: Program, known: list[Constant], given: Mapping[str, object], sink: Sink
) -> dict[Key, Binding]:
    """Return other values for constants: by name or short name, a number in base units or a text.

    A text is an expression as it could stand in the declaration: `"60 %"`, `"2 ms"`.
    """
    found: dict[Key, Binding] = {}
    for name, value in given.items():
        meant = [constant for constant in known if name in (constant.name, constant.short)]
        if not meant:
            report_unknown(program, str(name), known, sink)
        for constant in meant:
            binding = _binding(program, constant, value, sink)
            if binding is not None:
                found[constant.key] = binding
    return found


def report_unknown(program: Program, name: str, known: list[Constant], sink: Sink) -> None:
    """Say that the scenario has no constant of this name."""
    near = nearest(name, [n for constant in known for n in (constant.short, constant.name)])
    sink.error(
        "E0508",
        f"the scenario has no constant `{name}`",
        Span(program.root.file.source, 0, 0),
        help=(f"did you mean `{near}`?" if near else "`tsdl plan FILE --constants` shows them",),
    )


def _binding(program: Program, constant: Constant, value: object, sink: Sink) -> Binding | None:
    place = Place(constant.declaration, None)
    if isinstance(value, Real) and not isinstance(value, bool):  # of numpy, too
        return plain(constant, int(value) if isinstance(value, Integral) else float(value))
    source = Source("<--set>", f"{constant.name} = {value}")
    subject = f"`{constant.name}`"
    try:
        expression = read_expression(
            program, constant.declaration, source, subject, constant.field.type, sink
        )
    except Failed:
        return None
    names = [node for node in ast.walk(expression) if isinstance(node, ast.Name)]
    if names:
        sink.error("E0304", f"{subject} is set to a number with its unit", names[0].span)
        return None
    return Binding(expression, place)


def plain(constant: Constant, value: float) -> Binding:
    """Return a number in base units as what stands in the place of a constant."""
    source = Source(f"<{constant.name}>", repr(value))
    whole = Span(source, 0, len(source.text))
    return Binding(ast.Number(value, None, whole), Place(constant.declaration, None))
