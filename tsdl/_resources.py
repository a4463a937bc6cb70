"""Where the grammar and the standard library are: inside a wheel, beside a checkout."""

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
