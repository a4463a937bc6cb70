"""Sums up what steps.py noted: how long iterations of decodes take, by their number and contexts.

    python decodes.py STEPS… > MODEL-decodes.csv

A step counts if it and the steps before and after it held decodes alone, each scheduled while the
one before ran: then the device waited for nothing, and the time from one result to the next is
that of one iteration. Each row is at least five steps of one size whose contexts are alike.
"""

import ast
import csv
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

LEAST = 5  # steps of a row
ALIKE = 1.3  # the longest sum of contexts in a row over the shortest

Step = tuple[float, float, int, int, int, bool]  # scheduled, there, decodes, contexts, longest


def steps(path: str) -> Iterator[Step]:
    """Yield the steps of a file; the last says whether there were chunks of prompts."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        for begun, there, decodes, contexts, longest, prompts in csv.reader(file):
            some = bool(ast.literal_eval(prompts))
            yield float(begun), float(there), int(decodes), int(contexts), int(longest), some


def alone(noted: list[Step]) -> Iterator[tuple[int, int, int, float]]:
    """Yield the size, the contexts and the seconds of steps that waited for nothing."""
    for before, step, after in zip(noted, noted[1:], noted[2:], strict=False):
        waited = step[0] > before[1] or after[0] > step[1]
        if not (waited or before[5] or step[5] or after[5]):
            yield step[2], step[3], step[4], step[1] - before[1]


def main(*paths: str) -> None:
    """Print the rows of all files."""
    found: dict[int, list[tuple[int, int, float]]] = defaultdict(list)
    for path in paths:
        for size, contexts, longest, seconds in alone(list(steps(path))):
            found[size].append((contexts, longest, seconds))
    print("decodes,contexts,longest,steps,seconds")
    for size, all_of in sorted(found.items()):
        rows: list[list[tuple[int, int, float]]] = []
        for one in sorted(all_of):
            if not rows or one[0] > ALIKE * rows[-1][0][0]:
                rows.append([])
            rows[-1].append(one)
        for row in rows:
            if len(row) >= LEAST:
                contexts_of, longest_of, seconds_of = zip(*row, strict=True)
                means = f"{statistics.fmean(contexts_of):.0f},{statistics.fmean(longest_of):.0f}"
                print(f"{size},{means},{len(row)},{statistics.median(seconds_of):.6f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
