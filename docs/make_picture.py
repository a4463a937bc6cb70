"""Draws the output of examples/quickstart.tsim as a terminal: docs/quickstart.svg.

The output is that of examples/quickstart.out, which the tests compare with a run. They compare the
picture as well, so `pytest --accept` draws it anew; or run this file.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
COMMAND = "tsdl run examples/quickstart.tsim"

CELL, LINE, SIZE, EDGE, TOP = 7.83, 19, 13, 22, 52  # in pixels
TEXT, DIM, PROMPT = "#d6deeb", "#8fa1b8", "#82aaff"
COLORS = {"$": PROMPT, "pass": "#7fdbca", "FAIL": "#ff6b6b"}

_RUN = re.compile(r"\S+(?: \S+)*")  # words with single blanks between them


def picture(said: str) -> str:
    """Return an SVG of a terminal that shows the command and what it said."""
    lines = [f"$ {COMMAND}", *said.rstrip("\n").split("\n")]
    width = round(max(map(len, lines)) * CELL + 3 * EDGE)  # some renderers space wider
    height = TOP + LINE * len(lines) + 8
    dots = "".join(
        f'<circle cx="{EDGE + 4 + 18 * i}" cy="19" r="5.5" fill="{color}"/>'
        for i, color in enumerate(("#ff5f56", "#ffbd2e", "#27c93f"))
    )
    texts = "\n".join(t for i, line in enumerate(lines) for t in _texts(line, TOP + LINE * i))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height}" \
width="{width}" height="{height}">
<title>What `{escape(COMMAND)}` prints</title>
<rect width="{width}" height="{height}" rx="8" fill="#0b1a2b"/>
{dots}
<g font-family="'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="{SIZE}">
{texts}
</g>
</svg>
"""


def _texts(line: str, y: int) -> list[str]:
    """Place each run of words at its column, so that columns stay straight in every font."""
    found = []
    for column, words in _runs(line):
        title = column == len("  ") and line.startswith("  ")
        color = COLORS.get(words, DIM if title else TEXT)
        place = f'x="{EDGE + column * CELL:g}" y="{y}" textLength="{len(words) * CELL:g}"'
        found.append(f'<text {place} fill="{color}">{escape(words)}</text>')
    return found


def _runs(line: str) -> list[tuple[int, str]]:
    """Return the runs of words of a line, each with its column; a sign stands by itself."""
    found: list[tuple[int, str]] = []
    for run in _RUN.finditer(line):
        column, words = run.start(), run.group()
        first, _, rest = words.partition(" ")
        if first in COLORS and rest:
            found += [(column, first), (column + len(first) + 1, rest)]
        else:
            found.append((column, words))
    return found


if __name__ == "__main__":
    output = (ROOT / "examples" / "quickstart.out").read_text("utf-8")
    (ROOT / "docs" / "quickstart.svg").write_text(picture(output), encoding="utf-8", newline="")
