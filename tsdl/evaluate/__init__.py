"""Values of expressions: everything that is known is put in, what only the run knows stays a formula.

The checker has found every name and every type; what can still be wrong here is a value.
"""

from dataclasses import dataclass, field

from tsdl import ast, formula
from tsdl.diagnostics import Label, Sink
from tsdl.evaluate.values import (
    Binding,
    Constructed,
    Instance,
    Path,
    Place,
    Range,
    Value,
)
from tsdl.formula import Formula, make, symbol
from tsdl.program import (
    ChoiceName,
    Declaration,
    DeclarationName,
    FieldName,
    LocalName,
    Members,
    ParameterName,
    Program,
    SymbolName,
)
from tsdl.schema import CONSTRUCTORS, Field
from tsdl.source import Span
from tsdl.types import Text, describe

__all__ = ["Evaluator", "Failed", "Instance", "Value"]


class Failed(Exception):
    """A value cannot be had; the reason is in the sink."""


@dataclass(slots=True)
class Evaluator:
    """Evaluates expressions of a program, with the values that params were given."""

    program: Program
    params: dict[str, Value]
    sink: Sink
    _param_values: dict[int, Value] = field(default_factory=dict)
    _open_params: list[Declaration] = field(default_factory=list)
    used: set[int] = field(default_factory=set)
    instances: dict[int, Instance] = field(default_factory=dict)

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

    # -- declarations ---------------------------------------------------------------------------

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
        self.used.add(id(declaration))
        members = declaration.members
        assert members is not None
        instance = Instance(declaration, members, None, {})
        for name in members.shape.symbols:
            instance.symbols[name] = symbol(name)
        self._bind(instance, declaration, arguments, caller, outermost=True)
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
        *,
        outermost: bool,
    ) -> None:
        bound: dict[str, Binding] = {}
        for index, argument in enumerate(arguments):
            binding = Binding(argument.value, caller)
            if argument.name is None:
                bound[declaration.parameters[index].name] = binding
            elif declaration.parameter(argument.name):
                bound[argument.name] = binding
            elif outermost:
                instance.overrides[argument.name] = binding
            else:  # fields that a `from base(x = …)` sets, unless a later layer does
                instance.overrides.setdefault(argument.name, binding)
        for parameter in declaration.parameters:
            if parameter.name not in bound and parameter.default is not None:
                bound[parameter.name] = Binding(parameter.default, Place(declaration, instance))
        instance.bindings[id(declaration)] = bound
        for base in declaration.bases:
            self.used.add(id(base.declaration))
            given = base.expression.arguments if isinstance(base.expression, ast.Call) else ()
            self._bind(
                instance, base.declaration, given, Place(declaration, instance), outermost=False
            )

    # -- fields ---------------------------------------------------------------------------------

    def get(self, instance: Instance, key: str) -> Value | None:
        """Return the value of a field; None where it is neither set nor has a default."""
        if key in instance.known:
            return instance.known[key]
        spec = instance.members.shape.fields.get(key) or instance.members.shape.open_field
        assert spec is not None, (instance.members.shape.kind, key)
        found = self._source(instance, key)
        if found is None:
            if spec.required:
                raise self._missing(instance, key)
            instance.known[key] = None
            return None
        expression, place = found
        if expression.span in instance.inside:
            raise self.fail(
                "E0501",
                f"`{key}` of `{instance.root.name}` is defined by itself",
                expression.span,
                "needs its own value",
            )
        instance.inside.append(expression.span)
        try:
            value = self.value(expression, place)
        finally:
            instance.inside.pop()
        self.validate(value, spec, f"{instance.path}{key}", expression)
        instance.known[key] = value
        return value

    def _source(self, instance: Instance, key: str) -> tuple[ast.Expr, Place] | None:
        override = instance.overrides.get(key)
        if override:
            return override.expression, override.place
        definition = instance.members.fields.get(key)
        if definition:
            return definition.value, Place(definition.owner, instance, {}, definition)
        default = self.program.defaults.get(_schema_path(instance, key))
        return (default, Place(self.program.library, instance)) if default is not None else None

    def span(self, instance: Instance, key: str) -> Span:
        """Return where a field was set, or the name of the block that could have set it."""
        override = instance.overrides.get(key)
        if override:
            return override.expression.span
        definition = instance.members.fields.get(key)
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
        return self.fail(
            "E0404",
            f"`{instance.path}{key}` of {instance.root.declaration.kind} `{instance.root.name}` is not set",
            self.place_of(instance),
            f"needs `{key}`",
            help=(f"write `{key} = …`: {field.doc}, {describe(field.type)}",),
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
    ) -> formula.Value | None:
        """Return the formula of a function field (`footprint(r)`), its parameters put in."""
        definition = instance.members.fields.get(key)
        if definition is None:
            return None
        local = dict(zip(definition.parameters, arguments.values(), strict=True))
        place = Place(definition.owner, instance, local, definition)
        return self.formula(definition.value, place)

    def validate(self, value: Value, spec: Field, name: str, expression: ast.Expr) -> None:
        """Check a value against what its field allows."""
        if isinstance(value, Formula) and not spec.formula:
            raise self.fail(
                "E0502",
                f"`{name}` must be known before the run",
                expression.span,
                "depends on what only the running system knows",
            )
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        reason = None
        if spec.whole and value != int(value):
            reason = "a whole number"
        elif spec.low is not None and (value < spec.low or (spec.above and value == spec.low)):
            reason = f"{'more than' if spec.above else 'at least'} {spec.low:g}"
        elif spec.high is not None and value > spec.high:
            reason = f"at most {spec.high:g}"
        if reason:
            shown = expression.span.text or f"{value:g}"
            written = "" if isinstance(expression, ast.Number) else f", which is {value:g},"
            raise self.fail(
                "E0503",
                f"`{name}` must be {reason}",
                expression.span,
                f"`{shown}`{written} is not",
            )

    # -- expressions ----------------------------------------------------------------------------

    def value(self, expression: ast.Expr, place: Place) -> Value:
        """Return the value of an expression."""
        match expression:
            case ast.Number():
                unit = self.program.number_units.get(expression)
                return unit.convert(expression.value) if unit else expression.value
            case ast.Text():
                type_ = self.program.types.get(expression)
                if isinstance(type_, Text) and type_.path:
                    return Path(expression.value, expression.span.source.name)
                return expression.value
            case ast.Name():
                return self._name(expression, place)
            case ast.Attribute():
                return self._attribute(expression, place)
            case ast.Call():
                return self._call(expression, place)
            case ast.ListOf():
                return [self.value(item.value, place) for item in expression.items]
            case ast.Interval():
                return self._interval(expression, place)
            case ast.Unary(operator="+"):
                return self.value(expression.operand, place)
            case ast.Unary():
                operation = "not" if expression.operator == "not" else "negate"
                return self._operation(operation, (expression.operand,), expression, place)
            case ast.Binary():
                return self._operation(
                    expression.operator, (expression.left, expression.right), expression, place
                )
            case ast.Conditional():
                return self._conditional(expression, place)
            case _:
                raise AssertionError(expression)

    def formula(self, expression: ast.Expr, place: Place) -> formula.Value:
        """Return the value of an expression of numbers or truth values, as far as it is known."""
        value = self.value(expression, place)
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

    def _operation(
        self, operation: str, operands: tuple[ast.Expr, ...], whole: ast.Expr, place: Place
    ) -> Value:
        values = [self.value(operand, place) for operand in operands]
        return self._make(operation, values, whole)

    def _make(self, operation: str, values: list[Value], whole: ast.Expr) -> Value:
        if operation in ("==", "!=") and any(isinstance(v, Instance) for v in values):
            return (values[0] is values[1]) is (operation == "==")
        try:
            return make(operation, *values)  # type: ignore[arg-type]  # the checker saw the types
        except ZeroDivisionError:
            raise self.fail("E0504", "division by zero", whole.span) from None
        except ArithmeticError as error:
            raise self.fail("E0504", f"this cannot be computed: {error}", whole.span) from None

    def _conditional(self, expression: ast.Conditional, place: Place) -> Value:
        test = self.value(expression.test, place)
        if not isinstance(test, Formula):
            return self.value(expression.then if test else expression.otherwise, place)
        then = self.value(expression.then, place)
        otherwise = self.value(expression.otherwise, place)
        return make("if", test, then, otherwise)  # type: ignore[arg-type]

    def _interval(self, expression: ast.Interval, place: Place) -> Value:
        low, high = self.number(expression.low, place), self.number(expression.high, place)
        step = self.number(expression.step, place) if expression.step else None
        if low > high:
            raise self.fail(
                "E0503", f"this range is empty: {low:g} is more than {high:g}", expression.span
            )
        return Range(low, high, step)

    def _name(self, expression: ast.Name, place: Place) -> Value:
        match self.program.meanings[expression]:
            case LocalName(name=name):
                return place.locals[name]
            case ChoiceName(name=name):
                return {"true": True, "false": False}.get(name, name)
            case SymbolName(name=name):
                found = place.instance.symbols.get(name) if place.instance else None
                return found if found is not None else symbol(name)
            case FieldName(up=up, key=key):
                holder = place.instance
                for _ in range(up):
                    assert holder is not None
                    holder = holder.parent
                assert holder is not None
                return self._set_field(holder, key, expression)
            case ParameterName(owner=owner, name=name):
                return self._parameter(owner, name, expression, place)
            case DeclarationName(declaration=declaration):
                return self.declaration_value(declaration)
        raise AssertionError(expression.id)

    def _set_field(self, holder: Instance, key: str, expression: ast.Expr) -> Value:
        value = self.get(holder, key)
        if value is None:
            raise self.fail(
                "E0404",
                f"`{holder.path}{key}` of `{holder.root.name}` is not set",
                expression.span,
                "needed here",
                secondary=(Label(self.place_of(holder), f"`{key}` could be set here"),),
            )
        return value

    def _parameter(
        self, owner: Declaration, name: str, expression: ast.Expr, place: Place
    ) -> Value:
        assert place.instance is not None
        bound = place.instance.root.bindings.get(id(owner), {}).get(name)
        if bound is None:
            raise self.fail(
                "E0305",
                f"`{owner.name}` needs `{name}`",
                owner.span,
                help=(f"call it: `{owner.name}({name} = …)`",),
                secondary=(Label(expression.span, "needed here"),),
            )
        return self.value(bound.expression, bound.place)

    def declaration_value(self, declaration: Declaration) -> Value:
        """Return a param's value, or the instance of a declaration."""
        self.used.add(id(declaration))
        if declaration.kind != "param":
            return self.instance(declaration)
        if declaration.name in self.params and declaration.module is self.program.root:
            return self.params[declaration.name]
        known = self._param_values.get(id(declaration))
        if known is not None:
            return known
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
        self._param_values[id(declaration)] = value
        return value

    def _attribute(self, expression: ast.Attribute, place: Place) -> Value:
        meaning = self.program.meanings.get(expression)
        if isinstance(meaning, DeclarationName):
            return self.declaration_value(meaning.declaration)
        path = ast.path_of(expression)
        if path and path.startswith("base."):
            return self._base(path.removeprefix("base."), place, expression)
        names = [expression.name]
        root = expression.value
        value: Value | None = None
        while isinstance(root, ast.Attribute) and root not in self.program.meanings:
            names.append(root.name)
            root = root.value
        value = self.value(root, place)
        for name in reversed(names):
            if isinstance(value, Formula):
                value = Formula("field", (value, name))
            elif isinstance(value, Instance):
                block = value.members.shape.blocks.get(name)
                value = (
                    self.block(value, name) if block else self._set_field(value, name, expression)
                )
            assert value is not None
        return value

    def _base(self, path: str, place: Place, expression: ast.Expr) -> Value:
        *blocks, key = path.split(".")
        for base in place.owner.bases:
            holder: Members | None = base.declaration.members
            for verb in blocks:
                holder = holder.blocks.get((verb, "")) if holder else None
            definition = holder.fields.get(key) if holder else None
            if definition and place.instance:
                instance: Instance | None = place.instance.root
                for verb in blocks:
                    instance = self.block(instance, verb) if instance else None
                return self.value(
                    definition.value, Place(definition.owner, instance, {}, definition)
                )
        raise self.fail("E0208", f"no base sets `{path}`", expression.span)

    # -- calls ----------------------------------------------------------------------------------

    def _call(self, expression: ast.Call, place: Place) -> Value:
        function = expression.function
        meaning = self.program.meanings.get(function)
        match meaning:
            case DeclarationName(declaration=declaration):
                return self.derived(declaration, expression.arguments, place)
            case ChoiceName(name=name):
                return self._construct(name, expression, place)
        if isinstance(function, ast.Attribute):
            holder = self.value(function.value, place)
            values = [self.value(a.value, place) for a in expression.arguments]
            return Formula("call", (holder, function.name, *values))  # type: ignore[arg-type]
        assert isinstance(function, ast.Name)
        arguments = expression.arguments
        if arguments and isinstance(arguments[0].value, ast.Generator):
            return self._select(function.id, arguments[0].value, place)
        values = [self.value(a.value, place) for a in arguments]
        if any(isinstance(v, list) for v in values):
            values = [v for item in values for v in (item if isinstance(item, list) else [item])]
        if (
            len(values) == 1
            and function.id in ("min", "max")
            and not isinstance(values[0], Formula)
        ):
            return values[0]
        return self._make(function.id, values, expression)

    def _select(self, function: str, generator: ast.Generator, place: Place) -> Value:
        variable = generator.variable
        inner = Place(
            place.owner, place.instance, {**place.locals, variable: symbol(variable)},
            place.definition,
        )  # fmt: skip
        iterable = self.value(generator.iterable, inner)
        key = self.value(generator.key, inner) if generator.key else ""
        condition = self.value(generator.condition, inner) if generator.condition else True
        element = self.value(generator.element, inner)
        parts = (function, variable, element, iterable, key, condition)
        return Formula("select", parts)  # type: ignore[arg-type]

    def _construct(self, name: str, expression: ast.Call, place: Place) -> Value:
        type_ = self.program.types[expression]
        family = getattr(type_, "family", "distribution")
        maker = CONSTRUCTORS[family][name]
        if maker.variadic:
            weighted = tuple(
                (self.value(a.value, place), self.number(a.weight, place))
                for a in expression.arguments
                if a.weight is not None
            )
            return Constructed(name, {}, weighted)
        order = list(maker.parameters)
        parameters: dict[str, Value] = {}
        for index, argument in enumerate(expression.arguments):
            key = argument.name or order[index]
            value = self.value(argument.value, place)
            self.validate(value, maker.parameters[key], f"{name}.{key}", argument.value)
            parameters[key] = value
        for key, spec in maker.parameters.items():
            if key not in parameters and spec.default is not None:
                parameters[key] = float(spec.default.split()[0])
        return Constructed(name, parameters)

    # -- typed access for lowering ----------------------------------------------------------------

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
