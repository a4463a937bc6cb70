"""Imports to modules: which files belong together. Knows parsing and a reader of files."""

from collections.abc import Callable
from pathlib import PurePath

from msgspec import Struct, field

from tsdl import ast
from tsdl.diagnostics import Label, Sink
from tsdl.parse import parse
from tsdl.reading import how_to, why_not
from tsdl.source import Span, program_source

EDITIONS = ("2026",)

# Reads the text of a path; raises OSError or UnicodeDecodeError.
Reader = Callable[[str], str]


class Import(Struct, eq=False):
    """One import: the module, and the name that it goes by (None: its names stand bare)."""

    module: "Module"
    alias: str | None
    span: Span


class Module(Struct, eq=False):
    """A file with the modules that it imports."""

    path: str
    file: ast.File
    imports: list[Import] = field(default_factory=list)
    library: bool = False
    incomplete: bool = False  # an import could not be read: unknown names may come from there

    @property
    def clauses(self) -> list[ast.Clause]:
        """Return the declarations, without the directives."""
        return [
            item
            for item in self.file.items
            if isinstance(item, ast.Clause) and item.verb not in {"edition", "import"}
        ]


class _Loader(Struct):
    read: Reader
    sink: Sink
    known: dict[str, Module] = field(default_factory=dict)
    open: list[tuple[str, Span | None]] = field(default_factory=list)
    complete: list[Module] = field(default_factory=list)  # what is imported before what imports it

    def module(self, path: str, file: ast.File, *, library: bool = False) -> Module:
        module = Module(path, file, library=library)
        self.known[path] = module
        self._edition(module)
        for item in module.file.items:
            if isinstance(item, ast.Clause) and item.verb == "import":
                self._import(module, item)
            elif not isinstance(item, ast.Clause):
                self.sink.error(
                    "E0105",
                    "only declarations can stand outside a block",
                    item.span,
                    help=("a declaration is `kind name { … }`; a value is `param name = …`",),
                )
        self.complete.append(module)
        return module

    def _edition(self, module: Module) -> None:
        for index, item in enumerate(module.file.items):
            if not (isinstance(item, ast.Clause) and item.verb == "edition"):
                continue
            if index or not isinstance(item.head, ast.Text):
                self.sink.error(
                    "E0106",
                    "`edition` stands once, on the first line",
                    item.span,
                    help=(f'write `edition "{EDITIONS[-1]}"` before everything else',),
                )
            elif item.head.value not in EDITIONS:
                self.sink.error(
                    "E0106",
                    f"this TSDL knows no edition {item.head.value!r}",
                    item.head.span,
                    help=(f"the newest that it knows is {EDITIONS[-1]!r}",),
                )

    def _import(self, module: Module, clause: ast.Clause) -> None:
        head = clause.head
        if not isinstance(head, ast.Text) or len(clause.objects) != 1 or clause.body:
            self.sink.error(
                "E0107",
                "an import names one file",
                clause.span,
                help=('write `import "other.tsim"`, or `import "other.tsim" as other`',),
            )
            return
        as_ = clause.preposition("as")
        alias = as_.objects[0] if as_ else None
        if any(p.word != "as" for p in clause.prepositions) or (
            alias is not None and not isinstance(alias, ast.Name)
        ):
            self.sink.error("E0107", "an import takes `as NAME` and nothing else", clause.span)
            return
        path = _relative(module.path, head.value)
        imported = self._load(path, head.span)
        if imported is None:
            module.incomplete = True
        else:
            name = alias.id if isinstance(alias, ast.Name) else None
            module.imports.append(Import(imported, name, clause.span))

    def _load(self, path: str, span: Span) -> Module | None:
        ring = [p for p, _ in self.open]
        if path in ring:
            through = [*ring[ring.index(path) :], path]
            labels = tuple(
                Label(s, "imported here") for p, s in self.open[ring.index(path) + 1 :] if s
            )
            self.sink.error(
                "E0204",
                "files import each other in a ring",
                span,
                "closes the ring",
                secondary=labels,
                notes=(" → ".join(through),),
                help=("put what both need into a third file",),
            )
            return None
        if path in self.known:
            return self.known[path]
        try:
            text = self.read(path)
        except UnicodeDecodeError as error:
            self.sink.error("E0108", f"cannot read `{path}`: {why_not(error)}", span)
            return None
        except (OSError, ValueError) as error:
            if "://" in span.text:  # of which a path has made `https:/`
                title = f"cannot read {span.text}: it is an address, and files alone are imported"
                self.sink.error("E0203", title, span, help=("fetch the file, and name that",))
                return None
            self.sink.error(
                "E0203",
                f"cannot read `{path}`: {why_not(error)}",
                span,
                help=how_to(error, "the file that imports"),
            )
            return None
        self.open.append((path, span))
        module = self.module(path, parse(program_source(path, text), self.sink))
        self.open.pop()
        return module


def _relative(importer: str, path: str) -> str:
    parts: list[str] = []
    for part in (PurePath(importer).parent / path).parts:
        if part == ".." and parts and parts[-1] not in ("..", "/"):
            parts.pop()
        else:
            parts.append(part)
    return str(PurePath(*parts)) if parts else path


def load(path: str, text: str, read: Reader, sink: Sink) -> list[Module]:
    """Parse a file and all that it imports; what is imported comes first, the file itself last."""
    loader = _Loader(read, sink)
    loader.open.append((path, None))
    loader.module(path, parse(program_source(path, text), sink))
    return loader.complete


def load_library(files: list[ast.File], sink: Sink) -> list[Module]:
    """Return the modules of the standard library."""
    loader = _Loader(lambda path: path, sink)
    return [loader.module(file.source.name, file, library=True) for file in files]
