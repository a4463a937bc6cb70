"""Both engines give the same bytes: on random systems of four kinds, and on all examples.

tests/engines.py compares; `python -m tests.engines` does so for as long as one likes. A program on
which they once differed goes into tests/test_engine_differences.py.
"""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

import tsdl
from tests import fuzzing, tame_policies, tame_systems, tied_systems
from tests.brought_files import brought, files_in
from tests.engines import (
    DifferenceError,
    agree,
    compared,
    compared_text,
    compiled,
    difference,
    ending,
)
from tests.python_costs import EXTERNS
from tests.reduction import reduced
from tests.tame_systems import a_tame_system
from tests.tied_systems import a_tied_system
from tsdl.errors import TsdlError
from tsdl.runtime import run as running
from tsdl.runtime.engine import Engine
from tsdl.runtime.outcome import Outcome

CASES = {"tame": 100, "wild": 25, "tied": 75, "routed": 25}  # `.ci/run` compares more
LONG_CASES = {
    "tame": 3_000,
    "wild": 1_000,
    "tied": 2_000,
    "routed": 1_000,
}  # `python -m tests.engines` compares as many as one likes
GROUP = 25
WILD_FROM = 20_000  # those before are run under watch in tests/test_conservation.py
SCENARIO = re.compile(r"^scenario (\w+)", re.MULTILINE)
EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.tsim"))
SLOW = ("figure2",)  # twice as long as all the others
SCENARIOS = [(p, name) for p in EXAMPLES for name in SCENARIO.findall(p.read_text("utf-8"))]


@pytest.mark.parametrize("first", range(0, CASES["tame"], GROUP))
def test_the_engines_agree_on_tame_systems(first: int) -> None:
    ends = agree("tame", range(first, first + GROUP))
    # Once in some thousands the longest request does not fit above a watermark: it is refused.
    assert ends["done"] + ends["refused: E0512"] == GROUP, "a tame system ends, and by itself"


@pytest.mark.parametrize("first", range(0, CASES["routed"], GROUP))
def test_the_engines_agree_on_routers_that_look(first: int) -> None:
    ends = agree("routed", range(first, first + GROUP))
    assert ends["done"] > 0.8 * GROUP


@pytest.mark.parametrize("first", range(WILD_FROM, WILD_FROM + CASES["wild"], GROUP))
def test_the_engines_agree_on_wild_systems(first: int) -> None:
    agree("wild", range(first, first + GROUP))


@pytest.mark.parametrize("first", range(0, CASES["tied"], GROUP))
def test_the_engines_agree_on_tied_systems(first: int) -> None:
    ends = agree("tied", range(first, first + GROUP))
    assert ends["done"] >= 0.8 * GROUP, "most tied systems end by themselves"


@pytest.mark.long
@pytest.mark.parametrize("first", range(CASES["tame"], CASES["tame"] + LONG_CASES["tame"], 200))
def test_the_engines_agree_on_many_more_tame_systems(first: int) -> None:
    agree("tame", range(first, first + 200))


@pytest.mark.long
@pytest.mark.parametrize(
    "first", range(WILD_FROM + CASES["wild"], WILD_FROM + CASES["wild"] + LONG_CASES["wild"], 200)
)
def test_the_engines_agree_on_many_more_wild_systems(first: int) -> None:
    agree("wild", range(first, first + 200))


@pytest.mark.long
@pytest.mark.parametrize("first", range(CASES["tied"], CASES["tied"] + LONG_CASES["tied"], 200))
def test_the_engines_agree_on_many_more_tied_systems(first: int) -> None:
    agree("tied", range(first, first + 200))


@pytest.mark.long
@pytest.mark.parametrize(
    "first", range(CASES["routed"], CASES["routed"] + LONG_CASES["routed"], 200)
)
def test_the_engines_agree_on_many_more_routers_that_look(first: int) -> None:
    agree("routed", range(first, first + 200))


@pytest.mark.parametrize(
    ("path", "scenario"),
    [
        pytest.param(
            path,
            name,
            id=f"{path.stem}-{name}",
            marks=pytest.mark.long if name in SLOW else pytest.mark.examples,
        )
        for path, name in SCENARIOS
    ],
)
def test_the_engines_agree_on_an_example(path: Path, scenario: str) -> None:
    assert compared(tsdl.compile(path, scenario=scenario)).how == "done"


# -- the systems -------------------------------------------------------------------------------

OFTEN = (
    "handlers beside others",
    *{*tame_policies.BATCHING, *tame_policies.APART, *tame_policies.ROUTERS, "pooled"},
    "mixed", "max_requests", "max_tokens", "watermark", "swap", "overhead", "heap", "window",
    "admit by", "admit when", "evict by", "evict when", "resume by", "resume when",
    "tiny", "small", "ample", "all", "blocks of 1", "blocks of 8", "blocks of 16", "blocks of 32",
    "paged", "token_wise", "contiguous", "windowed",
    "constant", "linear", "operators", "zero", "featured",
    "all at once", "bursts", "on boundaries", "on exact boundaries", "evenly", "poisson",
    "in clusters", "on and off", "piecewise", "answers: one token", "answers: few", "answers: some",
    "answers: long", "beyond the context", "sessions", "concurrency", "no time to think",
    "priority", "attributes", "warmup",
    "until", "sample", "alone", "alike", "unlike", "apart", "both beside", "several devices",
    "policies of their own", "network", "nodes", "fair", "fifo", "half duplex", "slow", "instant",
    "in pairs",
    "sequential", "buffer", "tier", "swaps elsewhere", "kv_ready", "submits the first token",
    "a handler", "changes", "another model", "tables", "python", "asynchronous", "ranks", "stages",
    "scaled", "failures",
    "shared blocks", "prefixes",
)  # fmt: skip
SELDOM = (
    "stores who has ended",
    "between tiers",
    "budget",
    "large",
    "front_end",
    "behind",
    "eager",
    "host_time",
    "gap",
    "overlap",
    "hybrid",
    *tame_policies.LOCAL,
    *tame_policies.GLOBAL,
    *tame_policies.ROUTING,
)


def test_every_feature_is_in_many_tame_systems() -> None:
    seen: Counter[str] = Counter()
    for seed in range(1000):
        seen.update(tame_systems.features_of(seed))
    assert not {what: seen[what] for what in OFTEN if seen[what] < 30}
    assert not {what: seen[what] for what in SELDOM if seen[what] < 8}
    assert set(seen) <= {*OFTEN, *SELDOM}, "a feature that nobody counts"


TIED_OFTEN = (
    "on a grid", "off the grid", "plain",
    *(*tied_systems.SHAPES, *tied_systems.EXACT, *tied_systems.LOOSE),
    "drafts", "tables", "python", "ranks", "stages", "network", "nodes", "tier", "pooled",
    "sequential",
    "buffer", "swaps elsewhere", "shared blocks", "continuous", "chunked", "orca", "static",
    "mixed", "max_tokens", "watermark", "swap", "window", "heap", "asynchronous", "overhead",
    "front_end", "behind",
    "admit when", "admit by", "evict by", "resume by", "resume when",
    *(f"on {event} of a group" for event in ("start", "admit", "token", "finish", "preempt")),
    *(f"on {event} of a group" for event in ("iteration", "every", "transferred")),
    *(f"on {event} of all" for event in ("token", "finish", "every")),
    "a router of the library", "blind", "picks", "draws", "takes turns", "takes not all",
    "asks in vain", "draws, then looks", "all at once", "in bursts", "on boundaries",
    "poisson", "evenly", "in clusters", "sessions", "concurrency", "prefixes", "priority", "warmup",
    "attributes",
    *(f"file of {kind}" for kind in ("table", "agents", "blocks", "tokens")),
    "until", "sample on the grid", "sample off the grid", "sample once", "changes",
)  # fmt: skip
TIED_SELDOM = tuple(
    f"on {event} of all" for event in ("start", "admit", "preempt", "iteration", "transferred")
)


def test_every_feature_is_in_many_tied_systems() -> None:
    seen: Counter[str] = Counter()
    for seed in range(1000):
        seen.update(tied_systems.features_of(seed))
    assert not {what: seen[what] for what in TIED_OFTEN if seen[what] < 30}
    assert not {what: seen[what] for what in TIED_SELDOM if seen[what] < 8}
    assert set(seen) <= {*TIED_OFTEN, *TIED_SELDOM}, "a feature that nobody counts"


@pytest.mark.long
def test_the_tame_systems_do_everything() -> None:
    """They preempt, swap, reject, hand over, fetch; else they would prove little."""
    seen: Counter[str] = Counter()
    for seed in range(100):
        result = tsdl.compile(a_tame_system(seed), externs=EXTERNS).run()
        summary = result.summary
        seen["finished"] += summary["requests"]["finished"] > 0
        seen["rejected"] += summary["requests"]["rejected"] > 0
        seen["preempted"] += summary["preemptions"] > 0
        seen["preempted often"] += summary["preemptions"] > len(result.requests["id"]) / 2
        seen["handed over"] += summary["transfers"]["count"] > 0
        seen["fetched"] += any(tier["hits"] for tier in summary["tiers"])
        seen["recorded"] += len(result.records["time"]) > 0
        seen["logged"] += bool(result.log)
        seen["in turns"] += bool((result.requests["turn"] > 0).any())
        seen["many iterations"] += sum(w["iterations"] for w in summary["workers"]) > 300
    least = {"finished": 70, "rejected": 8, "preempted": 12, "handed over": 8, "fetched": 2}
    least |= dict.fromkeys(("preempted often", "recorded", "logged", "in turns"), 3)
    least |= {"many iterations": 20}
    assert all(seen[what] >= many for what, many in least.items()), seen


@pytest.mark.long
def test_the_tied_systems_do_everything() -> None:
    """They preempt, hand over, fetch, find; requests arrive as others get tokens, to the bit."""
    seen: Counter[str] = Counter()
    for seed in range(100):
        try:
            found = ending(compiled(a_tied_system(seed)), "fast").result
        except TsdlError:  # it has no room for a request
            seen["refused"] += 1
            continue
        if found is None:
            continue
        summary, requests = found.summary, found.requests
        seen["finished"] += summary["requests"]["finished"] > 0
        seen["stuck"] += bool(summary["requests"]["stuck"])
        seen["rejected"] += summary["requests"]["rejected"] > 0
        seen["preempted"] += summary["preemptions"] > 0
        seen["handed over"] += summary["transfers"]["count"] > 0
        seen["fetched"] += any(tier["hits"] for tier in summary["tiers"])
        seen["recorded"] += len(found.records["time"]) > 0
        seen["logged"] += bool(found.log)
        seen["in turns"] += bool((requests["turn"] > 0).any())
        seen["found"] += bool((requests["cached"] > 0).any())
        seen["tied"] += bool({*requests["arrived"]} & {*requests["first_token"]} - {0.0})
    least = {"finished": 70, "tied": 25, "found": 15, "in turns": 15, "handed over": 15}
    least |= {"logged": 12, "preempted": 12, "rejected": 8, "stuck": 3}
    assert seen["refused"] < 5
    least |= {"recorded": 3, "fetched": 1}
    assert all(seen[what] >= many for what, many in least.items()), seen


@pytest.mark.parametrize("write", [a_tame_system, a_tied_system])
def test_the_same_seed_writes_the_same_system(write: Callable[[int], str]) -> None:
    texts = [write(seed) for seed in range(50)]
    assert texts == [write(seed) for seed in range(50)]
    assert len(set(texts)) == 50


def test_a_program_brings_its_files_along() -> None:
    text = "scenario it {}\n" + brought("a.csv", ["x,y", "1,2"]) + brought("b.jsonl", ["{}"])
    assert files_in(text) == {"a.csv": "x,y\n1,2\n", "b.jsonl": "{}\n"}
    assert files_in("# a.csv has columns\n") == {}


# -- what tells of differences -----------------------------------------------------------------


class HastyEngine(Engine):
    """An engine with a mistake: who was preempted twice has its last token too early."""

    def run(self) -> Outcome:
        """Run, and forget a little."""
        outcome = super().run()
        ledger = outcome.requests
        for at, preemptions in enumerate(ledger.rare.get("preemptions", ())):
            if preemptions > 1:
                ledger.last[at] -= 0.001
        return outcome


class FailingEngine(Engine):
    """An engine that fails."""

    def run(self) -> Outcome:
        """Fail."""
        raise RuntimeError("it fails")


TIGHT = """edition "2026"
model short from llama2_7b { context = 200 tokens }
kvcache tiny from paged { blocks = 8 }
cluster alone { worker gpu { hardware = A100_80G; cost = constant_cost(10 ms); kv = tiny } }
policy mine from continuous { local { max_requests = 16; watermark = 0 % } }
workload asked {
  requests = 12; arrivals = burst(); prompt = constant(10 tokens); output = constant(60 tokens)
  priority = uniform(0..3)
}
scenario it { model = short; cluster = alone; policy = mine; workload = asked; sample = 10 ms }
"""


def test_a_difference_shows_the_first_row_and_its_columns() -> None:
    with patch.dict(running.ENGINES, fast=HastyEngine), pytest.raises(DifferenceError) as caught:
        compared_text(TIGHT)
    told = str(caught.value)
    assert "requests.csv: line " in told
    assert " in last_token " in told
    assert "\n  reference: " in told
    assert "summary.json: latency." in told
    assert TIGHT in told
    assert "timeseries.csv" not in told


def test_an_engine_that_fails_is_a_difference() -> None:
    with patch.dict(running.ENGINES, fast=FailingEngine), pytest.raises(DifferenceError) as caught:
        compared_text(TIGHT)
    assert "it fails" in str(caught.value)
    with patch.dict(running.ENGINES, fast=FailingEngine, reference=FailingEngine):
        assert ending(tsdl.compile(TIGHT), "fast").how == "RuntimeError"
        with pytest.raises(DifferenceError, match="both engines fail"):
            compared_text(TIGHT)


def test_a_run_that_goes_on_is_cut_off() -> None:
    assert compared_text(TIGHT, most_events=50).how == "for ever"
    assert compared_text("scenario it {}").how.startswith("refused: E0")


def test_missing_rows_are_told() -> None:
    assert "3 lines with the reference" in difference("log.txt", "a\nb\nc\n", "a\nb\n")
    assert difference("log.txt", "a\nb\n", "a\nx\ny\n").startswith("log.txt: line 2; 2 lines, and")


@pytest.mark.long
def test_a_program_that_differs_is_made_smaller() -> None:
    tries = iter(range(150))  # and not for so many seconds: the machine may be busy

    def differs(text: str) -> bool:
        if next(tries, None) is None:
            return False
        try:
            compared_text(text)
        except DifferenceError:
            return True
        return False

    with patch.dict(running.ENGINES, fast=HastyEngine):
        text = reduced(TIGHT, differs)
        tries = iter((1,))
        assert differs(text)
    assert len(text) < 0.9 * len(TIGHT)
    assert "priority" not in text
    assert "sample" not in text


def test_the_command_tells_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fuzzing.main(["0", "2", "--tame", "--digest"])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert re.fullmatch("tame 0 done [0-9a-f]{64}", first)
    assert first.split()[-1] != second.split()[-1]
    assert err.startswith("2 systems in ")


def test_the_command_tells_of_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        fuzzing.main(["0", "4", "--tame"])
    assert ended.value.code == 0
    assert "4 systems in " in capsys.readouterr().out
    with patch.dict(running.ENGINES, fast=FailingEngine), pytest.raises(SystemExit) as ended:
        fuzzing.main(["0", "1", "--tame"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "==== tame seed 0\n" in said
    assert said.endswith("1 differ; tame differs 1\n")
