"""Programs made smaller while something holds of them: parts are left out, numbers made less."""

import re
import time
from collections.abc import Callable, Iterator

OPEN, CLOSE = "{([", "})]"


def reduced(text: str, holds: Callable[[str], bool], seconds: float = 120.0) -> str:
    """Return a smaller text of which `holds` still holds, as small as was found in the time."""
    until = time.monotonic() + seconds
    steps = (without_lines, without_parts, unwrapped, with_less)
    changed = True
    while changed and time.monotonic() < until:
        changed = False
        for step in steps:
            again = True
            while again and time.monotonic() < until:
                again = False
                for smaller in step(text):
                    if time.monotonic() > until:
                        break
                    if smaller != text and holds(smaller):
                        text, changed, again = smaller, True, True
                        break
    return text


def without_lines(text: str) -> Iterator[str]:
    """Leave out lines: many at once first, then one by one."""
    lines = text.splitlines(keepends=True)
    size = len(lines) // 2
    while size >= 1:
        for start in range(0, len(lines) - size + 1, size):
            yield "".join(lines[:start] + lines[start + size :])
        size //= 2


def without_parts(text: str) -> Iterator[str]:
    """Leave out a field, a statement, a handler, a declaration: from its begin to its end."""
    for start, end in parts(text):
        yield text[:start] + text[end:]


def parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the places of all that stands between braces, semicolons and ends of lines."""
    begins = [0, *(i + 1 for i, letter in enumerate(text) if letter in "{;\n")]
    for start in begins:
        depth = 0
        for end in range(start, len(text)):
            letter = text[end]
            if letter in CLOSE:
                depth -= 1
            if depth < 0 or (depth == 0 and letter in ";\n"):
                end += letter in ";\n"  # noqa: PLW2901 (the sign that ends it goes as well)
                if text[start:end].strip():
                    yield start, end
                break
            if letter in OPEN:
                depth += 1


def unwrapped(text: str) -> Iterator[str]:
    """Leave out what stands around braces: an `if`, a condition of a handler, a term."""
    for found in re.finditer(r"(?:if|for) [^{};\n]*\{([^{}]*)\}", text):
        yield text[: found.start()] + found[1] + text[found.end() :]
    for found in re.finditer(r" when [^{};\n]*(?= \{)| \+ [^{};\n+]*| and [^{};\n]*(?= \{)", text):
        yield text[: found.start()] + text[found.end() :]


def with_less(text: str) -> Iterator[str]:
    """Write a smaller number: 1, the half, one less."""
    for found in re.finditer(r"(?<![\w.])\d+(?!\w|\.\d)", text):
        number = int(found[0])
        for less in dict.fromkeys((1, number // 2, number - 1)):
            if 0 < less < number < 2000:
                yield text[: found.start()] + str(less) + text[found.end() :]
