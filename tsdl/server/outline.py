"""The declarations of a file and their blocks, as a tree of symbols."""

from lsprotocol.types import DocumentSymbol, SymbolKind

from tsdl import ast
from tsdl.schema import UNITS_KINDS, VALUES
from tsdl.server.positions import range_of
from tsdl.source import Span

_KINDS = {
    **dict.fromkeys(VALUES, SymbolKind.Variable),
    "operator": SymbolKind.Function,
    "scenario": SymbolKind.Event,
    "study": SymbolKind.Event,
    "policy": SymbolKind.Method,
    "on": SymbolKind.Event,
    "state": SymbolKind.Variable,
    **dict.fromkeys(UNITS_KINDS, SymbolKind.Constant),
}
_LEFT_OUT = ("import", "edition")


def outline(file: ast.File, encoding: str) -> list[DocumentSymbol]:
    """Return the declarations of a file with what they hold, in the order of the text."""
    return _symbols(file.items, encoding, _KINDS, SymbolKind.Class)


def _symbols(
    items: tuple[ast.Item, ...], encoding: str, kinds: dict[str, SymbolKind], usual: SymbolKind
) -> list[DocumentSymbol]:
    found = []
    for item in items:
        match item:
            case ast.Clause(verb=verb, body=body, head=head) if verb not in _LEFT_OUT:
                if body is None and verb not in kinds:
                    continue
                name = _head(head)
                span = name or item.verb_span
                inner = body.items if body and verb != "on" else ()
                found.append(
                    DocumentSymbol(
                        name=name.text if name else verb,
                        detail=verb if name else None,
                        kind=kinds.get(verb, usual),
                        range=range_of(item.span, encoding),
                        selection_range=range_of(span, encoding),
                        children=_symbols(inner, encoding, kinds, SymbolKind.Namespace) or None,
                    )
                )
            case ast.Field(target=target):
                found.append(_plain(target, item, SymbolKind.Field, encoding))
            case ast.GraphNode(operator=operator):
                found.append(_plain(operator, item, SymbolKind.Function, encoding))
    return found


def _plain(
    shown: ast.Expr, item: ast.Field | ast.GraphNode, kind: SymbolKind, encoding: str
) -> DocumentSymbol:
    selected = item.name_span if isinstance(item, ast.GraphNode) else shown.span
    return DocumentSymbol(
        name=selected.text, kind=kind, range=range_of(item.span, encoding),
        selection_range=range_of(selected, encoding),
    )  # fmt: skip


def _head(head: ast.Expr | None) -> Span | None:
    if isinstance(head, ast.Call):
        return head.function.span
    return head.span if head else None
