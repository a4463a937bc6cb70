"""Where the grammar, the standard library and our own code are: in a wheel, or in a checkout."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent  # importlib.resources takes long to import


def _folder(name: str) -> Path:
    packaged = _PACKAGE / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def grammar_text() -> str:
    """Return the grammar."""
    return (_folder("grammar") / "tsdl.lark").read_text(encoding="utf-8")


def grammar_words() -> list[str]:
    """Return the words that are the grammar's own, in order."""
    return sorted(set(re.findall(r'"([a-z]+)"', grammar_text())))


def library_files() -> list[tuple[str, str]]:
    """Return name and text of every file of the standard library, in the order of names."""
    found = sorted(_folder("stdlib").glob("*.tsim"))
    return [(f"<stdlib>/{f.name}", f.read_text(encoding="utf-8")) for f in found]


def library_path(name: str) -> Path | None:
    """Return where a file of the standard library lies, by its name; None for any other name."""
    folder, _, file = name.partition("/")
    return _folder("stdlib") / file if folder == "<stdlib>" else None


def report_file(name: str) -> str:
    """Return a part of the page of a report."""
    return (_PACKAGE / "reports" / name).read_text(encoding="utf-8")


def parser_code() -> list[str]:
    """Return the code that makes trees of texts: tables that are kept are of this code."""
    return _code("ast.py", "source.py", "parse/*.py")


def compiler_code() -> list[str]:
    """Return the code that makes a checked program of texts: what is kept is of this code."""
    return _code("*.py", "parse/*.py", "schema/*.py", "check/*.py")


def _code(*patterns: str) -> list[str]:
    found = [file for pattern in patterns for file in sorted(_PACKAGE.glob(pattern))]
    return [file.read_text(encoding="utf-8") for file in found if file.is_file()]
