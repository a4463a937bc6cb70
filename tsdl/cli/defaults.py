"""What scenarios leave to defaults: every field that was not set, and what it then is."""

from tsdl.diagnostics import Sink
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.program import Program
from tsdl.schema import Block


def explain(program: Program) -> str:
    """Return the defaults of each scenario and of all that it uses."""
    lines: list[str] = []
    for declaration in program.own("scenario"):
        evaluator = Evaluator(program, {}, Sink())
        scenario = evaluator.instance(declaration)
        lines.append(f"scenario {declaration.name}")
        lines += _fields(scenario, "  ")
        for key in ("model", "cluster", "policy", "router", "workload", "slo"):
            try:
                part = evaluator.reference(scenario, key)
            except Failed:
                continue
            if part is not None:
                lines.append(f"  {key} {part.name}")
                lines += _fields(part, "    ")
    return "\n".join(lines) + "\n" if lines else ""


def _fields(instance: Instance, indent: str) -> list[str]:
    found = _block(
        instance.members.shape, indent, set(instance.members.fields) | set(instance.overrides)
    )
    for verb, nested in instance.members.shape.blocks.items():
        blocks = instance.members.named(verb) if nested.named else [instance.members.block(verb)]
        for members in blocks:
            if members is None and nested.named:
                continue
            written = set(members.fields) if members else set()
            inner = _block(nested.block, indent + "  ", written)
            if inner:
                name = f" {members.name}" if members and members.name else ""
                found += [f"{indent}{verb}{name}", *inner]
    return found


def _block(shape: Block, indent: str, written: set[str]) -> list[str]:
    return [
        f"{indent}{key} = {field.default}  # {field.doc}"
        for key, field in shape.fields.items()
        if field.default is not None and key not in written
    ]
