"""How Sphinx makes a site of the documents: `sphinx-build -W -n -c docs . build/site`.

Its source is the whole checkout, so that SPEC.md and others are pages where they lie, and links
lead on the site where they lead in the repository. What pages say of schema, library and command
line is filled in while they are read (make_site.py).
"""

import sys
from pathlib import Path

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from docs.make_site import filled  # noqa: E402
from tsdl import __version__  # noqa: E402
from tsdl.lexer import TsdlLexer  # noqa: E402

project = "TSDL"
version = release = __version__

extensions = ["myst_parser", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "SPEC.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "benchmarks/README.md",
    "editors/vscode/README.md",
    "tests/fuzz/README.md",
    "tsdl/diagnostics/explain/*.md",
]
exclude_patterns = [".*", "build", "node_modules", "**/node_modules"]
nitpicky = True
smartquotes = False  # `--out` is no dash
# A page about a mistake shows programs that have it, and not all of them can be coloured.
suppress_warnings = ["misc.highlighting_failure"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "TSDL"
html_copy_source = False
html_show_copyright = html_show_sphinx = False
html_static_path = ["_site/static"]
html_extra_path = ["_site/root"]  # the pages lie in folders: index.html leads to the first
html_css_files = ["site.css"]


def setup(app: Sphinx) -> None:
    """Colour programs, and fill pages in."""
    for name in ("tsdl", "tsim", "tsdl-fragment"):
        app.add_lexer(name, TsdlLexer)
    for name in ("ebnf", "csv", "jsonl"):  # Lark's notation is no ISO EBNF
        app.add_lexer(name, TextLexer)
    app.connect("source-read", lambda _, page, source: source.insert(0, filled(page, source.pop())))
