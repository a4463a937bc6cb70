"""What scenarios leave to defaults: every field that was not set, and what it then is."""

from collections.abc import Iterator

from tsdl.diagnostics import Sink
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.schema import Block
from tsdl.schema.scenarios import MIXED
from tsdl.types import Reference


def explain(outside: Evaluator) -> str:
    """Return the defaults of each scenario and of all that it uses, each declaration once.

    `outside` knows which params and constants are given.
    """
    lines: list[str] = []
    for declaration in outside.program.own("scenario"):
        evaluator = outside.anew(Sink())
        scenario = evaluator.instance(declaration)
        lines.append(f"scenario {declaration.name}")
        lines += _fields(evaluator, scenario, "  ")
        told: list[int] = [id(scenario)]
        waiting = list(_used(evaluator, scenario))
        while waiting:
            role, part = waiting.pop(0)
            if id(part) in told:
                continue
            told.append(id(part))
            found = _fields(evaluator, part, "    ")
            lines += [f"  {role} {part.name}", *found] if found else []
            waiting[:0] = _used(evaluator, part)
    return "\n".join(lines) + "\n" if lines else ""


def _used(evaluator: Evaluator, instance: Instance) -> Iterator[tuple[str, Instance]]:
    """Yield the declarations that a block refers to, or by default does, and what each is there."""
    for key, field in instance.members.shape.fields.items():
        if isinstance(field.type, Reference):
            try:
                part = evaluator.reference(instance, key)
            except Failed:
                continue
            if part is not None:
                yield key, part
        elif field.type == MIXED:
            parts = evaluator.get(instance, key)
            assert parts is None or isinstance(parts, list)
            yield from ((key, part) for part in parts or () if isinstance(part, Instance))
    for _, child in _children(evaluator, instance):
        yield from _used(evaluator, child)


def _children(evaluator: Evaluator, instance: Instance) -> Iterator[tuple[str, Instance]]:
    """Yield the blocks in a block by what heads them: those written, and those that need not be."""
    blocks = instance.members.shape.blocks
    unnamed = [(verb, "") for verb, nested in blocks.items() if not nested.named]
    for verb, name in dict.fromkeys([*unnamed, *instance.members.blocks]):
        child = evaluator.block(instance, verb, name)
        if child is not None:
            yield f"{verb} {name}".rstrip(), child


def _fields(evaluator: Evaluator, instance: Instance, indent: str) -> list[str]:
    written = {*instance.members.fields, *instance.overrides}
    found = _block(instance.members.shape, indent, written)
    for head, child in _children(evaluator, instance):
        inner = _fields(evaluator, child, indent + "  ")
        if inner:
            found += [f"{indent}{head}", *inner]
    return found


def _block(shape: Block, indent: str, written: set[str]) -> list[str]:
    return [
        f"{indent}{key} = {field.default}  # {field.doc}"
        for key, field in shape.fields.items()
        if field.default is not None and key not in written
    ]
