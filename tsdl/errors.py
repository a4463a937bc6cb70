"""The one exception that TSDL raises for mistakes in what it was given."""

from tsdl.diagnostics import Diagnostic
from tsdl.diagnostics.text import render_all


class TsdlError(Exception):
    """A program, a param, a file or a run is wrong; `diagnostics` says what, as data.

    As a text it is what a terminal shows: each with its place, and a way out where there is one.
    """

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        """Keep the diagnostics."""
        super().__init__(diagnostics)
        self.diagnostics = diagnostics

    def __str__(self) -> str:
        """Show them as on a terminal."""
        return render_all(self.diagnostics)
