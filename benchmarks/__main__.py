"""`python -m benchmarks [NAME…] [--json]`, from the checkout's root."""

import argparse
import sys

from benchmarks.measure import ROWS, bench
from benchmarks.report import as_json, table


def main() -> None:
    """Measure the rows that are named, or all, and print them."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--json", action="store_true", help="all figures, for machines")
    parser.add_argument("--runs", type=int, default=5, help="each figure is their median (5)")
    parser.add_argument("--requests", type=int, help="other than a row's own: for a quick look")
    parser.add_argument("--engine", choices=("fast", "reference"), default="fast")
    parser.add_argument(
        "--installed", action="store_true", help="measure the tsdl of this environment"
    )
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in ROWS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(ROWS)}")
    measured = []
    with bench(given.runs, given.engine, installed=given.installed) as found:
        for name in given.names or ROWS:
            print(f"{name} …", file=sys.stderr)
            measured.append(found.measure(ROWS[name], given.requests))
    print(as_json(measured) if given.json else table(measured))


if __name__ == "__main__":
    main()
