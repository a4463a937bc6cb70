"""A text as `tsdl fmt` would write it: what an editor is to change for that."""

from tsdl.diagnostics import Sink
from tsdl.formatting import format_text
from tsdl.source import Source, Span


def formatted(source: Source) -> list[tuple[Span, str]]:
    """Return what is to stand where instead; nothing where the text has mistakes of syntax.

    Line ends stay what they are in the text. Raises ChangedError, a mistake of ours.
    """
    old, new = source.text, format_text(source, Sink())
    if new is None:
        return []
    if "\r\n" in old:
        new = new.replace("\n", "\r\n")
    if old == new:
        return []
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    return [(Span(source, start, len(old) - end), new[start : len(new) - end])]


def _alike(one: str, other: str) -> int:
    """Return with how many same characters two texts begin."""
    both = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in both if a != b), min(len(one), len(other)))
