"""What is proved of a plan: the rung of each group of workers, and the line that decides it."""

import json

import pytest
from msgspec.structs import replace

import tsdl
from tsdl.facts import Growth, facts_of, growth_of, is_falling
from tsdl.formula import Formula, Value, make, symbol
from tsdl.plan import Cost
from tsdl.rising import never_falls

ONE = """edition "2026"
{more}
policy mine from continuous {{
  local {{ {local} }}
  global {{ {shared} }}
}}
workload asked {{ {workload} }}
scenario it {{
  model = {model}; policy = mine; workload = asked
  cluster = {cluster}
}}
"""
TO_ONE = "r to pick(v by v.id for v in workers)"
REQUESTS = """requests = 5; arrivals = burst(); prompt = constant(40 tokens)
  output = constant(5 tokens)"""
TURNS = """sessions = 5; turns = constant(2); arrivals = burst(); prompt = constant(9 tokens)
  output = constant(5 tokens)"""
APART = """cluster two {
  worker first  { hardware = A100_80G; runs = prefill }
  worker second { hardware = A100_80G; runs = decode }
}"""


def plan_of(
    local: str = "",
    shared: str = "",
    workload: str = REQUESTS,
    cluster: str = "single(A100_80G)",
    more: str = "",
) -> tsdl.Plan:
    model = "marked" if "model marked" in more else "llama2_7b"
    text = ONE.format(
        local=local, shared=shared, workload=workload, cluster=cluster, more=more, model=model
    )
    return tsdl.compile(text)


@pytest.mark.parametrize(
    ("local", "shared", "rung", "part"),
    [
        ("", "", "lazy", ""),
        ("batching = static; max_requests = 4", "", "lazy", ""),
        ("preempt = swap; overhead = 1 ms * requests", "", "lazy", ""),
        ("admit r by r.prompt", "", "lazy", ""),
        ("evict r by -r.generated", "", "lazy", ""),
        ("admit r when kv.fill_with(r) <= 80 % or w.running == 0", "", "lazy", ""),
        ("on finish(r, w) { record \"done\", r.id }", "", "eager", "on finish"),
        ("", "on admit(r, w) { log r.id }", "eager", "on admit"),
        ("on token(r, w) when r.generated == 1 { log r.id }", "", "eager", "on token"),
        ("on token(r, w) { if r.generated == 1 { log r.id } }", "", "eager", "on token"),
        ("on token(r, w) { log r.id }", "", "reference", "on token"),
        ("on token(r, w) when r.generated == 2 { log r.id }", "", "reference", "on token"),
        ("on iteration(b, w) { record \"size\", b.decodes }", "", "stepped", "on iteration"),
        ("on preempt(r, w) { log r.id }", "", "stepped", "on preempt"),
        ("admit r when now > 1 s", "", "stepped", "admit when"),
        ("state n: number = 1; admit r when n > 0", "", "stepped", "admit when"),
        ("admit r by random(x.id for x in w.waiting)", "", "stepped", "admit by"),
        ("on every(1 s) { for r in w.active { log r.id } }", "", "reference", "on every"),
        ("on iteration(b, w) { for r in b.decoding { drop r } }", "", "reference", "on iteration"),
        ("evict r when kv.fill > 99 %", "", "reference", "evict when"),
        ("admit r when count(x for x in w.active) < 5", "", "reference", "admit when"),
        # Who is swapped out may wait for ever, for a condition or for who is handed over.
        ("preempt = swap; resume r when r.generated < 30", "", "reference", "resume when"),
        ("resume r when r.generated < 30", "", "lazy", ""),
        ("preempt = swap", f"on arrive(r) {{ dispatch {TO_ONE} }}", "lazy", ""),
        ("preempt = swap", f"on start(r, w) {{ dispatch {TO_ONE} }}", "reference", "on start"),
        ("", f"on start(r, w) {{ dispatch {TO_ONE} }}", "eager", "on start"),
        ("preempt = swap", f"on start(r, w) {{ transfer {TO_ONE} }}", "reference", "on start"),
        # An end anywhere gives back what it has sent ahead.
        ("", f"on start(r, w) {{ transfer {TO_ONE} }}", "stepped", "on start"),
    ],
)  # fmt: skip
def test_what_a_policy_says_decides_the_rung(local: str, shared: str, rung: str, part: str) -> None:
    plan = plan_of(local, shared)
    (found,) = plan.rungs
    assert (found.name, found.because[0].part if found.because else "") == (rung, part)
    assert facts_of(plan)[0].rung == rung
    if found.because:
        _, line, column = found.because[0].place.split(":")
        written = ONE.format(
            local=local, shared=shared, workload=REQUESTS, cluster="", more="", model=""
        )
        assert written.splitlines()[int(line) - 1][int(column) - 1 :].startswith(
            part.split(maxsplit=1)[0]
        )


def test_conversations_wait_for_answers() -> None:
    (found,) = plan_of(workload=TURNS).rungs
    assert (found.name, found.because[0].part) == ("eager", "turns")
    assert found.because[0].place == "<text>:7:40"


@pytest.mark.parametrize(
    ("footprint", "growth"),
    [
        ("round_up(r.context, block) * kv_per_token", Growth(16, 16 * 524288)),
        ("r.context * kv_per_token", Growth(1, 524288)),
        ("max_context * kv_per_token", Growth(1, 0)),
        ("round_up(r.prompt, 16) * kv_per_token", Growth(1, 0)),
        ("round_up(r.context, block) * kv_per_token / 2", Growth(16, 16 * 262144)),
        ("r.context * kv_per_token / 3", None),
        (
            "round_up(min(r.context, 400 tokens), block) * kv_per_token",
            Growth(16, 0, 16 * 524288, 400),
        ),
        ("min(90 tokens, r.context) * kv_per_token", Growth(1, 0, 524288, 90)),
        (
            "(round_up(r.context, block) + round_up(min(r.context, window), block)) * kv_per_token",
            None,  # as it is written: a sum of tokens
        ),
        (
            "round_up(r.context, 8) * kv_per_token + round_up(min(r.context, 90 tokens), 8)"
            " * kv_per_token / 2",
            Growth(8, 8 * 524288, 8 * 262144, 90),
        ),
        (
            "round_up(r.context, 8) * kv_per_token + min(r.context, 90 tokens) * kv_per_token",
            None,  # blocks of two sizes
        ),
        (
            "min(r.context, 9 tokens) * kv_per_token + min(r.context, 90 tokens) * kv_per_token",
            None,  # two windows
        ),
        ("min(r.context, r.prompt) * kv_per_token", None),
        ("r.context * kv_per_token + r.prompt * kv_per_token", None),
        ("r.prompt * kv_per_token + r.context * kv_per_token", None),
        ("r.prompt * kv_per_token + min(r.context, 9 tokens) * kv_per_token", None),
        ("min(r.context, 9 tokens) * kv_per_token + 1 MiB", Growth(1, 0, 524288, 9, 1 << 20)),
        ("round_up(r.context, 8) * kv_per_token + 1 MiB", Growth(8, 8 * 524288, fixed=1 << 20)),
        ("round_up(r.context, 8) * kv_per_token - 1 MiB", None),
        ("1 MiB + round_up(r.context, 8) * kv_per_token", Growth(8, 8 * 524288, fixed=1 << 20)),
        (
            "1 MiB + (round_up(r.context, 8) * kv_per_token + 2 MiB)",
            Growth(8, 8 * 524288, fixed=3 << 20),
        ),
        ("round_up(r.context, 8) * kv_per_token + 0.5 B", None),
        (
            "round_up(r.context, 8) * kv_per_token + r.prompt * kv_per_token"
            " + min(r.context, 9 tokens) * kv_per_token",
            None,
        ),
        ("(r.context + 1 token) * kv_per_token", None),
    ],
)
def test_how_kv_grows(footprint: str, growth: Growth | None) -> None:
    plan = plan_of(
        more=f"kvcache own from paged {{ footprint(r) = {footprint} }}\n"
        "cluster kept { worker gpu { hardware = A100_80G; kv = own } }",
        cluster="kept",
    )
    assert growth_of(plan.workers[0].kv) == growth
    (found,) = plan.rungs
    if growth is None:
        assert (found.name, found.because[0].part) == ("reference", "kvcache")
        assert found.because[0].place == "<text>:2:9"
    else:
        assert found.name == "lazy"


def test_each_group_has_a_rung_of_its_own() -> None:
    first, second = plan_of(
        "on token(r, w) when not w.decodes { submit r }",
        "on submit(r) { dispatch r to pick(w by w.kv.fill for w in workers if w.decodes) }",
        more=APART,
        cluster="two",
    ).rungs
    assert (first.group, first.name) == ("first", "eager")
    assert (second.group, second.name) == ("second", "lazy")


def test_a_breakpoint_stops_the_iterations_of_those_that_handle_it() -> None:
    marked = "model marked from llama2_7b { breakpoint half after block.attn when layer == 16 }"
    (found,) = plan_of("on half(batch, layer, w) { log layer }", more=marked).rungs
    assert (found.name, found.because[0].part) == ("reference", "on half")
    assert plan_of(more=marked).rungs[0].name == "lazy"


def test_a_rung_is_no_part_of_the_hash() -> None:
    one = plan_of("on finish(r, w) { log r.id }")
    moved = tsdl.compile("\n" + ONE.format(
        local="on finish(r, w) { log r.id }", shared="", workload=REQUESTS, model="llama2_7b",
        cluster="single(A100_80G)", more="",
    ))  # fmt: skip
    assert one.rungs != moved.rungs
    assert one.hash == moved.hash
    assert tsdl.Plan.from_json(one.to_json()).rungs == one.rungs


def test_a_plan_from_elsewhere_claims_nothing() -> None:
    plan = plan_of()
    (kind,) = plan.workers
    shrinking = make("*", -1, symbol("context"))
    assert growth_of(replace(kind.kv, footprint=shrinking)) is None
    claimed = json.loads(plan_of("on token(r, w) { log r.id }").to_json())
    claimed["rungs"][0] |= {"name": "lazy", "because": []}
    assert facts_of(tsdl.Plan.from_json(json.dumps(claimed)))[0].rung == "reference"
    backwards = json.loads(plan.to_json())
    backwards["workers"][0]["cost"]["stages"][1]["repeat"] = -1
    with pytest.raises(ValueError, match="repeats less than no time"):
        tsdl.Plan.from_json(json.dumps(backwards))


X, Y, NEWCOMERS = symbol("x"), symbol("y"), symbol("prefills")
FILL = Formula("field", (symbol("kv"), "fill"))
FREE = Formula("field", (symbol("kv"), "free"))
QUEUED = Formula("field", (symbol("w"), "queued"))


@pytest.mark.parametrize(
    ("value", "monotone"),
    [
        (3, True),
        (-1, False),
        (X, True),
        (make("+", make("*", 2, X), Y), True),
        (make("-", X, Y), False),
        (make("/", X, 2), True),
        (make("/", 2, X), False),
        (make("**", X, 1.41), True),
        (make("**", X, -1), False),
        (make("max", X, make("ceil", Y)), True),
        (make("if", make(">", X, 0), Y, 0), True),
        (make("if", make(">", X, 0), Y, 1), False),
        (make("if", make("<", X, 9), Y, 0), False),
        (make("if", make(">", X, 0), 3, 1), True),
        (make("if", make(">", X, 0), 1, 3), False),
        (make("-", 1, make("**", 0.9, X)), True),
        (make("-", 1, make("**", 1.1, X)), False),
        (make("-", 0.5, make("**", 0.9, X)), False),  # below 0 at first
        (make("if", make(">", NEWCOMERS, 0), make("/", Y, NEWCOMERS), 0), True),
        (make("if", make(">", X, 0), make("/", Y, X), 0), False),
        (make("if", make(">=", NEWCOMERS, 0), make("/", Y, NEWCOMERS), 0), False),
        (make("if", make(">", NEWCOMERS, 0), make("-", 1, Y), 0), False),
    ],
)
def test_what_never_falls(value: Value, monotone: bool) -> None:
    assert never_falls(Cost("own", (), value)) is monotone


def test_a_formula_that_shares_its_parts_is_walked_once() -> None:
    value: Value = X
    for _ in range(200):
        value = Formula("+", (value, value))
    assert never_falls(Cost("own", (), value))


@pytest.mark.parametrize(
    ("condition", "falling"),
    [
        (make("<=", FILL, 0.8), True),
        (make(">", FREE, 5), True),
        (make(">", FILL, 0.8), False),
        (make("<", QUEUED, 3), False),
        (make("and", make("<=", FILL, 0.8), make(">", FREE, 5)), True),
        (make("or", make("<=", FILL, 0.8), make("<", QUEUED, 3)), False),
        (Formula("not", (make(">", FILL, 0.8),)), True),
        (Formula("not", (Formula("not", (make(">", FILL, 0.8),)),)), False),
    ],
)
def test_a_refusal_that_stays(condition: Value, falling: bool) -> None:
    assert is_falling(condition) is falling
