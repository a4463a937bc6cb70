"""Files that a program brings along: comments that say the name of a file and a line of it.

So a program that reads a trace is one text all the same, which is shown, reduced and kept whole.
"""

import re
from collections.abc import Iterable

_LINE = re.compile(r"^# (\w+\.(?:csv|jsonl)): (.*)$", re.MULTILINE)


def brought(name: str, lines: Iterable[str]) -> str:
    """Return the comments that bring a file along."""
    return "".join(f"# {name}: {line}\n" for line in lines)


def files_in(text: str) -> dict[str, str]:
    """Return the texts of the files that a program brings along, by their names."""
    files: dict[str, str] = {}
    for name, line in _LINE.findall(text):
        files[name] = files.get(name, "") + f"{line}\n"
    return files
