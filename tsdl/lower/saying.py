"""Times that derived costs say anew: what their bases say of the same is then no part of them.

Blocks merge, so that a derived cost may set one field. But a file of one base and a formula, or the
columns of another file, do not go together.
"""

from msgspec.structs import replace

from tsdl.program import Declaration, Members

WAYS = ("time", "file", "extern")  # to say a time


def derives(declaration: Declaration, base: Declaration) -> bool:
    """Tell whether a declaration is derived from another, through whatever is between them."""
    return any(b.declaration is base or derives(b.declaration, base) for b in declaration.bases)


def said(members: Members) -> Declaration | None:
    """Return who says the time of a block last, as one of its ways; None where nobody does."""
    found: Declaration | None = None
    for key in WAYS:
        definition = members.fields.get(key)
        if definition and (found is None or derives(definition.owner, found)):
            found = definition.owner
    return found


def since(members: Members, first: Declaration) -> Members:
    """Return what a declaration says in a block, and what is derived from it."""
    fields = {
        key: definition
        for key, definition in members.fields.items()
        if definition.owner is first or derives(definition.owner, first)
    }
    blocks = {key: since(block, first) for key, block in members.blocks.items()}
    return replace(members, fields=fields, blocks=blocks)
