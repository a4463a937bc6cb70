"""`let` in a stage of a policy: a formula of what its handlers and its clauses know."""

import pytest

import tsdl
from tests.engines import files_of

SERVED = """
workload chat from sharegpt(rate = 14 req/s) { requests = 250 }
cluster pair { worker gpu * 2 { hardware = A100_40G; kv = small } }
kvcache small from paged { utilization = 55 % }
scenario s { model = llama2_7b; cluster = pair; workload = chat; policy = it }
"""
NAMED = """
policy it from continuous {
  local {
    admit r when kv.final(r) <= room / 2 or w.running == 0
    evict r by -age(r.arrived) {age}
    let room     = kv.capacity - reserved - kept * 1 MiB
    let reserved = sum(kv.final(q) for q in w.active)
    state kept: number = 0
    on start(r, w) { kept += 1 }
    on finish(r, w) when kept >= 1 { kept -= 1; record "room", room / 1 GiB }
  }
  global {
    state sent: number[worker]
    let most   = max(sent[v] for v in workers)
    let spread = most - min(sent[v] for v in workers)
    on arrive(r) {
      let w = pick(v by sent[v] + spread * v.kv.fill for v in workers)
      sent[w] += r.prompt / 1 token
      record "spread", spread
      dispatch r to w
    }
  }
}
""".replace("-age(r.arrived) {age}", "r.arrived")
RESERVED = "sum(kv.final(q) for q in w.active)"
MOST = "max(sent[v] for v in workers)"
WRITTEN = (
    NAMED.replace("    let room     = kv.capacity - reserved - kept * 1 MiB\n", "")
    .replace("    let reserved = sum(kv.final(q) for q in w.active)\n", "")
    .replace("    let most   = max(sent[v] for v in workers)\n", "")
    .replace("    let spread = most - min(sent[v] for v in workers)\n", "")
    .replace("room / ", f"(kv.capacity - {RESERVED} - kept * 1 MiB) / ")
    .replace("spread * v", f"({MOST} - min(sent[v] for v in workers)) * v")
    .replace('"spread", spread', f'"spread", {MOST} - min(sent[v] for v in workers)')
)


def test_a_formula_is_that_of_what_is_written_out() -> None:
    assert "let most" not in WRITTEN
    named, written = (tsdl.compile(text + SERVED) for text in (NAMED, WRITTEN))
    assert named.workers[0].local.admit_when == written.workers[0].local.admit_when
    results = [plan.run() for plan in (named, written)]
    first, second = (files_of(result) for result in results)
    assert first["requests.csv"] == second["requests.csv"]
    assert first["records.csv"] == second["records.csv"]
    assert len(set(results[0].records["value"])) > 50  # it is computed where it is read
    reference = named.run(engine="reference")
    assert files_of(reference) == first


def admitted(local: str, policies: str = "") -> object:
    """Return the condition of admission of a policy whose local stage holds so much."""
    policy = f"policy it from continuous {{ local {{ {local} }} }}\n{policies}"
    return tsdl.compile(policy + SERVED).workers[0].local.admit_when


def test_no_variable_hides_what_it_reads() -> None:
    hidden = "let fill = kv.fill; admit r when sum(fill for kv in w.active) < 50"
    assert str(admitted(hidden)) == "sum(kv.fill for kv_ in w.active) < 50"
    policy = """
    policy it from continuous {
      local  { let running = w.running; on start(r, w) { record "here", running - w.running } }
      global { let all = count(w for w in workers); on finish(r, w) { record "all", w.id + all } }
    }
    """
    records = tsdl.compile(policy + SERVED).run().records
    values = dict.fromkeys(zip(records["name"], records["value"], strict=True))
    assert sorted(values) == [("all", 2.0), ("all", 3.0), ("here", 0.0)]


def test_what_is_derived_may_say_it_otherwise() -> None:
    rule = "let room = kv.free; admit r when room > kv.final(r)"
    base = f"policy base_one from continuous {{ local {{ {rule} }} }}"
    half = "policy it from base_one { local { let room = base.local.room / 2 } }\n"
    plan = tsdl.compile(f"{base}\n{half}{SERVED}")
    assert plan.workers[0].local.admit_when == admitted("admit r when kv.free / 2 > kv.final(r)")


@pytest.mark.parametrize(
    ("stage", "code", "place"),
    [
        ("let full = kv.fill; overhead = full * 1 ms", "E0502", "full * 1 ms"),
        ("let since = now; overhead = since", "E0502", "since"),
        ("state n: number; let some = n; overhead = some * 1 s", "E0502", "some * 1 s"),
        ("let full = kv.fill; max_requests = 9 * full", "E0502", "9 * full"),
        ("let full = kv.fill; overlap { when = full > 1 }", "E0502", "full > 1"),
        ("let full = kv.fill; overlap { let busy = full > 1; when = busy }", "E0502", "busy"),
        ("let full = kv.fill; state n: number = full", "E0502", "full"),
        ("let need = kv.final(r)", "E0201", "r"),
        ("let w = 3", "E0206", "w"),
        ("let n = 3; state n: number", "E0206", "n"),
        ("let one = random(q for q in w.active)", "E0305", "random(q for q in w.active)"),
        ("state n: number[request]; let one = n", "E0306", "n"),
        ("let a = kv.fill + b; let b = a", "E0501", "a"),
        ("let a = kv.fill; admit r when a", "E0304", "a"),
    ],
)
def test_what_is_wrong_is_told(stage: str, code: str, place: str) -> None:
    policy = f"policy it from continuous {{ local {{ {stage} }} }}"
    found = next(d for d in tsdl.check(policy + SERVED) if d.severity == tsdl.Severity.ERROR)
    assert (found.code, found.span.text if found.span else "") == (code, place)


@pytest.mark.parametrize(
    "derived",
    [
        'global { on arrive(r) { record "z", base.local.z; reject r } }',
        'global { on finish(r, w) { record "z", base.local.z } }',
        'global { on finish(r, v) { record "z", sum(base.local.z for w in workers) } }',
        'let q = base.local.z; local { on start(r, w) { record "z", q } }',
        "local { overhead = base.local.z * 1 ms }",
    ],
)
def test_what_a_base_says_of_another_stage_is_not_known(derived: str) -> None:
    """It had taken variables and state of the same name from where it was read."""
    base = "policy one from continuous { local { state n: number; let z = n + w.kv.fill } }\n"
    found = tsdl.check(f"{base}policy it from one {{ {derived} }}\n{SERVED}")
    errors = [(d.code, d.span.text if d.span else "") for d in found if d.code[0] == "E"]
    assert errors in ([("E0502", "base.local.z")], [("E0502", "base.local.z * 1 ms")])


SAYS = "let n = 3; admit r when r.prompt > n"
COUNTS = "state n: number; on start(r, w) { n += 1 }"


def one(name: str, bases: str, stage: str) -> str:
    return f"policy {name} from {bases} {{ local {{ {stage} }} }}\n"


@pytest.mark.parametrize(
    ("policies", "code"),
    [
        (one("b", "continuous", SAYS) + one("it", "b", COUNTS), "E0206"),
        (one("b", "continuous", COUNTS) + one("it", "b", SAYS), "E0206"),
        (
            one("a", "continuous", SAYS)
            + one("b", "continuous", COUNTS)
            + "policy it from a, b {}\n",
            "E0206",
        ),
        (one("b", "continuous", COUNTS) + one("it", "b", "state n: number[request]"), "E0420"),
        (one("b", "continuous", COUNTS) + one("it", "b", "state n: time"), "E0420"),
    ],
)
def test_a_name_is_one_thing_to_all_clauses_of_a_stage(policies: str, code: str) -> None:
    found = [d.code for d in tsdl.check(policies + SERVED) if d.severity == tsdl.Severity.ERROR]
    assert code in found


def test_what_is_known_before_a_run_is_known_everywhere() -> None:
    base = "policy one from continuous { local { let z = 3 } }\n"
    derived = 'policy it from one { global { on finish(r, w) { record "z", base.local.z } } }\n'
    result = tsdl.compile(base + derived + SERVED).run()
    assert set(result.records["value"]) == {3.0}


def test_a_formula_that_doubles_at_each_let_ends() -> None:
    lets = "; ".join(f"let a{n} = a{n - 1} * a{n - 1} + a{n - 1}" for n in range(1, 30))
    rule = f"local {{ let a0 = kv.fill; {lets}; admit r when a29 < 1 }}"
    (found,) = tsdl.check(f"policy it from continuous {{ {rule} }}\n{SERVED}")
    assert found.code == "E0104"
