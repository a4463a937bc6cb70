"""What the compiler says to people: one diagnostic type, and the sink that collects them.

Texts repeat what stands in a source, which may be one word of megabytes: they are kept short here.
"""

import re
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from tsdl.source import Source, Span

_LONGEST_WORD, _LONGEST_TEXT = 240, 4000  # characters
_LONG_WORD = re.compile(rf"(\S{{160}})\S{{{_LONGEST_WORD - 199},}}(\S{{40}})")


def _shortened(text: str) -> str:
    """Return a text without the middle of long words, and without the end where that is not all."""
    if len(text) <= _LONGEST_WORD:
        return text
    text = _LONG_WORD.sub(r"\1…\2", text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


class Severity(StrEnum):
    """How bad it is: an error stops the pipeline, a warning and a note do not."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Label(Struct, frozen=True):
    """A further place that matters, and why."""

    span: Span
    text: str

    def __post_init__(self) -> None:
        """Keep the text short."""
        force_setattr(self, "text", _shortened(self.text))


class Edit(Struct, frozen=True):
    """Replace a span by a text."""

    span: Span
    text: str


class Fix(Struct, frozen=True):
    """Edits that would mend the mistake."""

    title: str
    edits: tuple[Edit, ...]

    def __post_init__(self) -> None:
        """Keep the title short."""
        force_setattr(self, "title", _shortened(self.title))


class Diagnostic(Struct, frozen=True):
    """One finding. If only one thing is shown of it, it is `title`.

    `code` is explained by `tsdl explain CODE`. `span` is its place: a half-open range of characters
    of a source, None where it is in no text; `label` stands there. `secondary` are further places,
    `notes` say more, `help` says what to write, and `fix` does it.
    """

    code: str
    severity: Severity
    title: str
    span: Span | None
    label: str = ""
    secondary: tuple[Label, ...] = ()
    notes: tuple[str, ...] = ()
    help: tuple[str, ...] = ()
    fix: Fix | None = None

    def __post_init__(self) -> None:
        """Keep the texts short."""
        force_setattr(self, "title", _shortened(self.title))
        force_setattr(self, "label", _shortened(self.label))
        force_setattr(self, "notes", tuple(map(_shortened, self.notes)))
        force_setattr(self, "help", tuple(map(_shortened, self.help)))

    @property
    def alone(self) -> "Diagnostic":
        """Return it with no more of its sources than leads to what it shows.

        One of a file that a program names would keep all of that, which may be gigabytes.
        """
        edits = self.fix.edits if self.fix else ()
        last: dict[Source, int] = {}
        places = [self.span, *(label.span for label in self.secondary), *(e.span for e in edits)]
        for span in places:
            if span is not None:
                last[span.source] = max(span.end, last.get(span.source, 0))
        short = {source: source.until(end) for source, end in last.items()}

        def moved(span: Span) -> Span:
            return Span(short[span.source], span.start, span.end)

        return replace(
            self,
            span=moved(self.span) if self.span else None,
            secondary=tuple(replace(label, span=moved(label.span)) for label in self.secondary),
            fix=self.fix
            and replace(self.fix, edits=tuple(replace(e, span=moved(e.span)) for e in edits)),
        )


class Sink(Struct):
    """Collects diagnostics; the same finding at the same place is kept once."""

    found: list[Diagnostic] = field(default_factory=list)
    _seen: set[tuple[str, int, int, int, str]] = field(default_factory=set)

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a diagnostic, unless this place was already told the same."""
        span = diagnostic.span
        place = (id(span.source), span.start, span.end) if span else (0, 0, 0)
        key = (diagnostic.code, *place, diagnostic.title)
        if key not in self._seen:
            self._seen.add(key)
            self.found.append(diagnostic)

    def error(
        self,
        code: str,
        title: str,
        span: Span | None,
        label: str = "",
        *,
        secondary: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),  # noqa: A002 (the field's name, as people read it)
        fix: Fix | None = None,
    ) -> None:
        """Report an error."""
        self.add(Diagnostic(code, Severity.ERROR, title, span, label, secondary, notes, help, fix))

    def warning(
        self,
        code: str,
        title: str,
        span: Span | None,
        label: str = "",
        *,
        secondary: tuple[Label, ...] = (),
        notes: tuple[str, ...] = (),
        help: tuple[str, ...] = (),  # noqa: A002
        fix: Fix | None = None,
    ) -> None:
        """Report a warning."""
        self.add(
            Diagnostic(code, Severity.WARNING, title, span, label, secondary, notes, help, fix)
        )

    def note(self, code: str, title: str, span: Span | None, label: str = "") -> None:
        """Report a note."""
        self.add(Diagnostic(code, Severity.NOTE, title, span, label))

    @property
    def has_errors(self) -> bool:
        """Tell whether any error was found."""
        return any(d.severity is Severity.ERROR for d in self.found)

    def sorted(self) -> list[Diagnostic]:
        """Return the findings by source (in order of first appearance) and place."""
        order: dict[int, int] = {}
        for diagnostic in self.found:
            if diagnostic.span:
                order.setdefault(id(diagnostic.span.source), len(order))
        return sorted(
            self.found,
            key=lambda d: (order[id(d.span.source)], d.span.start) if d.span else (len(order), 0),
        )
