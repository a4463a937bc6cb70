"""Bodies to members: what a declaration holds with all that it inherits. Knows the schema."""

from tsdl import ast
from tsdl.bases import inherit
from tsdl.diagnostics import Edit, Fix, Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.program import Declaration, Definition, Members, Part, followed
from tsdl.schema import CONSTRUCTORS, KINDS, VALUES, Block
from tsdl.source import Span
from tsdl.types import with_article


def merge_all(declarations: list[Declaration], sink: Sink) -> None:
    """Fill in the members of every declaration, bases first."""
    for declaration in declarations:
        with followed(declaration):
            _merge(declaration, [], sink)


def _merge(declaration: Declaration, ring: list[Declaration], sink: Sink) -> None:
    if declaration.members is not None or declaration.kind in VALUES:
        return
    if declaration in ring:
        names = [d.name for d in ring[ring.index(declaration) :]]
        sink.error(
            "E0205",
            f"`{declaration.name}` is derived from itself",
            declaration.span,
            notes=(" → ".join([*names, declaration.name]),),
        )
        declaration.members = Members(KINDS[declaration.kind], declaration.name, declaration.span)
        declaration.bases = ()
        return
    for base in declaration.bases:
        _merge(base.declaration, [*ring, declaration], sink)
    if declaration.members is not None:
        return
    members = Members(KINDS[declaration.kind], declaration.name, declaration.span)
    conflicts = inherit(members, declaration, sink)
    if declaration.clause.body:
        _Merger(declaration, sink).body(members, declaration.clause.body)
    if declaration.parameters:
        _see_to_parameters(declaration, members, sink)
    for conflict in conflicts:
        if conflict.undecided:
            sink.error(
                "E0405",
                f"the bases of `{declaration.name}` disagree about `{conflict.name}`",
                declaration.span,
                secondary=(
                    Label(conflict.one, "one says this"),
                    Label(conflict.other, "another this"),
                ),
                help=(f"decide: write `{conflict.name}` in `{declaration.name}` itself",),
            )
    declaration.members = members


class _Merger:
    """Puts the members that one declaration writes over those that it inherits."""

    def __init__(self, owner: Declaration, sink: Sink) -> None:
        self.owner = owner
        self.sink = sink
        self.shapes: list[Block] = []  # of the blocks around, the innermost last
        self.written: dict[tuple[int, str], Span] = {}
        self.replaced: dict[tuple[int, tuple[str, ...]], Span] = {}

    def body(self, members: Members, body: ast.Body) -> None:
        """Merge a body into members."""
        self.shapes.append(members.shape)
        for item in body.items:
            match item:
                case ast.Field():
                    self._field(members, item)
                case ast.Clause():
                    self._clause(members, item)
                case ast.Let() if members.shape.names_values:
                    self._let(members, item)
                case ast.Bound() if members.shape.bounds:
                    self._part(members, ("bound", item.comparison.left.span.text), item)
                case _:
                    self.sink.error(
                        "E0406",
                        f"this cannot stand in {with_article(members.shape.kind)}",
                        item.span,
                        help=(_allowed(members.shape, item),),
                    )
        self.shapes.pop()

    # -- fields --------------------------------------------------------------------------------

    def _field(self, members: Members, item: ast.Field) -> None:
        if item.operator != "=":
            self.sink.error(
                "E0407",
                f"`{item.operator}` changes state, and only a handler can do that",
                item.span,
                help=("a declaration sets a field once, with `=`",),
            )
            return
        parameters: tuple[str, ...] = ()
        target = item.target
        if isinstance(target, ast.Call):
            parameters = tuple(
                a.value.id if isinstance(a.value, ast.Name) and a.name is None else "?"
                for a in target.arguments
            )
            target = target.function
        path = ast.path_of(target)
        if path is None:
            self.sink.error("E0408", "only a field can be set here", target.span)
            return
        *blocks, key = path.split(".")
        holder = self._holder(members, blocks, target)
        if holder is None or not self._known(
            holder, key, item, target, is_function=bool(parameters)
        ):
            return
        earlier = self.written.get((id(holder), key))
        if earlier:
            self._twice(path, "set", item.span, earlier)
            return
        self.written[(id(holder), key)] = item.span
        holder.fields[key] = Definition(
            key, item.value, self.owner, item.span, holder.fields.get(key), parameters
        )

    def _let(self, members: Members, item: ast.Let) -> None:
        """Add a name that the block gives to a value; it hides nothing that the block has."""
        name = item.name
        what = "a parameter" if self.owner.parameter(name) else _has(self.shapes, name)
        if what:
            self.sink.error(
                "E0206",
                f"`{name}` is {what} already",
                item.name_span,
                "named again here",
                help=("give the value another name",),
            )
            return
        earlier = self.written.get((id(members), f"let {name}"))
        if earlier:
            self._twice(name, "named", item.name_span, earlier)
            return
        self.written[(id(members), f"let {name}")] = item.name_span
        known = members.lets.get(name)
        members.lets[name] = Definition(name, item.value, self.owner, item.name_span, known)

    def _twice(self, name: str, done: str, span: Span, earlier: Span) -> None:
        self.sink.error(
            "E0403",
            f"`{name}` is {done} twice",
            span,
            f"{done} again here",
            secondary=(Label(earlier, f"first {done} here"),),
        )

    def _holder(self, members: Members, blocks: list[str], target: ast.Expr) -> Members | None:
        for verb in blocks:
            nested = members.shape.blocks.get(verb)
            shape = _nested_shape(members.shape, verb)
            if nested and nested.named:
                self.sink.error(
                    "E0408",
                    f"`{verb}` needs a name, and a path has none",
                    target.span,
                    help=(f"write `{verb} name {{ … }}`: it merges with the one of that name",),
                )
                return None
            if shape is None:
                if verb in members.shape.fields:
                    self.sink.error(
                        "E0409",
                        f"`{verb}` is another declaration, which cannot be changed from here",
                        target.span,
                        help=("derive from it: `kind own from it { … }`",),
                    )
                else:
                    self._unknown(members.shape, verb, target.span)
                return None
            members = members.blocks.setdefault((verb, ""), Members(shape, "", target.span))
        return members

    def _known(
        self, members: Members, key: str, item: ast.Field, target: ast.Expr, *, is_function: bool
    ) -> bool:
        shape = members.shape
        if is_function and key in shape.functions:
            return True
        if not is_function and (key in shape.fields or shape.open_field):
            return True
        if is_function and key in shape.fields:
            self.sink.error(
                "E0408",
                f"`{key}` takes no parameters",
                target.span,
                help=(f"it is one for all: write `{key} = …`",),
            )
        elif key in shape.functions:
            names = ", ".join(name for name, _ in shape.functions[key][:-1])
            self.sink.error(
                "E0408",
                f"`{key}` is a formula of a {shape.functions[key][0][1]}",
                target.span,
                help=(f"write `{key}({names or 'r'}) = …`",),
            )
        else:
            place = target.name_span if isinstance(target, ast.Attribute) else target.span
            self._unknown(shape, key, place, _drawn(shape, key, item.value))
        return False

    def _unknown(self, shape: Block, name: str, span: Span, slip: str = "") -> None:
        candidates = {*shape.fields, *shape.functions, *shape.blocks, *shape.clauses}
        # What follows a reserved verb does not follow a name, and the other way round.
        near = None if name in _RESERVED else nearest(name, sorted(candidates - _RESERVED))
        self.sink.error(
            "E0410",
            f"{with_article(shape.kind)} has no `{name}`",
            span,
            "unknown",
            help=(f"it is a block: `{name} {{ … }}`",)
            if name in shape.blocks
            else (f"did you mean `{near}`?",)
            if near
            else (_within(shape, name) or _elsewhere(name) or slip or _allowed(shape),),
            fix=Fix(f"write `{near}`", (Edit(span, near),)) if near and near != name else None,
        )

    # -- clauses and blocks --------------------------------------------------------------------

    def _clause(self, members: Members, item: ast.Clause) -> None:
        shape = members.shape
        if item.verb == "graph" and shape.graph and item.body and not item.objects:
            self._part(members, ("graph",), item)
        elif item.verb in shape.clauses:
            self._check_prepositions(shape, item)
            for key in _clause_keys(item):
                self._part(members, key, item)
        elif _nested_shape(shape, item.verb) is not None:
            self._block(members, item)
        elif item.verb in shape.fields and item.objects:
            self.sink.error(
                "E0411",
                f"`{item.verb}` is a field",
                item.span,
                "not set with `=`",
                help=(f"write `{item.verb} = {item.objects[0].span.text}`",),
            )
        else:
            self._unknown(shape, item.verb, item.verb_span)

    def _check_prepositions(self, shape: Block, item: ast.Clause) -> None:
        allowed = shape.clauses[item.verb].prepositions
        if not shape.clauses[item.verb].checked:
            return
        for preposition in item.prepositions:
            if preposition.word not in allowed:
                helps = [f"it takes {' and '.join(f'`{w}`' for w in allowed)}"] if allowed else []
                if (item.verb, preposition.word) == ("expect", "where"):
                    which = preposition.objects[0].span.text
                    helps = [
                        f"a statistic says which requests it is of: `p99(ttft, where = {which})`"
                    ]
                self.sink.error(
                    "E0412",
                    f"`{item.verb}` takes no `{preposition.word}` here",
                    preposition.span,
                    help=tuple(helps),
                )

    def _block(self, members: Members, item: ast.Clause) -> None:
        nested = members.shape.blocks.get(item.verb)
        shape = nested.block if nested else members.shape.open_block
        assert shape is not None
        name = ""
        if nested and nested.named:
            if not isinstance(item.head, ast.Name) or len(item.objects) != 1:
                self.sink.error(
                    "E0402",
                    f"{with_article(item.verb)} needs one name",
                    item.verb_span,
                    help=(f"write `{item.verb} name {{ … }}`",),
                )
                return
            name = item.head.id
        extra: tuple[ast.Expr | ast.Preposition | None, ...] = (
            *(() if name else item.objects),
            *item.prepositions,
            item.type,
            item.value,
            item.within,
            None if nested and nested.counted else item.count,
        )
        wrong = next((e for e in extra if e is not None), None)
        if wrong is not None or (item.body is None and item.count is None):
            self.sink.error(
                "E0402",
                f"{with_article(item.verb)} is not declared like this",
                wrong.span if wrong else item.span,
                help=(f"write `{item.verb}{' name' if name else ''} {{ {_needed(shape)} }}`",),
            )
            return
        place = (id(members), f"{item.verb} {name}")
        if name and place in self.written:
            self.sink.error(
                "E0403",
                f"{item.verb} `{name}` stands twice",
                item.verb_span,
                secondary=(Label(self.written[place], "first here"),),
            )
            return
        if name:
            self.written[place] = item.verb_span
        inner = members.blocks.setdefault((item.verb, name), Members(shape, name))
        inner.span = item.head.span if item.head else item.verb_span
        if item.count is not None:
            key = "scale" if isinstance(item.count, ast.Interval) else "count"
            if key not in shape.fields:
                self.sink.error(
                    "E0402", f"{with_article(item.verb)} has one count", item.count.span,
                    help=(f"write `{item.verb} {name} * 2 {{ … }}`",),
                )  # fmt: skip
                return
            self.written[(id(inner), key)] = item.count.span
            inner.fields.pop("count" if key == "scale" else "scale", None)  # of what it derives
            inner.fields[key] = Definition(
                key, item.count, self.owner, item.count.span, inner.fields.get(key)
            )
        if item.body:
            self.body(inner, item.body)

    def _part(self, members: Members, key: tuple[str, ...], item: ast.Item) -> None:
        """Add a clause; the first of its key in a declaration replaces all that are inherited."""
        place = (id(members), key)
        earlier = self.replaced.get(place)
        if earlier is None:
            self.replaced[place] = item.span
            members.parts[key] = []
        elif key[0] in _ONCE:
            self.sink.error(
                "E0403",
                f"`{' '.join(key)}` stands twice",
                item.span,
                "said again here",
                secondary=(Label(earlier, "first said here"),),
            )
            return
        members.parts[key].append(Part(item, self.owner))


# Verbs that stand for nothing else at the start of an item (SPEC.md, section 3.1).
_RESERVED = {"expect", "where", "table", "log", "record"}
# What a block says once: a second one would be passed over in silence.
_NAMED = frozenset({"on", "state", "breakpoint", "after", "vary"})  # each by its name
_ONCE = _NAMED | {"graph", "replicate", "queue"}


def _clause_keys(item: ast.Clause) -> list[tuple[str, ...]]:
    """Return what a clause replaces: an event, or what its verb says with each preposition."""
    head = item.head
    every = item.preposition("every")
    if item.verb == "on" and head is None and every:
        return [("on", f"every({' '.join(every.objects[0].span.text.split())})")]
    if item.verb == "queue":
        return [("queue",)]
    if item.verb in _NAMED and head is not None:
        function = head.function if isinstance(head, ast.Call) else head
        return [(item.verb, ast.path_of(function) or "")]
    words = [p.word for p in item.prepositions if p.word != "where"]  # of which points it is
    return [(item.verb, word) for word in words] or [(item.verb,)]


def _nested_shape(shape: Block, verb: str) -> Block | None:
    nested = shape.blocks.get(verb)
    return nested.block if nested else shape.open_block


def _within(shape: Block, name: str) -> str:
    """Say which block of this one a member belongs to, if one does."""
    inside = [
        verb
        for verb, nested in shape.blocks.items()
        if not nested.named and name in nested.block.fields
    ]
    return " or ".join(f"it belongs to `{verb}`: `{verb}.{name} = …`" for verb in inside)


def _drawn(shape: Block, name: str, value: ast.Expr) -> str:
    """Say where a distribution has its place that a block knows nothing of; "" of what else."""
    drawn = isinstance(value, ast.Call) and value.function.span.text in CONSTRUCTORS["distribution"]
    if not drawn or "." in name:
        return ""
    block = f"`attributes {{ {name} = {value.span.text} }}`"
    if "attributes" in shape.blocks:
        return f"attributes of requests are drawn in a block of their own: {block}"
    return f"a workload draws, attributes of requests as well: {block}"


def _needed(shape: Block) -> str:
    """Return what stands in the braces of a block: what has to, and what else there is."""
    return "; ".join([*(f"{k} = …" for k, field in shape.fields.items() if field.required), "…"])


def _elsewhere(name: str) -> str:
    """Say where a reserved verb has its place; "" of any other name."""
    kinds = [f"a {kind}" for kind, block in KINDS.items() if name in block.clauses]
    return f"`{name}` belongs to {' or '.join(kinds)}" if kinds and name in _RESERVED else ""


def _has(shapes: list[Block], name: str) -> str:
    """Say what a name is to a block within others, the innermost last; "" where it is free."""
    shape = shapes[-1]
    if name in shape.fields or name in shape.functions:
        return f"a field of {with_article(shape.kind)}"
    if name in shape.blocks or name in shape.clauses:
        return f"a word of {with_article(shape.kind)}"
    offers = next((around for around in shapes if name in around.symbols), None)
    return f"known to {with_article(offers.kind)}" if offers else ""


def _see_to_parameters(declaration: Declaration, members: Members, sink: Sink) -> None:
    """Refuse a parameter of the name of a `let` that is inherited: formulas would read that."""
    for name, definition in members.lets.items():
        parameter = declaration.parameter(name)
        if parameter is not None and definition.owner is not declaration:
            sink.error(
                "E0206",
                f"`{name}` is a value that `{definition.owner.name}` names already",
                parameter.span,
                "a parameter of the same name",
                secondary=(Label(definition.span, "named here"),),
                help=("give the parameter another name",),
            )
    for block in members.blocks.values():
        _see_to_parameters(declaration, block, sink)


def _allowed(shape: Block, item: ast.Item | None = None) -> str:
    if isinstance(item, (ast.Let, ast.If, ast.For)) and "on" in shape.clauses:
        return "statements stand in a handler: `on EVENT(…) { … }`"
    names = [*shape.fields, *shape.functions, *shape.blocks, *shape.clauses]
    if shape.graph:
        names.append("graph")
    if shape.bounds:
        return "write a bound: `ttft <= 2 s`"
    if shape.open_block and not names:
        fields = ", ".join(shape.open_block.fields)
        return f"it holds blocks, each of a name: `NAME {{ … }}` with {fields}"
    return f"it has {', '.join(names)}" if names else "it holds no such thing"
