"""What a declaration takes over from its bases, called as they are, and where these disagree."""

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from msgspec import Struct

from tsdl import ast
from tsdl.diagnostics import Label, Sink
from tsdl.program import Base, Declaration, Definition, Given, Members
from tsdl.source import Span


def inherit(into: Members, declaration: Declaration, sink: Sink) -> "list[Conflict]":
    """Put what all bases of a declaration hold into its members; return what they disagree about.

    The declaration itself may still decide that; arguments of what they have in common it cannot.
    """
    conflicts: list[Conflict] = []
    told: set[Span] = set()
    for base in declaration.bases:
        if base.declaration.members is None:
            continue
        base.members = _called(base, base.declaration.members, declaration)
        _merge(into, base.members, conflicts, "")
        for one, given in base.members.given.items():
            known = into.given.setdefault(one, given)
            differ = next((p for p in given if known[p].term != given[p].term), None)
            if differ is not None and given[differ].span not in told:
                told.add(given[differ].span)
                _report_argument(declaration, one, differ, (known[differ], given[differ]), sink)
    return conflicts


def _called(base: Base, members: Members, caller: Declaration) -> Members:
    """Return what a base holds as it is called: a field that an argument sets is the caller's."""
    fields = dict(members.fields)
    own: dict[str, Given] = {
        p.name: Given(p.default, base.expression.span) for p in base.declaration.parameters
    }
    arguments = base.expression.arguments if isinstance(base.expression, ast.Call) else ()
    for argument, parameter in zip_longest(
        arguments, base.declaration.parameters[: len(arguments)]
    ):
        name = argument.name or (parameter.name if parameter else None)
        if name in own:
            own[name] = Given(_term(argument.value, caller), argument.span)
        elif name is not None and name in members.shape.fields:
            known = fields.get(name)
            fields[name] = Definition(
                name, argument.value, caller, argument.span, known, argument=True
            )
    given = {base.declaration: own} if own else {}
    given |= {one: _passed_on(theirs, own) for one, theirs in members.given.items()}
    return Members(
        members.shape, members.name, members.span, fields, members.lets, members.blocks,
        members.parts, given,
    )  # fmt: skip


def _term(value: ast.Expr, caller: Declaration) -> ast.Expr | str:
    """Return what is given: the caller's parameter, by its name, or else the expression itself."""
    passed = isinstance(value, ast.Name) and caller.parameter(value.id) is not None
    return value.id if passed and isinstance(value, ast.Name) else value


def _passed_on(given: dict[str, Given], own: dict[str, Given]) -> dict[str, Given]:
    """Return what parameters of a base's base are given, now that those of the base are."""
    return {n: own[g.term] if isinstance(g.term, str) else g for n, g in given.items()}


def _report_argument(
    declaration: Declaration, one: Declaration, name: str, given: tuple[Given, Given], sink: Sink
) -> None:
    sink.error(
        "E0405",
        f"the bases of `{declaration.name}` disagree about `{name}` of `{one.name}`",
        declaration.span,
        secondary=(Label(given[0].span, "one gives this"), Label(given[1].span, "another this")),
        help=(f"`{one.name}` has one `{name}`: derive `{declaration.name}` from one of both",),
    )


class Conflict(Struct, frozen=True):
    """Two bases that say different things; the declaration itself may still decide."""

    holder: Mapping[Any, object]  # what it stands in, by key
    path: str
    key: str | tuple[str, ...]
    kept: object
    one: Span
    other: Span

    @property
    def name(self) -> str:
        """Return the path of what they disagree about."""
        return self.path + (self.key if isinstance(self.key, str) else " ".join(self.key))

    @property
    def undecided(self) -> bool:
        """Tell whether the declaration has not said anything of it itself."""
        return self.holder[self.key] is self.kept


def _merge(into: Members, base: Members, conflicts: list[Conflict], path: str) -> None:
    for mine, theirs in ((into.fields, base.fields), (into.lets, base.lets)):
        for key, definition in theirs.items():
            known = mine.setdefault(key, definition)
            if _overrides(definition, known):
                mine[key] = definition
            elif not _overrides(known, definition):
                conflicts.append(Conflict(mine, path, key, known, known.span, definition.span))
    for (verb, name), block in base.blocks.items():
        own = into.blocks.setdefault((verb, name), Members(block.shape, block.name, block.span))
        _merge(own, block, conflicts, f"{path}{name or verb}.")
    for clause, parts in base.parts.items():
        kept = into.parts.setdefault(clause, list(parts))
        if [part.item for part in kept] != [part.item for part in parts]:
            one, other = kept[0].item.span, parts[0].item.span
            conflicts.append(Conflict(into.parts, path, clause, kept, one, other))


def _overrides(one: Definition, other: Definition) -> bool:
    """Tell whether a definition is the other, or replaced it in a declaration derived from it."""
    found: Definition | None = one
    while found is not None and found is not other:
        found = found.base
    return found is other
