"""The language server: requests of an editor, and what the other files here answer."""

import asyncio

from lsprotocol import types as lsp
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from tsdl.server.completion import complete
from tsdl.server.documents import Checked, Documents, is_library, path_of, uri_of
from tsdl.server.findings import actions, by_file, edits, location
from tsdl.server.formatting import formatted
from tsdl.server.hover import hover
from tsdl.server.navigation import NotRenamed, definition, references, rename, renamed
from tsdl.server.outline import outline
from tsdl.server.positions import positions, range_of
from tsdl.source import Span

PAUSE = 0.2  # seconds without a key before a text is checked


class Server(LanguageServer):
    """What one editor has open, and what it was told of it."""

    def __init__(self, version: str) -> None:
        """Begin with nothing open."""
        super().__init__("tsdl", version)
        self.documents = Documents()
        self.uris: dict[str, str] = {}  # as the editor writes them: a path may have several
        self.told: dict[str, set[str]] = {}  # for each open file, the files it has findings in
        self.waiting: dict[str, asyncio.TimerHandle] = {}

    @property
    def encoding(self) -> str:
        """Return in which units columns are counted."""
        return str(self.workspace.position_encoding or lsp.PositionEncodingKind.Utf16)

    def uri(self, name: str) -> str | None:
        """Return the URI of a source."""
        return self.uris.get(name) or uri_of(name)

    def folders(self) -> list[str]:
        """Return the folders that are open."""
        return [path for uri in self.workspace.folders if (path := to_fs_path(uri))]

    def at(self, uri: str, position: lsp.Position) -> tuple[Checked, int]:
        """Return a file, checked, and the place in it that is meant."""
        checked = self.checked(uri)
        return checked, positions(checked.source.text, self.encoding).offset(position)

    def checked(self, uri: str) -> Checked:
        """Return a file, checked. Raises what the editor is told where there is none."""
        try:
            return self.documents.checked(path_of(uri))
        except (OSError, UnicodeDecodeError) as error:
            raise JsonRpcInvalidParams(f"cannot read {uri}: {error}") from error

    # -- findings ------------------------------------------------------------------------------

    def changed(self, path: str, text: str | None) -> None:
        """Note another text; all that it concerns is checked when nobody types."""
        for concerned in self.documents.changed(path, text):
            self.check_later(concerned)

    def check_later(self, path: str) -> None:
        """Check a file when nobody types."""
        if path in self.waiting:
            self.waiting[path].cancel()
        self.waiting[path] = asyncio.get_running_loop().call_later(PAUSE, self.check, path)

    def check(self, path: str) -> None:
        """Tell what is wrong in an open file, and in those it imports that are not open."""
        self.waiting.pop(path, None)
        if path not in self.documents.open or is_library(path):
            return
        found = self.documents.checked(path).diagnostics
        files = by_file(found, path, self.uri, self.encoding)
        for name in sorted(self.told.get(path, set()) - files.keys()):
            self._tell(name, [])
        for name, diagnostics in files.items():
            if name == path or name not in self.documents.open:
                self._tell(name, diagnostics)
        self.told[path] = set(files)

    def _tell(self, name: str, diagnostics: list[lsp.Diagnostic]) -> None:
        uri = self.uri(name)
        if uri is not None:
            self.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(uri, diagnostics))

    def closed(self, path: str) -> None:
        """Take back what was told of a file, which from now on is as it lies on the disk."""
        if path in self.waiting:
            self.waiting.pop(path).cancel()
        for name in sorted(self.told.pop(path, set())):
            if name == path or name not in self.documents.open:
                self._tell(name, [])
        self.changed(path, None)
        self.uris.pop(path, None)


def make_server(version: str) -> Server:
    """Return a server that answers all that it can."""
    server = Server(version)
    for add in (_synchronise, _explain, _navigate, _change):
        add(server)
    return server


def _synchronise(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: lsp.DidOpenTextDocumentParams) -> None:
        path = path_of(params.text_document.uri)
        server.uris[path] = params.text_document.uri
        server.changed(path, params.text_document.text)
        server.check_later(path)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: lsp.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        server.changed(path_of(uri), server.workspace.get_text_document(uri).source)

    @server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: lsp.DidCloseTextDocumentParams) -> None:
        server.closed(path_of(params.text_document.uri))

    @server.feature(lsp.TEXT_DOCUMENT_DID_SAVE)
    def saved(_: lsp.DidSaveTextDocumentParams) -> None:
        recheck()

    @server.feature(lsp.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def watched(_: lsp.DidChangeWatchedFilesParams) -> None:
        recheck()

    def recheck() -> None:
        server.documents.forget()
        for path in server.documents.open:
            server.check_later(path)


def _explain(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_HOVER)
    def hovered(params: lsp.HoverParams) -> lsp.Hover | None:
        found = hover(*server.at(params.text_document.uri, params.position))
        if found is None:
            return None
        told, span = found
        shown = lsp.MarkupContent(lsp.MarkupKind.Markdown, told)
        return lsp.Hover(shown, range_of(span, server.encoding))

    @server.feature(
        lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[".", "(", "="])
    )
    def completed(params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
        return complete(*server.at(params.text_document.uri, params.position))

    @server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def outlined(params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
        checked = server.checked(params.text_document.uri)
        return outline(checked.program.root.file, server.encoding)


def _navigate(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
    def defined(params: lsp.DefinitionParams) -> lsp.Location | None:
        span = definition(*server.at(params.text_document.uri, params.position))
        return location(span, server.uri, server.encoding) if span else None

    @server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
    def referred(params: lsp.ReferenceParams) -> list[lsp.Location]:
        checked, offset = server.at(params.text_document.uri, params.position)
        found = checked.at(offset)
        if found is None:
            return []
        places = references(
            [checked, *server.documents.all(server.folders(), found.span.text)],
            found.symbol,
            declarations=params.context.include_declaration,
        )
        shown = (location(place.span, server.uri, server.encoding) for place in places)
        return [place for place in shown if place]


def _change(server: Server) -> None:
    @server.feature(lsp.TEXT_DOCUMENT_PREPARE_RENAME)
    def prepared(params: lsp.PrepareRenameParams) -> lsp.Range:
        try:
            found = renamed(*server.at(params.text_document.uri, params.position))
        except NotRenamed as error:
            raise JsonRpcInvalidParams(str(error)) from error
        return range_of(found.span, server.encoding)

    @server.feature(lsp.TEXT_DOCUMENT_RENAME, lsp.RenameOptions(prepare_provider=True))
    def another(params: lsp.RenameParams) -> lsp.WorkspaceEdit:
        checked, offset = server.at(params.text_document.uri, params.position)
        found = checked.at(offset)
        word = found.span.text if found else ""
        files = [checked, *server.documents.all(server.folders(), word)]
        try:
            places = rename(checked, offset, params.new_name, server.documents, files)
        except NotRenamed as error:
            raise JsonRpcInvalidParams(str(error)) from error
        changes = ((place.span, params.new_name) for place in places)
        return lsp.WorkspaceEdit(changes=edits(changes, server.uri, server.encoding))

    @server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
    def styled(params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit]:
        changes = formatted(server.checked(params.text_document.uri).source)
        return [lsp.TextEdit(range_of(span, server.encoding), text) for span, text in changes]

    @server.feature(
        lsp.TEXT_DOCUMENT_CODE_ACTION, lsp.CodeActionOptions([lsp.CodeActionKind.QuickFix])
    )
    def fixed(params: lsp.CodeActionParams) -> list[lsp.CodeAction]:
        checked = server.checked(params.text_document.uri)
        lines = positions(checked.source.text, server.encoding)
        start, end = (lines.offset(place) for place in (params.range.start, params.range.end))
        here = Span(checked.source, start, end)
        return actions(checked.diagnostics, here, server.uri, server.encoding)
