"""What passes a check is no bug of the compiler during a run either, whatever it asks for."""

from pathlib import Path

import pytest

from tests.checked_texts import SECONDS_OF_LARGE, TooSlow
from tests.limits import within
from tests.programs_around import serve, worker
from tsdl.cli import main

Capture = pytest.CaptureFixture[str]


def admit(condition: str) -> str:
    return f"policy own {{ local {{ admit r when {condition} }} }}"


def dispatch(target: str) -> str:
    return f"policy own {{ global {{ on arrive(r) {{ dispatch r to {target} }} }} }}"


def lengths(prompt: str) -> str:
    return f"workload own from sharegpt {{ requests = 5; prompt = {prompt} }}"


def squared(statement: str) -> str:
    body = f"state x = 2; on token(r, w) {{ x = x * x; {statement} }}"
    return f"policy own from continuous {{ local {{ {body} }} }}"


def arrivals(process: str) -> str:
    return f"workload own from sharegpt {{ requests = 5; arrivals = {process} }}"


RUNS = {
    "admission by a feature": admit("tokens > 3"),
    "admission by a price": admit("w.hardware.price > 3 USD"),
    "admission by a count": admit("count(v for v in [w]) < 3"),
    "admission by any": admit("any(v.prefills for v in [w])"),
    "admission by a sum": admit("sum(v.queued for v in [w]) < 3"),
    "admission by a division": admit("1 / r.preemptions < 3"),
    "admission by the device": admit("w.hardware == A100_80G"),
    "dispatch by a price": dispatch("pick(w by w.hardware.price for w in workers)"),
    "dispatch in a list": dispatch("pick(w by w.id for w in [random(v for v in workers)])"),
    "dispatch in two ways": dispatch(
        "random(w for w in workers) if r.prompt > 9 else pick(w by w.id for w in workers)"
    ),
    "dispatch by a sum": dispatch("pick(w by sum(v.queued for v in workers) for w in workers)"),
    "dispatch by a division": dispatch("pick(w by 1 / w.queued for w in workers)"),
    "dispatch to nobody": dispatch("random(w for w in workers if false)"),
    "cost by a count": "cost own { iteration = 1 ms * count(x for x in [1, 2]) }",
    "cost by a pick": "cost own { iteration = pick(x by x for x in [1 ms, 2 ms]) }",
    "cost by chance": "cost own { iteration = random(x for x in [1 ms, 2 ms]) }",
    "cost by a sum": "cost own { iteration = 1 ms * sum(x * tokens for x in [1, 2]) }",
    "cost of nothing": "cost own { iteration = 0 s }",
    "cost of next to nothing": "cost own { iteration = 1e-320 s }",
    "cost without measure": "cost own { iteration = 1e307 s * tokens }",
    "cost below zero": "cost own { iteration = -1 ms * tokens }",
    "footprint below zero": "kvcache own from paged { footprint(r) = -1 B }",
    "footprint that shrinks": (
        "kvcache own from paged { footprint(r) = 1 GB - kv_per_token * r.context }"
    ),
    "lengths of zero": lengths("constant(0 tokens)"),
    "lengths without measure": lengths("constant(1e300 tokens)"),
    "deviation without measure": lengths("normal(mean = 3 tokens, deviation = 1e300 tokens)"),
    "mean without measure": lengths("exponential(mean = 1e300 tokens)"),
    "sigma without measure": lengths("lognormal(mean = 3 tokens, sigma = 1e300)"),
    "arrivals at once": arrivals("poisson(1e300 req/s)"),
    "arrivals never": arrivals("poisson(1e-300 req/s)"),
    "arrivals in endless turns": arrivals("on_off(rate = 3 req/s, on = 1e-300 s, off = 1e-300 s)"),
    "more texts than can be": "workload own from sharegpt { requests = 5; prefixes = 1e30; "
    "prefix = constant(5 tokens) }",
    "a total without measure": "workload own from sharegpt { requests = 5; total = 1e20 tokens }",
    "numbers without end": squared(""),
    "numbers without end logged": squared("log x * x * x * x * x * x * x * x"),
    "numbers without end recorded": squared('record "a", x * x * x'),
    "a delay without end": squared("let t = x * x * x * 1 s; delay t"),
    "a sum": "expect sum(x for x in [1, 2]) == 3",
    "a rounded metric": "expect round_up_to(p99(prompt), [64 tokens, 128 tokens]) > 1 token",
    "gaps less requests": "expect mean(itl - e2e) <= 3 s",
    "equal devices": "expect A100_80G == A100_80G",
}


def runnable(text: str) -> str:
    """Return a program that uses what a text declares, or that expects what it says."""
    kind, requests = text.split(maxsplit=1)[0], "sharegpt(requests = 5)"
    if kind == "expect":
        return serve(workload=requests).replace(" }\n", f"\n{text} }}\n")
    if kind in ("policy", "workload"):
        return text + serve(**({"workload": requests} | {kind: "own"}))
    field = "kv" if kind == "kvcache" else kind
    return text + worker(f"{field} = own", workload=requests)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_no_bug(name: str, tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "it.tsim"
    path.write_text(runnable(RUNS[name]), encoding="utf-8")
    try:
        with within(SECONDS_OF_LARGE, TooSlow):
            status = main(["run", str(path)])
    except TooSlow:
        pytest.fail("too slow", pytrace=False)
    said = capsys.readouterr().err
    if status not in {0, 1, 3}:
        pytest.fail(said, pytrace=False)
