"""What of a program no scenario and no study leads to: declarations, and tiers of clusters."""

from collections.abc import Container, Iterable, Iterator

from tsdl import ast
from tsdl.diagnostics import Severity, Sink
from tsdl.lower.places import tiers_in
from tsdl.program import Declaration, Members, Program
from tsdl.resolve import find
from tsdl.types import Reference


def report_unused(program: Program, sink: Sink) -> None:
    """Warn of declarations of the file that nothing uses, and of tiers that nothing fills."""
    roots = [*program.own("scenario"), *program.own("study")]
    if not roots:
        return  # a file of declarations, for others to import
    reached = _reached(program, roots)
    for declaration in program.declarations:
        if declaration.module is program.root and id(declaration) not in reached:
            sink.warning(
                "W0201",
                f"{declaration.kind} `{declaration.name}` is used by no scenario",
                declaration.span,
                "never used",
                help=("remove it, or use it",),
            )
    if any(found.severity is Severity.ERROR for found in sink.found):
        return  # what was to name a tier may be misspelt
    _report_tiers(program, [d for d in program.declarations if id(d) in reached], sink)


def _reached(program: Program, roots: Iterable[Declaration]) -> set[int]:
    """Return the declarations, by their id, that some lead to by name."""
    shared = {**program.shared("metric"), **program.attributes()}
    reached: set[int] = set()
    open_kinds: set[str] = set()
    waiting = list(roots)
    while waiting:
        declaration = waiting.pop()
        if id(declaration) not in reached:
            reached.add(id(declaration))
            if not declaration.module.library:  # which knows nothing of the file
                waiting += _mentioned(program, declaration, shared)
            kinds = _kind_of_param(program, declaration) - open_kinds
            open_kinds |= kinds  # of which the command line may choose any
            waiting += [d for d in program.declarations if d.kind in kinds] if kinds else []
    return reached


def _kind_of_param(program: Program, declaration: Declaration) -> set[str]:
    """Return the kind of block that a param stands for, if it does."""
    head = declaration.clause.head
    type_ = program.types.get(head) if declaration.kind == "param" and head else None
    return {type_.kind} if isinstance(type_, Reference) else set()


def _mentioned(
    program: Program, declaration: Declaration, shared: Container[str]
) -> list[Declaration]:
    """Return the declarations that the text of one names, wherever in it.

    `shared` are names that all files know, one that does not import them, too.
    """
    found = []
    for node in ast.walk(declaration.clause):
        if not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        named = find(program, declaration.module, node)
        name = node.id if isinstance(node, ast.Name) else node.name  # `tenant`, `r.tenant`
        if named is None and name in shared:
            module = declaration.module
            named = program.attribute(module, name) or program.metric(module, name)
        if named is not None and named is not declaration:
            found.append(named)
    return found


def _report_tiers(program: Program, reached: list[Declaration], sink: Sink) -> None:
    """Warn of tiers of the file that no policy and no worker names: no KV comes there.

    In one scenario they may stand idle, as where another policy is compared.
    """
    used: set[str] = set()
    for declaration in reached:
        for members in _blocks(declaration):
            if declaration.kind == "policy" and "extern" in members.fields:
                return  # Python may store anywhere
            handlers = members.clauses("on")
            used |= {name.id for part in handlers for name in tiers_in(part.item)}
            swap = members.fields.get("swap")
            used |= {
                node.id for node in ast.walk(swap and swap.value) if isinstance(node, ast.Name)
            }
    own = [d for d in reached if d.module is program.root and d.kind == "cluster"]
    blocks = (members for declaration in own for members in _blocks(declaration))
    tiers = {tier.span: tier.name for members in blocks for tier in members.named("tier")}
    for span, name in tiers.items():  # what several derive is told once
        if name not in used:
            sink.warning(
                "W0527",
                f"no policy stores KV in `{name}`, and no worker swaps to it",
                span,
                help=(f"store there: `on finish(r, w) {{ store r in {name} }}`, or leave it out",),
            )


def _blocks(declaration: Declaration) -> Iterator[Members]:
    """Yield what a declaration holds, and all blocks in it."""
    waiting = [declaration.members] if declaration.members else []
    while waiting:
        members = waiting.pop()
        yield members
        waiting += members.blocks.values()
