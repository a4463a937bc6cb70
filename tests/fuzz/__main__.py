"""The command that fuzzes a reader, guided by what its code has not done yet: `atheris` is needed.

    python -m tests.fuzz program 300 found/

tries `program` for 300 seconds. What raises, or takes longer than a second, is written to a folder
and told once for each place in the code that raised it; the run goes on.
"""

import argparse
import random
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["tsdl"]):
    from tests.fuzz.targets import TARGETS, WORDS, seeds
from tests.limits import within
from tests.mutation import mutation

SECONDS = 1.0  # of the processor's time for an input; instrumented code takes about twice as long


class TooSlow(BaseException):
    """An input has used up its time. No `except Exception` may catch it."""


class Run:
    """What was tried of a target, and what was found."""

    def __init__(self, name: str, folder: Path, seconds: float) -> None:
        """Have tried nothing."""
        self.name, self.folder = name, folder
        self.begun = time.monotonic()
        self.end = self.begun + seconds - 1  # libFuzzer ends the process: this is told before
        self.tried = 0
        self.found: Counter[str] = Counter()

    def one(self, data: bytes) -> None:
        """Try an input."""
        self.tried += 1
        try:
            text = data.decode("utf-8", errors="surrogatepass")
        except UnicodeDecodeError:
            text = data.decode("utf-8", errors="replace")
        try:
            with within(2 * SECONDS, TooSlow):
                TARGETS[self.name](text)
        except (Exception, TooSlow) as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f for f in frames if "/tsdl/" in f.filename] or frames
            place = f"{type(error).__name__} {Path(own[-1].filename).name}:{own[-1].lineno}"
            if isinstance(error, TooSlow):
                place = f"TooSlow {self.name}"
            if not self.found[place]:
                self.folder.mkdir(parents=True, exist_ok=True)
                named = "".join(c if c.isalnum() else "_" for c in f"{self.name} {place}")
                (self.folder / named).write_bytes(data)
                sys.stdout.write(f"{place}: {str(error)[:150]!r} in {named}\n")
                sys.stdout.flush()
            self.found[place] += 1
        if time.monotonic() > self.end:
            self.end = float("inf")
            sys.stdout.write(
                f"{self.name}: {self.tried:,} inputs in {time.monotonic() - self.begun:.0f} s, "
                f"{len(self.found)} ways to break it\n"
            )
            sys.stdout.flush()

    def mutated(self, data: bytes, most: int, seed: int) -> bytes:
        """Return an input that is a little different: by its words, else by its bytes."""
        chance = random.Random(seed)
        if chance.random() < 0.2:
            return bytes(atheris.Mutate(data, most))
        text = data.decode("utf-8", errors="replace")
        words = WORDS[self.name]
        changed = mutation(chance, text) if words is None else mutation(chance, text, words)
        return changed.encode("utf-8", errors="surrogatepass")[:most]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("seconds", type=int)
    parser.add_argument("folder", type=Path, help="where inputs go that break it")
    given = parser.parse_args()
    run = Run(given.target, given.folder, given.seconds)
    corpus = given.folder / f"corpus-{given.target}"
    corpus.mkdir(parents=True, exist_ok=True)
    first, *_ = seeds(given.target)
    TARGETS[given.target](first)  # what is made once is made now
    longest = 0
    for number, text in enumerate(seeds(given.target)):
        data = text.encode("utf-8", errors="surrogatepass")
        (corpus / f"seed-{number}").write_bytes(data)
        longest = max(longest, len(data))
    atheris.Setup(
        ["fuzz", f"-max_total_time={given.seconds}", f"-max_len={2 * longest}", "-timeout=60",
         "-rss_limit_mb=3000", "-verbosity=0", "-print_final_stats=0", str(corpus)],
        run.one,
        custom_mutator=run.mutated,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
