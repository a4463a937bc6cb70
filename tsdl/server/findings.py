"""Diagnostics of the compiler as editors show them, and their fixes as actions."""

from collections.abc import Callable, Iterable

from lsprotocol.types import (
    CodeAction,
    CodeActionKind,
    Diagnostic,
    DiagnosticRelatedInformation,
    DiagnosticSeverity,
    Location,
    Position,
    Range,
    TextEdit,
    WorkspaceEdit,
)

from tsdl import diagnostics
from tsdl.diagnostics import Severity
from tsdl.diagnostics.export import told
from tsdl.server.positions import range_of
from tsdl.source import Span

_SEVERITIES = {
    Severity.ERROR: DiagnosticSeverity.Error,
    Severity.WARNING: DiagnosticSeverity.Warning,
    Severity.NOTE: DiagnosticSeverity.Information,
}
Uri = Callable[[str], str | None]


def by_file(
    found: Iterable[diagnostics.Diagnostic], root: str, uri: Uri, encoding: str
) -> dict[str, list[Diagnostic]]:
    """Return what was found by the name of the file; what is about no place is the root's."""
    files: dict[str, list[Diagnostic]] = {root: []}
    for diagnostic in found:
        name = diagnostic.span.source.name if diagnostic.span else root
        files.setdefault(name, []).append(shown(diagnostic, uri, encoding))
    return files


def shown(diagnostic: diagnostics.Diagnostic, uri: Uri, encoding: str) -> Diagnostic:
    """Return a diagnostic as an editor shows it."""
    start = Position(0, 0)
    return Diagnostic(
        range=range_of(diagnostic.span, encoding) if diagnostic.span else Range(start, start),
        message=told(diagnostic),
        severity=_SEVERITIES[diagnostic.severity],
        code=diagnostic.code,
        source="tsdl",
        related_information=[
            DiagnosticRelatedInformation(place, label.text or "see here")
            for label in diagnostic.secondary
            if (place := location(label.span, uri, encoding))
        ]
        or None,
    )


def location(span: Span, uri: Uri, encoding: str) -> Location | None:
    """Return a span as a place of a file; None where it is in none."""
    file = uri(span.source.name)
    return Location(file, range_of(span, encoding)) if file else None


def edits(
    changes: Iterable[tuple[Span, str]], uri: Uri, encoding: str
) -> dict[str, list[TextEdit]]:
    """Return what is to be written where, by file."""
    files: dict[str, list[TextEdit]] = {}
    for span, text in changes:
        file = uri(span.source.name)
        if file is not None:
            files.setdefault(file, []).append(TextEdit(range_of(span, encoding), text))
    return files


def actions(
    found: Iterable[diagnostics.Diagnostic], span: Span, uri: Uri, encoding: str
) -> list[CodeAction]:
    """Return the fixes of what was found in a part of a file."""
    result = []
    for diagnostic in found:
        place, fix = diagnostic.span, diagnostic.fix
        if place is None or fix is None or place.source is not span.source:
            continue
        if place.start <= span.end and span.start <= place.end:
            changes = edits(((edit.span, edit.text) for edit in fix.edits), uri, encoding)
            result.append(
                CodeAction(
                    title=fix.title[:1].upper() + fix.title[1:],
                    kind=CodeActionKind.QuickFix,
                    diagnostics=[shown(diagnostic, uri, encoding)],
                    is_preferred=True,
                    edit=WorkspaceEdit(changes=changes),
                )
            )
    return result
