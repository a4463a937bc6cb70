"""Where a place in a text stands, by its brackets alone: also where the text cannot be parsed."""

import re

from msgspec import Struct

from tsdl.schema import KINDS, Block

_PIECE = re.compile(r'#[^\n]*|"[^"\n]*"?|[(\[{]|[)\]}]|[;\n]')
_ITEM = re.compile(r"^[A-Za-z_]\w*[ \t]+[\w\"]", re.MULTILINE)
_BOUND = re.compile(r"\b(?:let|for|state)\s+([A-Za-z_]\w*)")
_CLOSING = {"{": "}", "(": ")", "[": "]"}
HANDLER, GRAPH = "handler", "graph"


class Context(Struct, frozen=True):
    """What stands around a place: heads of open blocks, and the statement up to there.

    `called` is what stands before the innermost open bracket, `argument` what stands behind it;
    `item` is the text from the beginning of the declaration; `quoted` says that the place is in a
    text or a comment; `closing` would close all open brackets.
    """

    heads: tuple[str, ...]
    statement: str
    called: str
    argument: str
    item: str
    quoted: bool
    closing: str
    offset: int

    @property
    def verbs(self) -> tuple[str, ...]:
        """Return the first words of the blocks that are open."""
        return tuple(head.split(None, 1)[0] if head.split() else "" for head in self.heads)

    def block(self) -> tuple[Block | None, str, tuple[Block, ...]]:
        """Return the block of the schema, or HANDLER or GRAPH; and all blocks, innermost first."""
        found: Block | None = None
        around: tuple[Block, ...] = ()
        for verb in self.verbs:
            if found is None:
                found = KINDS.get(verb)
            elif verb in found.blocks:
                found = found.blocks[verb].block
            elif verb in found.clauses:
                return found, HANDLER, around
            elif verb == "graph" and found.graph:
                return found, GRAPH, around
            else:
                found = found.open_block
            if found is None:
                break
            around = (found, *around)
        return found, "", around

    def variables(self) -> list[str]:
        """Return the names that are bound before the place, in the declaration."""
        names = _BOUND.findall(self.item)
        for head in self.heads:
            if head.startswith("on "):
                names += re.findall(r"\w+", head.partition("(")[2].partition(")")[0])
        return list(dict.fromkeys(names))

    def parameters(self) -> list[str]:
        """Return the names of the parameters of the declaration."""
        first = self.heads[0] if self.heads else self.item
        own = re.split(r"\bfrom\b", first)[0]
        inside = own.partition("(")[2].partition(")")[0]
        return re.findall(r"(?:^|,)\s*([A-Za-z_]\w*)", inside)


def context(text: str, offset: int) -> Context:
    """Return what stands around a place."""
    begins = [found.start() for found in _ITEM.finditer(text, 0, offset)]
    start = begins[-1] if begins else 0
    stack: list[tuple[str, int]] = []  # each open bracket, and where its statement began
    statement, quoted = start, False
    heads: list[str] = []
    for found in _PIECE.finditer(text, start, offset):
        mark = found.group()
        if mark[0] in '#"':
            quoted = found.end() == offset and (mark[0] == "#" or len(mark) == 1 or mark[-1] != '"')
        elif mark in _CLOSING:
            stack.append((mark, found.start()))
            if mark == "{":
                heads.append(text[statement : found.start()].strip())
                statement = found.end()
        elif mark in ")]}":
            while stack:
                opened, _ = stack.pop()
                if opened == "{":
                    heads.pop()
                    statement = found.end()
                if _CLOSING[opened] == mark:
                    break
        elif not stack or stack[-1][0] == "{":
            statement = found.end()
    bracket = stack[-1] if stack and stack[-1][0] == "(" else None
    called = re.search(r"[\w.]*$", text[start : bracket[1]]) if bracket else None
    return Context(
        tuple(heads),
        text[statement:offset].lstrip(),
        called.group() if called else "",
        text[bracket[1] + 1 : offset] if bracket else "",
        text[start:offset],
        quoted,
        "".join(_CLOSING[opened] for opened, _ in reversed(stack)),
        offset,
    )
