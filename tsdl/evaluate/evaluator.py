"""Declarations put to use: instances, their fields computed when asked for, params, access by type.

What is known is put in; what only the run knows stays a formula. The checker has found every name
and every type, so what can still be wrong here is a value.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from tsdl import ast
from tsdl.bounds import broken
from tsdl.diagnostics import Label, Sink
from tsdl.evaluate.expressions import value_of
from tsdl.evaluate.values import Binding, Instance, Place, Value, names_of_stage, read_of_stage
from tsdl.formula import Formula, measured, size, symbol
from tsdl.formula import Value as FormulaValue
from tsdl.program import (
    Declaration,
    DeclarationName,
    FieldName,
    Members,
    ParameterName,
    Program,
)
from tsdl.schema import SHARED, Field
from tsdl.source import Span
from tsdl.types import Unknown, describe

_LET = Field(Unknown(), "a value that a block names", formula=True)


MOST_PARTS = 10_000  # of a formula that a `let` names, written out


class Failed(Exception):
    """A value cannot be had; the reason is in the sink."""


class Evaluator(Struct):
    """Evaluates expressions of a program, with the values that params were given.

    `constants` stand in the place of fields: by the declaration (its id) and the path in it.
    """

    program: Program
    params: dict[str, Value]
    sink: Sink
    constants: Mapping[tuple[int, str], Binding] = field(default_factory=dict)
    _param_values: dict[int, Value] = field(default_factory=dict)
    _open_params: list[Declaration] = field(default_factory=list)
    instances: dict[int, Instance] = field(default_factory=dict)
    steps: int = 0
    _arguments: dict[int, tuple[Binding, Value | None]] = field(default_factory=dict)

    def anew(self, sink: Sink, params: Mapping[str, Value] | None = None) -> "Evaluator":
        """Return one that was given the same from outside, and has computed nothing yet.

        `params` are further values for params.
        """
        return Evaluator(self.program, {**self.params, **(params or {})}, sink, self.constants)

    def fail(
        self,
        code: str,
        title: str,
        span: Span | None,
        label: str = "",
        *,
        secondary: tuple[Label, ...] = (),
        help: tuple[str, ...] = (),  # noqa: A002
        notes: tuple[str, ...] = (),
    ) -> Failed:
        """Report an error and return the exception to raise."""
        self.sink.error(code, title, span, label, secondary=secondary, help=help, notes=notes)
        return Failed(title)

    # -- declarations --------------------------------------------------------------------------

    def instance(self, declaration: Declaration) -> Instance:
        """Return the instance of a declaration that is used by name."""
        known = self.instances.get(id(declaration))
        if known is None:
            known = self.derived(declaration, (), Place(declaration, None))
            self.instances[id(declaration)] = known
        return known

    def derived(
        self, declaration: Declaration, arguments: tuple[ast.Argument, ...], caller: Place
    ) -> Instance:
        """Return a new instance of a declaration with arguments that a place gives."""
        members = declaration.members
        assert members is not None
        instance = Instance(declaration, members, None, {})
        for name in members.shape.symbols:
            instance.symbols[name] = symbol(name)
        self._bind(instance, declaration, arguments, caller)
        return instance

    def again(self, instance: Instance) -> Instance:
        """Return an instance with the same arguments whose values are not computed yet."""
        fresh = Instance(
            instance.declaration, instance.members, None, instance.bindings, instance.overrides
        )
        fresh.symbols = dict(instance.symbols)
        return fresh

    def _bind(
        self,
        instance: Instance,
        declaration: Declaration,
        arguments: tuple[ast.Argument, ...],
        caller: Place,
    ) -> None:
        """Bind the parameters of a declaration and of its bases, and fields of the instance."""
        if id(declaration) in instance.bindings:
            return  # through another base
        bound: dict[str, Binding] = {}
        for index, argument in enumerate(arguments):
            binding = Binding(argument.value, caller)
            if argument.name is None:
                bound[declaration.parameters[index].name] = binding
            elif declaration.parameter(argument.name):
                bound[argument.name] = binding
            elif declaration is instance.declaration:  # in a `from` it is a member already
                instance.overrides[argument.name] = binding
        for parameter in declaration.parameters:
            if parameter.name not in bound and parameter.default is not None:
                bound[parameter.name] = Binding(parameter.default, Place(declaration, instance))
        instance.bindings[id(declaration)] = bound
        for base in declaration.bases:
            given = base.expression.arguments if isinstance(base.expression, ast.Call) else ()
            place = Place(declaration, instance)
            self._bind(instance, base.declaration, given, place)

    # -- fields --------------------------------------------------------------------------------

    def get(self, instance: Instance, key: str) -> Value | None:
        """Return the value of a field; None where it is neither set nor has a default."""
        if key in instance.known:
            return instance.known[key]
        shape, lets = instance.members.shape, instance.members.lets
        spec = _LET if key in lets else shape.fields.get(key) or shape.open_field
        assert spec is not None, (shape.kind, key)
        found = self._source(instance, key)
        if found is None:
            if spec.required:
                raise self._missing(instance, key)
            instance.known[key] = None
            return None
        expression, place = found
        if expression.span in instance.inside:
            # One that is a default stands in no file; another that it goes by does.
            cycle = instance.inside[instance.inside.index(expression.span) :]
            written = (span for span in cycle if span.source.name != "<default>")
            raise self.fail(
                "E0501",
                f"`{key}` of `{instance.root.name}` is defined by itself",
                next(written, expression.span),
                "needs its own value",
            )
        instance.inside.append(expression.span)
        try:
            value = self.value(expression, place)
        finally:
            instance.inside.pop()
        self.validate(value, spec, f"{instance.path}{key}", expression, place)
        instance.known[key] = value
        return value

    def _source(self, instance: Instance, key: str) -> tuple[ast.Expr, Place] | None:
        override = self._override(instance, key)
        if override:
            return override.expression, override.place
        definition = instance.members.said(key)
        if definition:
            return definition.value, self.place_in(instance, key, definition.owner)
        default = self.program.defaults.get(_schema_path(instance, key))
        return (default, Place(self.program.library, instance)) if default is not None else None

    def usual(self, instance: Instance, key: str) -> Value | None:
        """Return the default of a field; None where it has none."""
        default = self.program.defaults.get(_schema_path(instance, key))
        place = Place(self.program.library, instance)
        return None if default is None else self.value(default, place)

    def place_in(self, instance: Instance, key: str, owner: Declaration) -> Place:
        """Return where what is said of a field, or of a `let`, is computed."""
        known = names_of_stage(instance.members) if key in instance.members.lets else {}
        return Place(owner, instance, dict(known))

    def _override(self, instance: Instance, key: str) -> Binding | None:
        """Return what wins over the declaration: a constant from outside, or an argument."""
        if self.constants:
            given = self.constants.get((id(instance.declaration), f"{instance.path}{key}"))
            if given is not None:
                return given
        return instance.overrides.get(key)

    def span(self, instance: Instance, key: str) -> Span:
        """Return where a field was set, or the name of the block that could have set it."""
        override = self._override(instance, key)
        if override:
            return override.expression.span
        definition = instance.members.said(key)
        if definition:
            return definition.value.span
        return self.place_of(instance)

    def place_of(self, instance: Instance) -> Span:
        """Return where a block is named."""
        return instance.members.span or instance.declaration.span

    def _missing(self, instance: Instance, key: str) -> Failed:
        shape = instance.members.shape
        field = shape.fields[key]
        name = instance.root.name if instance.parent is None else f"{instance.path.rstrip('.')}"
        kind = describe(field.type)
        told = field.doc if kind in field.doc else f"{field.doc}, {kind}"
        return self.fail(
            "E0404",
            f"`{instance.path}{key}` of {instance.root.declaration.kind} "
            f"`{instance.root.name}` is not set",
            self.place_of(instance),
            f"needs `{key}`",
            help=(f"write `{key} = …`: {told}",),
            notes=(f"`{name}` is used by the scenario, so it must be complete",),
        )

    def block(self, instance: Instance, verb: str, name: str = "") -> Instance | None:
        """Return a nested block; one without a name exists even where nothing was written."""
        known = instance.children.get((verb, name))
        if known:
            return known
        members = instance.members.blocks.get((verb, name))
        if members is None:
            nested = instance.members.shape.blocks.get(verb)
            if nested is None or name:
                return None
            members = Members(nested.block)
        path = f"{instance.path}{verb}." if not name else f"{instance.path}{name}."
        child = Instance(
            instance.declaration, members, instance, instance.bindings, path=path,
            symbols={**instance.symbols, **{n: symbol(n) for n in members.shape.symbols}},
        )  # fmt: skip
        instance.children[(verb, name)] = child
        return child

    def function(
        self, instance: Instance, key: str, arguments: dict[str, Value]
    ) -> FormulaValue | None:
        """Return the formula of a function field (`footprint(r)`), its parameters put in."""
        definition = instance.members.fields.get(key)
        if definition is None:
            return None
        local = dict(zip(definition.parameters, arguments.values(), strict=True))
        place = Place(definition.owner, instance, local)
        return self.formula(definition.value, place)

    def validate(
        self, value: Value, spec: Field, name: str, expression: ast.Expr, place: Place
    ) -> None:
        """Check a value against what its field allows."""
        if isinstance(value, Formula) and not spec.formula:
            raise self.fail(
                "E0502",
                f"`{name}` must be known before the run",
                expression.span,
                "depends on what only the running system knows",
            )
        if isinstance(value, Formula) and place.instance:
            if spec is not _LET:
                self._refuse_running(value, place.instance, name, expression)
            elif size(value) > MOST_PARTS:
                raise self.fail(
                    "E0104",
                    f"the formula that `{name}` names has more than {MOST_PARTS:,} parts",
                    expression.span,
                    help=("definitions that use one another twice over double it each time",),
                )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        reason = broken(value, spec, expression, self.program.units)
        if reason:
            origin = self.origin(expression, place)
            if origin.source.name == "<default>" and place.instance:
                raise self.fail(
                    "E0503",
                    f"`{name}` must be {reason}",
                    self.place_of(place.instance),
                    notes=(f"by default it is `{origin.text}`",),
                )
            used = () if origin == expression.span else (Label(expression.span, "used here"),)
            raise self.fail(
                "E0503",
                f"`{name}` must be {reason}",
                origin,
                secondary=used,
            )

    def _refuse_running(
        self, value: Formula, instance: Instance, name: str, expression: ast.Expr
    ) -> None:
        """Refuse what a `let` of a stage has read of the running system in one of its fields."""
        found = read_of_stage(value, instance)
        if found:
            raise self.fail(
                "E0502",
                f"`{name}` knows the features of a batch alone",
                expression.span,
                f"depends on {' and '.join(f'`{n}`' for n in found)}",
                help=("handlers and clauses such as `admit` know it",),
            )

    def origin(self, expression: ast.Expr, place: Place) -> Span:
        """Return where a value comes from: through names to the argument or field that sets it."""
        source: tuple[ast.Expr, Place] | None = None
        match self.program.meanings.get(expression):
            case ParameterName(owner=owner, name=name) if place.instance:
                bound = place.instance.root.bindings.get(id(owner), {}).get(name)
                source = (bound.expression, bound.place) if bound else None
            case FieldName(up=up, key=key) if place.instance:
                holder: Instance | None = place.instance
                for _ in range(up):
                    holder = holder.parent if holder else None
                source = self._source(holder, key) if holder else None
            case DeclarationName(declaration=declaration) if declaration.kind == "param":
                if declaration.name in self.params and self.program.sees(declaration):
                    return self.program.given.get(declaration.name, declaration.span)
                if declaration.clause.value is None:
                    return declaration.span
                source = declaration.clause.value, Place(declaration, None)
        return self.origin(*source) if source else expression.span

    def declaration_value(self, declaration: Declaration) -> Value:
        """Return a param's value, or the instance of a declaration."""
        if declaration.kind in SHARED:  # of requests, or recorded; only a run knows it
            return measured(declaration.kind, declaration.name)
        if declaration.kind != "param":
            return self.instance(declaration)
        known = self._param_values.get(id(declaration))
        if known is not None:
            return known
        if declaration.name in self.params and self.program.sees(declaration):
            value = self._own(self.params[declaration.name])
            self._param_values[id(declaration)] = value
            return value
        if declaration.clause.value is None:
            raise self.fail(
                "E0505",
                f"param `{declaration.name}` has no value",
                declaration.span,
                help=(f"give it one: `-p {declaration.name}=…`",),
            )
        if declaration in self._open_params:
            raise self.fail(
                "E0501", f"param `{declaration.name}` is defined by itself", declaration.span
            )
        self._open_params.append(declaration)
        try:
            value = self.value(declaration.clause.value, Place(declaration, None))
        finally:
            self._open_params.pop()
        self.check_whole(declaration.clause.type, value, declaration.clause.value)
        self._param_values[id(declaration)] = value
        return value

    def _own(self, value: Value) -> Value:
        """Return a value that another has computed: its instances know nothing of constants here.

        One that is used by its name is that of all who use it so: it may be compared with it.
        """
        if isinstance(value, list):
            return [self._own(item) for item in value]
        if not isinstance(value, Instance):
            return value
        bound = value.bindings[id(value.declaration)]
        usual = all(bound[p.name].expression is p.default for p in value.declaration.parameters)
        if usual and not value.overrides:
            return self.instance(value.declaration)
        return self.again(value)

    def forget(self, instance: Instance) -> None:
        """Compute the values of an instance and of its arguments anew when they are asked for."""
        instance.known.clear()
        for bound in instance.bindings.values():
            for binding in bound.values():
                self._arguments.pop(id(binding), None)

    def argument(self, binding: Binding, name: str) -> Value:
        """Return the value of an argument, computed once."""
        known = self._arguments.get(id(binding))
        if known is None:
            self._arguments[id(binding)] = (binding, None)
            value = self.value(binding.expression, binding.place)
            self._arguments[id(binding)] = (binding, value)
            return value
        if known[1] is None:
            raise self.fail("E0501", f"`{name}` is defined by itself", binding.expression.span)
        return known[1]

    def check_whole(self, type_: ast.Expr | None, value: Value, expression: ast.Expr) -> None:
        """See that what is declared `int` is whole."""
        declared = isinstance(type_, ast.Name) and type_.id == "int"
        if declared and isinstance(value, float) and value != int(value):
            raise self.fail("E0503", f"an int is whole, and this is {value:g}", expression.span)

    # -- expressions ----------------------------------------------------------------------------

    def value(self, expression: ast.Expr, place: Place) -> Value:
        """Return the value of an expression."""
        return value_of(self, expression, place)

    def formula(self, expression: ast.Expr, place: Place) -> FormulaValue:
        """Return the value of an expression of numbers or truth values, as far as it is known.

        A list of such values is a formula, too: a handler may go over it.
        """
        value = self.value(expression, place)
        if isinstance(value, list):
            items = [i for i in value if isinstance(i, (int, float, bool, str, Formula))]
            return Formula("list", tuple(items))
        assert isinstance(value, (int, float, bool, str, Formula)), expression.span.text
        return value

    def number(self, expression: ast.Expr, place: Place) -> float:
        """Return the value of an expression that must be a known number."""
        value = self.value(expression, place)
        if not isinstance(value, (int, float)):
            raise self.fail(
                "E0502",
                "this must be known before the run",
                expression.span,
                "depends on what only the running system knows",
            )
        return value

    # -- typed access for lowering -------------------------------------------------------------

    def reference(self, instance: Instance, key: str) -> Instance | None:
        """Return the declaration that a field refers to."""
        value = self.get(instance, key)
        assert value is None or isinstance(value, Instance), key
        return value

    def required(self, instance: Instance, key: str) -> Instance:
        """Return the declaration that a field refers to, which has a default or must be set."""
        value = self.reference(instance, key)
        assert value is not None, key
        return value

    def inner(self, instance: Instance, verb: str, name: str = "") -> Instance:
        """Return a nested block that is there: named, or without a name, written or not."""
        value = self.block(instance, verb, name)
        assert value is not None, verb
        return value

    def known(self, instance: Instance, key: str) -> FormulaValue:
        """Return a number or truth value, as far as it is known: a formula is one, too."""
        value = self.get(instance, key)
        assert isinstance(value, (int, float, bool, str, Formula)), (instance.name, key)
        return value

    def real(self, instance: Instance, key: str) -> float:
        """Return a field that must be a number."""
        value = self.get(instance, key)
        assert isinstance(value, (int, float)), (instance.name, key, value)
        return value

    def optional(self, instance: Instance, key: str) -> float | None:
        """Return a number, or None where it is not set."""
        value = self.get(instance, key)
        assert value is None or isinstance(value, (int, float)), (instance.name, key)
        return value

    def whole(self, instance: Instance, key: str) -> int:
        """Return a field that must be a whole number."""
        return int(self.real(instance, key))

    def word(self, instance: Instance, key: str) -> str:
        """Return a field that is a choice or a text."""
        value = self.get(instance, key)
        assert isinstance(value, str), (instance.name, key)
        return value


def _schema_path(instance: Instance, key: str) -> str:
    """Return the path under which the schema keeps a default."""
    parts: list[str] = [key]
    node: Instance | None = instance
    while node is not None and node.parent is not None:
        open_block = node.parent.members.shape.open_block
        parts.append("*" if open_block is node.members.shape else node.members.shape.kind)
        node = node.parent
    parts.append(instance.root.declaration.kind)
    return ".".join(reversed(parts))
