"""Where the grammar, the standard library and our own code are: in a wheel, or in a checkout."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def _folder(name: str) -> Traversable:
    packaged = files("tsdl") / name
    return packaged if packaged.is_dir() else Path(__file__).resolve().parents[1] / name


def grammar_text() -> str:
    """Return the grammar."""
    return (_folder("grammar") / "tsdl.lark").read_text(encoding="utf-8")


def library_files() -> list[tuple[str, str]]:
    """Return name and text of every file of the standard library, in the order of names."""
    found = [f for f in _folder("stdlib").iterdir() if f.name.endswith(".tsim")]
    return [
        (f"<stdlib>/{f.name}", f.read_text(encoding="utf-8"))
        for f in sorted(found, key=lambda f: f.name)
    ]


def parser_code() -> list[str]:
    """Return the code that makes trees of texts: a tree that is kept is of this code."""
    package = files("tsdl")
    found = [package / "ast.py", package / "source.py", *(package / "parse").iterdir()]
    return [
        f.read_text(encoding="utf-8")
        for f in sorted(found, key=lambda f: f.name)
        if f.name.endswith(".py") and f.is_file()
    ]
