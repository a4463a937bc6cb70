"""The command that runs random systems on both engines for as long as one likes."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TextIO

from tests.engines import KINDS, DifferenceError, compared_seed, compared_text
from tests.reduction import reduced

GROUP = 25  # seeds that a process takes at a time

Found = tuple[Counter[str], list[tuple[str, int, str]], list[str]]


def main(arguments: list[str] | None = None) -> None:
    """Run the command; exit with 1 where engines differ."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.engines", description="Run random systems on both engines."
    )
    parser.add_argument("first", type=int, help="the first seed")
    parser.add_argument("count", type=int, help="how many seeds, of each kind")
    kinds = parser.add_mutually_exclusive_group()
    for kind in KINDS:
        kinds.add_argument(
            f"--{kind}", dest="kinds", action="store_const", const=[kind], help=f"only {kind} ones"
        )
    parser.add_argument("--processes", type=int, default=1, help="how many at a time")
    parser.add_argument("--reduce", action="store_true", help="make programs that differ smaller")
    parser.add_argument("--digest", action="store_true", help="tell a hash of what came of each")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    ends: Counter[str] = Counter()
    differing = 0
    for counted, found, digests in results(
        groups(given.kinds or list(KINDS), given.first, given.count), given.processes
    ):
        ends.update(counted)
        differing += len(found)
        if given.digest:
            say("\n".join(digests))
        for kind, seed, told in found:
            say(f"==== {told}")
            if given.reduce:
                say(f"---- {kind} seed {seed}, reduced\n{smaller(kind, seed)}")
    seconds = time.monotonic() - begun
    counts = ", ".join(f"{name} {count}" for name, count in sorted(ends.items()))
    told = f"{ends.total()} systems in {seconds:.0f} s; {differing} differ; {counts}"
    say(told, sys.stderr if given.digest else None)
    sys.exit(1 if differing else 0)


def say(text: str, to: TextIO | None = None) -> None:
    print(text.rstrip(), file=to, flush=True)


def groups(kinds: list[str], first: int, count: int) -> Iterator[tuple[str, range]]:
    """Yield seeds in groups, of all kinds in turn."""
    for start in range(first, first + count, GROUP):
        for kind in kinds:
            yield kind, range(start, min(start + GROUP, first + count))


def results(work: Iterator[tuple[str, range]], processes: int) -> Iterator[Found]:
    """Yield what groups come to, in their order."""
    if processes <= 1:
        yield from map(run_group, work)
        return
    with ProcessPoolExecutor(min(processes, os.cpu_count() or 1)) as pool:
        yield from pool.map(run_group, work)


def run_group(group: tuple[str, range]) -> Found:
    """Run a group of seeds; return how many ended how, those that differ, and all hashes."""
    kind, seeds = group
    ends: Counter[str] = Counter()
    found, digests = [], []
    for seed in seeds:
        try:
            ending = compared_seed(kind, seed)
            ends[f"{kind} {ending.how}"] += 1
            digests.append(f"{kind} {seed} {ending.how} {ending.digest}")
        except DifferenceError as error:
            ends[f"{kind} differs"] += 1
            found.append((kind, seed, str(error)))
            digests.append(f"{kind} {seed} differs")
    return ends, found, digests


def smaller(kind: str, seed: int) -> str:
    """Return a smaller program on which the engines differ still, and how."""
    most = KINDS[kind].most_events

    def differs(text: str) -> bool:
        try:
            compared_text(text, most)
        except DifferenceError:
            return True
        return False

    text = reduced(KINDS[kind].write(seed), differs)
    try:
        compared_text(text, most)
    except DifferenceError as error:
        return str(error)
    return text
