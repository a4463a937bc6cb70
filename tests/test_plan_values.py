"""Plans as values: they survive JSON and pickling, and none from elsewhere brings code."""

import copy
import json
import math
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tests.engines import KINDS, compiled
from tests.priced import plan_of
from tsdl import formula
from tsdl.cli.plantext import describe
from tsdl.costs import source
from tsdl.plan import FORMAT
from tsdl.schema import RECORD_FUNCTIONS

ROOT = Path(__file__).resolve().parents[1]
POLICIES = ("continuous", "chunked", "static", "random", "least_outstanding_tokens")


def rich_plan() -> tsdl.Plan:
    """Return a plan with something in every part."""
    text = """edition "2026"
policy fussy from chunked {
  local {
    preempt = swap; overhead = 1 us * requests
    admit r when kv.fill_with(r) <= 80 % and not r.prompt > 4000 tokens
    admit r by r.arrived, -r.prompt
    evict r by mod(r.id, 3) if r.generated > 5 tokens else 0
    resume r when kv.free > 2 * r.held
    state seen: time[request] = 2 s
    on start(r, w) when r.turn > 0 { fetch r from pool }
    on token(r, w) when not w.decodes { store r in pool; submit r }
    on iteration(batch, w) { for r in batch.decoding { seen[r] += 1 s; log "seen", seen[r], "#1" } }
  }
  global {
    state sent: count[worker] over 10 s
    on arrive(r) {
      let w = pick(v by v.load - v.kv.fill + sent[v] for v in workers if v.prefills)
      if w.queued > 9 { reject r } else { dispatch r to w; sent[w] += 1 }
    }
    on submit(r) { dispatch r to round_robin(w for w in workers if w.decodes) }
    on every(5 s) { record "all", sum(w.queued for w in workers) }
  }
}
workload mixed {
  requests = 30; duration = 1 min; warmup = 1 s; arrivals = on_off(9 req/s, on = 1 s, off = 2 s)
  prompt = choice(3 tokens: 1, lognormal(mean = 90 tokens, sigma = 1, max = 800 tokens): 2)
  output = quantiles([1, 5, 90] tokens); correlation = -0.5; total = 4096 tokens
}
slo strict { ttft <= 2 s; mtpot <= 300 ms }
cluster unlike {
  network = Ethernet_100G
  node one { worker a * 2 { hardware = A100_80G; parallel = tp(2); runs = prefill } }
  node two * 2 {
    worker b { hardware = H100_SXM; cost = linear_cost(); handoff = sequential; buffer = 1 GiB }
    tier host { capacity = 9 GiB }
  }
  tier pool { capacity = 64 GiB; latency = 800 ns/block; link = PCIe4_x16; evict by uses, -size }
}
scenario rich {
  model = llama2_7b; cluster = unlike; policy = fussy; workload = mixed; slo = strict
  until = 1 h; sample = 1 s
  expect p99(ttft) <= 2 s
  expect mean(e2e / output) <= 1 s/token and attainment >= 10 %
}
"""
    return tsdl.compile(text)


@pytest.fixture(params=["rich", *POLICIES])
def plan(request: pytest.FixtureRequest) -> tsdl.Plan:
    return rich_plan() if request.param == "rich" else plan_of(policy=request.param)


def test_a_plan_survives_json(plan: tsdl.Plan) -> None:
    again = tsdl.Plan.from_json(plan.to_json())
    assert again == plan
    assert again.to_json() == plan.to_json()
    assert again.hash == plan.hash
    assert [source(w.cost) for w in again.workers] == [source(w.cost) for w in plan.workers]
    assert again.run().summary == plan.run().summary


EXAMPLES = sorted(path for path in ROOT.glob("examples/**/*.tsim"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_plans_of_examples_are_shown_and_survive_json(path: Path) -> None:
    for scenario in re.findall(r"^scenario (\w+)", path.read_text("utf-8"), re.MULTILINE):
        plan = tsdl.compile(path, scenario=scenario)
        again = tsdl.Plan.from_json(plan.to_json())
        assert (again, again.hash) == (plan, plan.hash)
        assert describe(again) == describe(plan)


@pytest.mark.parametrize("kind", KINDS)
def test_plans_of_random_systems_survive_json(kind: str) -> None:
    read = 0
    for seed in range(20):
        try:
            plan = compiled(KINDS[kind].write(seed))
        except tsdl.TsdlError:
            continue
        again = tsdl.Plan.from_json(plan.to_json())
        assert (again, again.hash) == (plan, plan.hash), seed
        read += 1
    assert read > 12


def test_a_formula_may_call_all_that_memories_answer() -> None:
    assert {*RECORD_FUNCTIONS["kv"], "get"} == formula.METHODS


@pytest.mark.parametrize("name", ["quickstart", "prefix_caching", "record_book"])
def test_results_can_be_pickled(name: str) -> None:
    path = ROOT / "examples" / f"{name}.tsim"
    scenario = re.findall(r"^scenario (\w+)", path.read_text("utf-8"), re.MULTILINE)[0]
    result = tsdl.compile(path, scenario=scenario).run()
    again = pickle.loads(pickle.dumps(result))
    assert again.summary == result.summary
    assert list(again.requests["ttft"]) == list(result.requests["ttft"])


def test_a_plan_survives_pickling_and_copying(plan: tsdl.Plan) -> None:
    for again in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan), copy.copy(plan)):
        assert type(again) is tsdl.Plan
        assert again == plan
        assert again.hash == plan.hash
        assert hash(again) == hash(plan)


def test_a_plan_is_json_without_nan(plan: tsdl.Plan) -> None:
    assert json.loads(plan.to_json(), parse_constant=pytest.fail)["format"] == FORMAT


def test_the_same_text_gives_the_same_plan_and_another_text_another() -> None:
    assert plan_of() == plan_of()
    hashes = {plan_of(policy=policy).hash for policy in POLICIES} | {plan_of(devices=2).hash}
    assert len(hashes) == len(POLICIES) + 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("until = 10 s", "until = 10.0 s"),
        ("until = 1 min", "until = 60 s"),
        ("sample = 1 s", "sample = 1e0 s"),
    ],
)
def test_equal_plans_have_equal_hashes(one: str, other: str) -> None:
    first, second = plan_of(more=one), plan_of(more=other)
    assert first == second
    assert first.hash == second.hash


def test_a_plan_is_the_same_in_any_process() -> None:
    """Whatever the order of sets and hashes there: the text, and what a run yields."""
    program = (
        "import sys, tsdl\n"
        "from tsdl.costs import source\n"
        "plan = tsdl.Plan.from_json(sys.stdin.read())\n"
        "print(plan.hash, plan.run().summary, [source(w.cost) for w in plan.workers])"
    )
    outputs = set()
    for seed in ("0", "1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", program], input=rich_plan().to_json(), env=environment,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert rich_plan().hash in outputs.pop()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '{"format": 1}', '{"format": 2}', "\x00", "[" * 100_000],
    ids=lambda text: text[:20],
)
def test_what_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"plan|format|Expecting|char"):
        tsdl.Plan.from_json(text)


def test_a_plan_with_a_field_of_the_wrong_kind_is_refused() -> None:
    kinds = (
        ("seed", "zero"),
        ("workers", 5),
        ("until", "soon"),
        ("router", None),
        ("timeseries", "odd"),
    )
    numbers = (("until", math.nan), ("sample", math.inf), ("sample", 1e-9))
    for key, wrong in kinds + numbers:
        data = json.loads(plan_of().to_json()) | {key: wrong}
        with pytest.raises(ValueError, match="plan"):
            tsdl.Plan.from_json(json.dumps(data))


def put(data: Any, path: str, value: object) -> None:  # noqa: ANN401 (JSON)
    """Put a value at a path (`workers.0.ranks`) of a plan."""
    *steps, last = path.split(".")
    for step in steps:
        data = data[int(step) if step.isdigit() else step]
    data[int(last) if last.isdigit() else last] = value


TTFT, LATE = ["symbol", "ttft"], ["<", 1, ["symbol", "ttft"]]
ASKED = (
    ("slo.0", ["list"]),
    ("slo.0", ["<=", TTFT, ["attribute", TTFT, "dl"]]),
    ("slo.0", ["<=", TTFT, ["mean", TTFT]]),
    ("slo.0", ["<=", TTFT, ["where", TTFT, LATE]]),
    ("slo.0", ["<=", ["symbol", "itl"], 1]),
    ("slo.0", ["<=", TTFT, ["symbol", "makespan"]]),
    ("slo.0", ["==", TTFT, "late"]),
    ("slo.0", ["<=", TTFT, ["-", LATE, LATE]]),
    ("expects.0", ["==", ["list", TTFT], 1]),
    ("expects.0", ["<=", ["table", "t", TTFT], 1]),
    ("expects.0", ["<=", ["max", 3], 1]),
    ("expects.0", ["<=", ["p50", ["symbol", "makespan"]], 1]),
    ("expects.0", ["<=", ["mean", ["*", TTFT, ["symbol", "itl"]]], 1]),
    ("expects.0", ["<=", ["where", ["mean", ["symbol", "itl"]], ["<", ["mean", TTFT], 1]], 1]),
    ("expects.0", ["<=", ["mean", ["where", ["symbol", "itl"], LATE]], 1]),
)
WIDE = [["low", 0], ["high", 1e270], ["step", 1e-90]]
HALF = {"event": "half", "stage": 0, "kernel": 0, "when": True}
MEANT = (
    ("workload.prompt.name", "nope", "there is no 'nope' of"),
    ("workload.prompt.parameters.0.0", "means", "there is no 'lognormal' of"),
    ("workload.arrivals.parameters.0.1", -1, "`poisson` cannot have such a number"),
    ("workload.output", {"name": "choice"}, "a choice is one of several"),
    ("workload.output", {"name": "quantiles"}, "quantiles need values"),
    ("workload.output", {"name": "uniform", "parameters": WIDE}, "a range has too many steps"),
    ("slo.0.formula", ["<=", ["symbol", "tokens"], 2], "a condition asks for what no run has"),
    *((f"{where}.formula", formula, "a condition asks for") for where, formula in ASKED),
    ("workers.0.handoff", "overlaped", "`handoff` is not 'overlaped'"),
    ("workers.0.local.preempt", "swop", "`preempt` is not 'swop'"),
    ("workers.0.local.queue", "list", "`queue` is not 'list'"),
    ("workers.0.local.batching", "some", "`batching` is not 'some'"),
    ("workers.0.link.duplex", "hafl", "`duplex` is not 'hafl'"),
    ("workers.0.host.sharing", "lifo", "`sharing` is not 'lifo'"),
    ("router.handlers.0.event", "arive", "the global stage has no event 'arive'"),
    ("workers.0.ranks", 10**12, "so many workers do not share experts"),
    ("workers.0.local.evict_when", 7, "a condition of a policy is a number"),
    ("workers.0.kv.footprint", -1e30, "a request holds less than no memory"),
    ("workers.0.breakpoints", [HALF | {"kv": [1, 1, 0]}], "at a breakpoint there is no such share"),
    ("workers.0.breakpoints", [HALF | {"kv": [-1, 1, 2]}], "at a breakpoint there is no such"),
    ("workers.0.breakpoints", [HALF | {"kv": [5, 5, 1]}], "at a breakpoint there is no such"),
    ("workers.0.efficiencies.0.extra", -1, "a launch takes less than no time"),
    (
        "seed",
        2**64,
        "`seed` is from 0 to 18,446,744,073,709,551,615, not 18,446,744,073,709,551,616",
    ),
    ("workload.requests", None, "a workload says nothing of when its requests end"),
    ("workload.requests", -5, "`requests` is from 1 to 50,000,000, not -5"),
    ("workload.requests", 10**9, "`requests` is from 1 to 50,000,000"),
    ("workload.warmup", -1, "`warmup` is from 0 on, not -1"),
    ("workload.correlation", 2, "`correlation` is from -1 to 1, not 2"),
    ("workload.prompt", None, "a workload says nothing of how long its requests are"),
    ("workers.0.count", 10**9, "`count` is from 1 to 100,000,000"),
    ("workers.0.kv.capacity", -1, "`capacity` is from 0 to"),
    ("workers.0.kv.block_tokens", 0, "`block_tokens` is from 1 on"),
    ("workers.0.idle_power", -500, "`idle_power` is from 0 on, not -500"),
    ("workers.0.local.watermark", 1.5, "`watermark` is from 0 to 1, not 1.5"),
    ("workers.0.port.bandwidth", -1, "`bandwidth` is from 0 on"),
    ("site.pue", 0.5, "`pue` is from 1 on"),
    ("site.carbon", -3, "`carbon` is from 0 on"),
    ("workers.0.kv.state", -1, "no request keeps such a state"),
    ("workers.0.kv.state", 2**60, "no request keeps such a state"),
    ("router.handlers.0.every", 0.5, "a handler of a timer, and no other"),
    ("router.handlers.0.when", 3, "the condition of a handler is a number"),
    ("router.handlers.0.body.0.values.1", 3, "`dispatch` is about a request or a worker"),
)


@pytest.mark.parametrize(("path", "value", "reason"), MEANT, ids=[path for path, *_ in MEANT])
def test_what_no_run_could_do_is_refused(path: str, value: object, reason: str) -> None:
    plan = tsdl.compile(
        """
        workload w {
          requests = 5; arrivals = poisson(2 req/s)
          prompt = lognormal(mean = 200 tokens, sigma = 1, max = 900 tokens)
          output = choice(constant(4 tokens): 50 %, uniform(2..9 tokens): 50 %)
        }
        slo quick { ttft <= 2 s }
        scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w; slo = quick
          expect ASKED }
        """.replace("ASKED", "mean(max(ttft, e2e), where = ttft < 1 s or prompt in 1..9) <= 1 s")
    )
    data = json.loads(plan.to_json())
    assert tsdl.Plan.from_json(json.dumps(data)).hash == plan.hash
    if isinstance(value, dict):
        value = {"parameters": [], "values": [], "parts": []} | value
    put(data, path, value)
    with pytest.raises(ValueError, match=f"not a plan: {reason}"):
        tsdl.Plan.from_json(json.dumps(data))


CALLS = (
    ["symbol", "print('code runs')"],
    ["print", "code runs"],
    ["field", ["symbol", "r"], "id or print('code runs')"],
    ["call", ["symbol", "kv"], "__class__.__init__.__globals__.clear"],
    ["+", ["symbol", "__import__('os')"], 1],
    ["select", "print", "w", ["symbol", "w"], ["symbol", "workers"], "", True],
    ["select", "pick", "w in [print()] or w", ["symbol", "w"], ["symbol", "workers"], 0, True],
    ["<", ["symbol", "open"], 3],
    ["call", ["field", ["symbol", "w"], "waiting"], "clear"],
    ["call", ["symbol", "int"], "to_bytes", 65, 1],
    ["field", -1, "fill"],
    ["call", 3, "get"],
)


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_no_plan_can_bring_code(call: object) -> None:
    """A plan is data from another machine: its formulas are of a closed set, or it is refused."""
    for place in ("when", "admit_when", "footprint", "time"):
        data = json.loads(plan_of().to_json())
        worker = data["workers"][0]
        holder = {
            "when": data["router"]["handlers"][0],
            "admit_when": worker["local"],
            "footprint": worker["kv"],
            "time": worker["cost"]["stages"][0]["kernels"][0],
        }[place]
        assert place in holder
        holder[place] = call
        with pytest.raises(ValueError, match="plan"):
            tsdl.Plan.from_json(json.dumps(data))


STATEMENTS = (
    {"word": "import os", "name": "", "values": []},
    {"word": "exec", "name": "", "values": ["print()"]},
    {"word": "let", "name": "x = print() or x", "values": [1]},
    {"word": "let", "name": "__builtins__", "values": [1]},
    {"word": "for", "name": "x in [print()]\n  for y", "values": [1]},
    {"word": "set", "name": "a.__class__", "values": [1]},
    {"word": "submit", "name": "", "values": [["symbol", "print('code runs')"]]},
    {"word": "submit", "name": "", "values": []},
    {"word": "if", "name": "", "values": [True], "body": [{"word": "pass; print()", "values": []}]},
)


@pytest.mark.parametrize("statement", STATEMENTS, ids=str)
def test_no_handler_of_a_plan_can_bring_code(statement: dict[str, object]) -> None:
    """The same of handlers: their words are a closed set, their names plain names."""

    def whole(part: dict[str, Any]) -> dict[str, Any]:
        body = [whole(inner) for inner in part.get("body", [])]
        return {"name": "", "otherwise": [], **part, "body": body}

    data = json.loads(plan_of().to_json())
    handler = data["router"]["handlers"][0]
    handler["body"] = [whole(statement)]
    with pytest.raises(ValueError, match="plan"):
        tsdl.Plan.from_json(json.dumps(data))
    data = json.loads(plan_of().to_json())
    data["router"]["handlers"][0]["variables"] = ["r, x=print()"]
    with pytest.raises(ValueError, match="plan"):
        tsdl.Plan.from_json(json.dumps(data))


def test_a_text_of_a_handler_is_a_text_whatever_is_in_it() -> None:
    """No text can end the literal that it becomes, or be taken for a mark of the generator."""
    plan = rich_plan()
    text = plan.to_json().replace('"#1"', json.dumps("'); print('code') # \\ {x} \0"))
    result = tsdl.Plan.from_json(text).run()
    assert result.summary["requests"]["finished"] > 0
    assert any("code" in line for _, line in result.log)


def test_how_conditions_are_written_changes_no_hash() -> None:
    """Neither blanks nor comments in what is expected are anything that a run depends on."""
    one = """
    slo quick { ttft<=3 s }
    scenario s {
      model = llama2_7b; cluster = single(A100_80G); workload = sharegpt; slo = quick
      expect p99(ttft)<=2 s and (finished>1 or  # whichever
        rejected==0)
    }
    """
    other = one.replace("# whichever", "").replace("<=", " <= ").replace("==", " == ")
    first, second = tsdl.compile(one), tsdl.compile(other)
    assert first.expects[0].text != second.expects[0].text
    assert first.hash == second.hash != tsdl.compile(other.replace("2 s", "3 s")).hash
