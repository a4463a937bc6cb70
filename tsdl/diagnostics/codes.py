"""Every code a diagnostic may carry, and where the page that explains it is.

A code is never used for a second meaning. Ranges: E01 syntax, E02 names and modules, E03 types
and units, E04 schema, E05 plan, E09 runtime; W.. for warnings.
"""

from dataclasses import dataclass
from importlib.resources import files

from tsdl.diagnostics import Severity


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of mistake: its stable code, how bad it is by default, its name in few words."""

    code: str
    severity: Severity
    title: str


CATALOGUE: dict[str, Code] = {
    row.code: row
    for row in (
        Code("E0101", Severity.ERROR, "syntax error"),
        Code("E0301", Severity.ERROR, "wrong dimension"),
    )
}


def explanation(code: str) -> str | None:
    """Return the Markdown page about a code, or None if there is no such code or page."""
    if code not in CATALOGUE:  # which also keeps `../../secret` from becoming a path
        return None
    page = files("tsdl.diagnostics") / "explain" / f"{code}.md"
    return page.read_text(encoding="utf-8") if page.is_file() else None
