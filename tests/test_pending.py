"""Requests that wait at the router: in what order they are asked again, and who holds up whom."""

import numpy as np
import pytest

import tsdl
from tests.engines import compared_text
from tests.told import records
from tsdl.cli.plantext import describe
from tsdl.runtime.result import Result
from tsdl.runtime.text import summary

# Each request takes a second; one runs at a time where the handler lets it.
FILE = """
attribute kind: int
cost second {{ iteration = 1 s }}
policy own from continuous {{
  local {{ max_requests = 9 }}
  global {{
    {queue}
    {handlers}
    on arrive(r) {{ {dispatch} }}
  }}
}}
cluster c {{
  worker a {{ hardware = A100_80G; cost = second }}
  worker b {{ hardware = A100_80G; cost = second }}
}}
workload w {{
  {arrivals}; prompt = constant(9 tokens); output = constant(1 tokens)
  priority = choice(0: 50 %, 1: 50 %); attributes {{ kind = uniform(0..2) }}
}}
scenario s {{ model = llama2_7b; cluster = c; policy = own; workload = w; {scenario} }}
"""
ALONE = "dispatch r to pick(w by w.id for w in workers if w.id == 0 and w.outstanding == 0)"
ENGINES = pytest.mark.parametrize("engine", ["fast", "reference"])


def text_of(
    queue: str, dispatch: str = ALONE, handlers: str = "", scenario: str = "",
    arrivals: str = "requests = 12; arrivals = burst()",
) -> str:  # fmt: skip
    return FILE.format(
        queue=queue, dispatch=dispatch, handlers=handlers, scenario=scenario, arrivals=arrivals
    )


def run(queue: str, engine: str, dispatch: str = ALONE, **more: str) -> Result:
    return tsdl.compile(text_of(queue, dispatch, **more)).run(engine=engine)


def begun(result: Result) -> list[int]:
    """Return the requests in the order in which they were begun."""
    found: list[int] = np.argsort(result.requests["started"], kind="stable").tolist()
    return found


@ENGINES
def test_without_a_word_they_wait_as_they_came(engine: str) -> None:
    assert begun(run("", engine)) == [*range(12)]


@ENGINES
def test_by_a_key_the_least_is_next_and_among_equals_who_came_first(engine: str) -> None:
    result = run("queue r by -r.priority", engine)
    classes = result.requests["priority"][begun(result)[1:]].tolist()  # the first found it idle
    assert classes == sorted(classes, reverse=True)
    assert 0 < sum(classes) < 11
    for one in (0, 1):
        of_one = [i for i in begun(result)[1:] if result.requests["priority"][i] == one]
        assert of_one == sorted(of_one)


@ENGINES
def test_a_newcomer_whose_turn_it_is_is_asked_at_once(engine: str) -> None:
    """One with a higher priority goes to the other worker, which takes no one else."""
    send = (
        "if r.priority == 1 { dispatch r to pick(w by w.id for w in workers if w.id == 1) } "
        f"else {{ {ALONE} }}"
    )
    arrivals = "requests = 12; arrivals = uniform(4 req/s)"
    result = run("queue r by -r.priority", engine, send, arrivals=arrivals)
    found = result.requests
    high = found["priority"] == 1
    assert (found["queue"][high] < 1 + 1e-9).all()  # at most until the next boundary
    assert found["queue"][~high].max() > 2
    assert run("", engine, send, arrivals=arrivals).requests["queue"][high].max() > 2


@ENGINES
def test_who_stays_holds_up_those_of_its_lane_alone(engine: str) -> None:
    """Nobody of kind 0 is ever taken."""
    send = "if r.kind > 0 { dispatch r to pick(w by w.outstanding for w in workers) }"
    every = run("", engine, send)
    lanes = run("queue r in r.kind", engine, send)
    kinds = lanes.requests["kind"]
    finished = lanes.requests["status"] == "finished"
    assert (finished == (kinds > 0)).all()
    assert 0 < finished.sum() < 12
    first = kinds.tolist().index(0)
    assert (every.requests["status"] == "finished").tolist() == [i < first for i in range(12)]
    assert [len(group.requests) for group in lanes.stuck] == [(kinds == 0).sum()]


@ENGINES
def test_keys_may_change_while_they_wait(engine: str) -> None:
    """Fair among kinds by what each was given, which changes with each dispatch."""
    result = run(
        "state given: number[session]; queue r by given[r.kind], r.id", engine,
        f"{ALONE}; given[r.kind] += 1",
    )  # fmt: skip
    kinds, given, waiting = result.requests["kind"], [0, 0, 0], [*range(12)]
    for number, chosen in enumerate(begun(result)):
        if number:
            assert chosen == min(waiting, key=lambda i: (given[kinds[i]], i))
        waiting.remove(chosen)
        given[kinds[chosen]] += 1


@ENGINES
@pytest.mark.parametrize("lane", ["", "in r.kind", "in given[r.kind] >= 2"])
def test_keys_may_change_while_several_are_taken_at_once(engine: str, lane: str) -> None:
    """With each end of an iteration four go, and each changes whose turn is next."""
    send = ALONE.replace("outstanding == 0", "outstanding < 4")
    result = run(
        f"state given: number[session]; queue r {lane} by given[r.kind], r.id", engine,
        f"{send}; given[r.kind] += 1; log r.id",
    )  # fmt: skip
    kinds, given, waiting = result.requests["kind"], [0, 0, 0], [*range(12)]
    for number, chosen in enumerate(int(text) for _, text in result.log):
        if number >= 4:  # those before found room as they came
            assert chosen == min(waiting, key=lambda i: (given[kinds[i]], i))
        waiting.remove(chosen)
        given[kinds[chosen]] += 1
    assert not waiting


@ENGINES
def test_policies_see_who_waits_but_for_the_one_asked_about(engine: str) -> None:
    handlers = 'on every(1500 ms) { record "timer", count(r for r in pending) }'
    send = f'record "met", count(q for q in pending); {ALONE}'
    result = run("", engine, send, handlers=handlers)
    met = [value for _, value in records(result, "met")]
    assert met[0] == 0
    assert 10 in met  # of twelve, one runs and one is asked
    assert max(met) == 10
    # At 1.5 s one has ended, one runs, and ten wait.
    assert records(result, "timer")[:2] == [(1.5, 10), (3.0, 9)]


@ENGINES
@pytest.mark.parametrize("scenario", ["sample = 500 ms", "timeseries = changes"])
def test_the_router_has_rows_of_its_own_where_anybody_waited(engine: str, scenario: str) -> None:
    result = run("", engine, scenario=scenario)
    rows = result.timeseries["worker"] == -1
    queued = dict(
        zip(result.timeseries["time"][rows], result.timeseries["queued"][rows], strict=True)
    )
    assert queued[max(time for time in queued if time < 1)] == 11
    assert max(queued.values()) == 11
    assert queued[max(queued)] == 0
    assert set(result.timeseries["running"][rows]) == {0}
    times = result.timeseries["time"].tolist()
    assert times == sorted(times)
    free = run("", engine, "dispatch r to random(w for w in workers)", scenario=scenario)
    assert -1 not in free.timeseries["worker"]


def test_engines_agree_on_all_of_it() -> None:
    for queue in (
        "queue r by r.kind, -r.prompt", "queue r in r.kind", "queue r in r.priority == 1 by r.kind",
        "state s: number[session]; queue r in r.kind by s[r.priority]",
        "queue r by (r.arrived - now) * r.kind",
    ):  # fmt: skip
        send = f"if r.kind == 1 or now > 4 s {{ {ALONE} }}"
        ended = compared_text(
            text_of(queue, send, handlers="on every(700 ms) { log count(r for r in pending) }")
        )
        assert ended.how == "done"


def test_one_that_derives_has_the_queue_of_its_base_unless_it_says_another() -> None:
    more = "policy next from own {{ global {{ {} }} }}\n"
    text = text_of("queue r in r.kind by r.id").replace("policy = own", "policy = next")
    plan = tsdl.compile(text + more.format(""))
    assert (str(plan.router.lane), [*map(str, plan.router.queue_by)]) == ("r.kind", ["r.id"])
    plan = tsdl.compile(text + more.format("queue q by -q.prompt"))
    assert (plan.router.lane, [*map(str, plan.router.queue_by)]) == (None, ["-r.prompt"])
    again = tsdl.Plan.from_json(plan.to_json())
    assert again.router.queue_by == plan.router.queue_by


@pytest.mark.parametrize(
    ("queue", "code"),
    [
        ("queue r", "E0412"),
        ("queue by r.id", "E0412"),
        ("queue r by r.id; queue q by q.id", "E0403"),
        ("queue r by r.id when r.id > 3", "E0412"),
        ("queue r by workers", "E0201"),
        ("queue r in count(q for q in pending)", "E0201"),
        ("let least = min(w.queued for w in workers); queue r by least", "E0502"),
        ("queue r in r.idd", "E0307"),
        ('queue r in "gold"', "E0304"),
        ("queue r by r.id { }", "E0412"),
    ],
)
def test_mistakes_are_told(queue: str, code: str) -> None:
    assert code in {found.code for found in tsdl.check(text_of(queue))}


def test_a_key_that_has_no_value_is_told_with_its_place() -> None:
    with pytest.raises(tsdl.TsdlError, match="queue by") as raised:
        run("queue r by 1 / r.kind", "fast")
    assert raised.value.diagnostics[0].code == "E0901"
    assert "<text>:7:" in str(raised.value)


def test_the_plan_shows_it() -> None:
    shown = describe(tsdl.compile(text_of("queue r in r.kind by -r.priority")))
    assert "queue r in r.kind by -r.priority" in shown
    assert "12 finished" in summary(run("queue r by r.id", "fast"))


SCALED = """
metric there: number
cost second {{ iteration = 1 s }}
policy own from continuous {{
  local {{ max_requests = 1 }}
  global {{
    on arrive(r) {{
      if now >= 2 s {{ {scale} }}
      record there, count(q for q in pending if q.id == r.id)
      dispatch r to pick(w by w.id for w in workers if w.outstanding < 2 and now != 2 s)
    }}
    on every(900 ms) {{ if now < 1 s {{ scale a to 2 }} }}
    on every(1900 ms) {{ if now < 2 s {{ scale a to 1 }} }}
  }}
}}
cluster c {{ worker a * 1..2 {{ hardware = A100_80G; cost = second }} }}
workload w {{
  requests = 9; arrivals = burst(); prompt = constant(9 tokens); output = constant(2 tokens)
}}
scenario s {{ model = llama2_7b; cluster = c; policy = own; workload = w }}
"""


@ENGINES
def test_a_handler_that_has_workers_back_goes_on_before_others_are_asked(engine: str) -> None:
    result = tsdl.compile(SCALED.format(scale="scale a to 2")).run(engine=engine)
    assert max(value for _, value in records(result, "there")) == 0
    assert (result.requests["status"] == "finished").all()


@ENGINES
def test_a_handler_that_has_workers_back_each_time_goes_round_and_round(engine: str) -> None:
    plan = tsdl.compile(SCALED.format(scale="scale a to 1; scale a to 2"))
    with pytest.raises(tsdl.TsdlError, match="round and round") as raised:
        plan.run(engine=engine)
    assert raised.value.diagnostics[0].code == "E0903"
