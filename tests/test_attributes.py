"""Attributes of requests: drawn, brought by files, read by policies, and asked about."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tsdl
from tests.engines import compared
from tests.test_plan_values import put
from tests.told import records
from tsdl.facts import facts_of
from tsdl.reports.results import Run
from tsdl.reports.results import read as read_results
from tsdl.reports.tables import classes
from tsdl.runtime.arrivals import generate
from tsdl.runtime.files import write
from tsdl.runtime.text import summary

# Names that Python has, or the engine: whatever people call them, they are only names.
DECLARED = """
attribute tenant: int
attribute class: int = 2
attribute active: time = 3 s
attribute type: number
"""
WORKLOAD = """
workload own {
  requests = 200
  arrivals = poisson(40 req/s)
  prompt   = uniform(10..400 tokens)
  output   = uniform(1..40 tokens)
  attributes {
    tenant = zipf(4, exponent = 0.5)
    active = uniform(1 s..9 s step 1 s)
    type = uniform(0..1 step 0.25)
  }
}
"""
POLICY = """
policy picky from chunked {
  local {
    max_requests = 4
    state served: tokens[session]
    on finish(r, w) when r.class == 2 { served[r.tenant] += r.output }
    admit r by ORDER
  }
}
"""
SCENARIO = """
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = picky; workload = own; SLO }
"""


def plan_of(
    order: str = "r.tenant, r.active", *, slo: str = "", more: str = "", workload: str = WORKLOAD
) -> tsdl.Plan:
    """Return the plan of a scenario whose policy admits in some order."""
    text = DECLARED + workload + POLICY.replace("ORDER", order) + more
    return tsdl.compile(text + SCENARIO.replace("SLO", slo))


@pytest.fixture(scope="module")
def result() -> tsdl.Result:
    return plan_of().run()


def test_they_are_drawn_and_whole_ones_are_whole(result: tsdl.Result) -> None:
    requests = result.requests
    assert list(requests)[-4:] == ["active", "class", "tenant", "type"]
    assert requests["tenant"].dtype == requests["class"].dtype == np.int64
    assert set(requests["tenant"].tolist()) == {1, 2, 3, 4}
    assert set(requests["class"].tolist()) == {2}
    assert set(requests["active"].tolist()) == set(range(1, 10))
    assert set(requests["type"].tolist()) == {0.0, 0.25, 0.5, 0.75, 1.0}


def test_they_change_nothing_else_that_is_drawn(result: tsdl.Result) -> None:
    plain = plan_of("r.arrived")
    less = plan_of(
        "r.arrived", workload=WORKLOAD.replace("    type = uniform(0..1 step 0.25)\n", "")
    )
    for name in ("arrived", "prompt", "output", "tenant", "active"):
        wanted = result.requests[name].tolist()
        assert plain.run().requests[name].tolist() == less.run().requests[name].tolist() == wanted
    assert less.run().requests["type"].tolist() == [0.0] * 200


def test_a_range_without_a_step_is_continuous_but_of_an_int() -> None:
    drawn = WORKLOAD.replace("1 s..9 s step 1 s", "1 s..2 s").replace(
        "zipf(4, exponent = 0.5)", RANGE
    )
    found = generate(plan_of(workload=drawn).workload, 0).attributes
    assert len(set(found["active"].tolist())) == 200
    assert 1 <= found["active"].min() < found["active"].max() <= 2
    assert set(found["tenant"].tolist()) == {1, 2, 3, 9}


RANGE = "choice(uniform(1..3): 1, 9: 1)"


def test_what_is_drawn_beyond_all_measure_is_cut() -> None:
    wide = WORKLOAD.replace("zipf(4, exponent = 0.5)", "lognormal(mean = 1e20, sigma = 1)")
    found = generate(plan_of(workload=wide).workload, 0).attributes["tenant"]
    assert set(found.tolist()) == {2**53}


def test_zipf_draws_each_as_often_as_it_says() -> None:
    many = WORKLOAD.replace("requests = 200", "requests = 40_000").replace("0.5)", "2)", 1)
    found = Counter(generate(plan_of(workload=many).workload, 5).attributes["tenant"].tolist())
    weights = [k**-2.0 for k in range(1, 5)]
    for k, weight in enumerate(weights, 1):
        share = weight / sum(weights)
        assert found[k] / 40_000 == pytest.approx(share, abs=4 * (share / 40_000) ** 0.5)


@pytest.mark.parametrize(
    "order",
    [
        "r.tenant, r.active", "-r.type, r.id", "r.arrived + r.active", "served[r.tenant], r.id",
        "r.prompt * 1 s / 1 token if r.tenant == 1 else r.active",
    ],
)  # fmt: skip
def test_policies_read_them_and_engines_agree(order: str) -> None:
    assert compared(plan_of(order)).how == "done"


def test_who_is_admitted_first_is_who_the_policy_says() -> None:
    burst = WORKLOAD.replace("poisson(40 req/s)", "burst()")
    requests = plan_of("r.tenant, -r.active, r.id", workload=burst).run().requests
    keys = zip(requests["tenant"], -requests["active"], requests["id"], strict=True)
    together: dict[float, list[tuple[float, ...]]] = {}
    for started, key in zip(requests["started"].tolist(), keys, strict=True):
        together.setdefault(started, []).append(tuple(map(float, key)))
    order = [key for _, group in sorted(together.items()) for key in sorted(group)]
    assert len(together) > 40
    assert order == sorted(order)


def test_to_read_them_costs_no_rung() -> None:
    asked = plan_of("r.tenant, r.active\n    admit r when r.tenant < 9 or kv.fill < 50 %")
    [facts] = facts_of(asked)
    assert [reason.part for reason in facts.reasons] == ["on finish"]
    assert facts.refusal_stays
    [facts] = facts_of(plan_of("served[r.tenant]"))
    assert "admit by" in [reason.part for reason in facts.reasons]


SLO = "slo = in_time; expect attainment(where = tenant == 2) >= 0; expect max(type) >= 0; "
SLO += "expect mean(active, where = class == 2 and tenant > 1) >= 0 s; expect type <= 1"


def test_results_are_asked_by_them() -> None:
    more = "slo in_time { e2e <= active; ttft <= (1 s if tenant == 1 else 5 s) }\n"
    result = plan_of(slo=SLO, more=more).run()
    requests = result.requests
    first = requests["tenant"] == 1
    good = (requests["e2e"] <= requests["active"]) & (requests["ttft"] <= np.where(first, 1, 5))
    those = requests["tenant"] == 2
    found = [expectation.value for expectation in result.expectations]
    assert found[0] == good[those].sum() / those.sum()
    assert found[1] == requests["type"].max()
    assert found[2] == pytest.approx(requests["active"][~first].mean(), rel=1e-15)
    assert all(expectation.passed for expectation in result.expectations)


def test_the_summary_tells_whole_ones_of_few_values_apart(result: tsdl.Result) -> None:
    lines = summary(result).splitlines()
    [head] = [i for i, line in enumerate(lines) if line.split()[:2] == ["tenant", "requests"]]
    rows = [line.split() for line in lines[head + 1 : head + 5]]
    counts = Counter(result.requests["tenant"].tolist())
    assert [(int(row[0]), int(row[1])) for row in rows] == sorted(counts.items())
    assert not [line for line in lines if line.split()[:1] in (["class"], ["active"])]


def test_all_turns_of_a_conversation_have_the_same() -> None:
    talks = WORKLOAD.replace("requests = 200", "sessions = 60; turns = uniform(1..4)")
    plan = plan_of(workload=talks)
    assert compared(plan).how == "done"
    requests = plan.run().requests
    of_each: dict[int, set[tuple[int, float]]] = {}
    for session, *own in zip(*(requests[n] for n in ("session", "tenant", "type")), strict=True):
        of_each.setdefault(int(session), set()).add(tuple(own))
    assert len(requests["id"]) > len(of_each) == 60
    assert all(len(found) == 1 for found in of_each.values())


def test_who_sends_in_a_closed_loop_has_those_of_its_row() -> None:
    loop = WORKLOAD.replace("arrivals = poisson(40 req/s)", "concurrency = 7")
    plan = plan_of(workload=loop)
    assert compared(plan).how == "done"
    requests = plan.run().requests
    rows = plan_of(workload=WORKLOAD).run().requests
    assert requests["tenant"].tolist() == rows["tenant"][requests["session"]].tolist()


def test_parts_of_a_mix_draw_their_own() -> None:
    parts = WORKLOAD.replace("workload own", "workload first") + """
workload second {
  requests = 20; arrivals = poisson(3 req/s)
  prompt = constant(9 tokens); output = constant(5 tokens)
  attributes { tenant = constant(9) }
}
workload own { mix = [first, second] }
"""  # fmt: skip
    plan = plan_of(workload=parts, slo="expect finished(where = tenant == 9) == 20 req")
    assert compared(plan).how == "done"
    result = plan.run()
    requests = result.requests
    assert result.expectations[0].passed
    nine = requests["tenant"] == 9
    assert set(requests["active"][nine].tolist()) == {3.0}
    assert len(set(requests["active"][~nine].tolist())) == 9


def test_acceptance_of_drafts_may_read_them() -> None:
    drafts = "speculate { tokens = 2 tokens; acceptance(r) = 90 % if r.tenant == 1 else 10 % }"
    plan = plan_of("r.id\n    " + drafts)
    assert compared(plan).how == "done"
    requests = plan.run().requests
    first, long = requests["tenant"] == 1, requests["output"] > 20
    assert requests["tpot"][first & long].mean() < requests["tpot"][~first & long].mean()


def test_policies_in_python_read_those_that_they_say() -> None:
    source = DECLARED + WORKLOAD + """
policy shown from chunked { extern = "own"; reads = [r.tenant, r.active] }
scenario s { model = llama2_7b; cluster = replicas(A100_80G, 3); policy = shown; workload = own }
"""  # fmt: skip
    seen = []

    def choose(request: Any, workers: Any) -> Any:  # noqa: ANN401
        seen.append((request.tenant, request.active))
        with pytest.raises(AttributeError):
            _ = request.type
        return workers[request.tenant % 3]

    requests = tsdl.compile(source, externs={"own": choose}).run().requests
    assert seen == list(zip(requests["tenant"], requests["active"], strict=True))
    assert requests["worker"].tolist() == (requests["tenant"] % 3).tolist()


# -- plans -----------------------------------------------------------------------------------------


def test_a_plan_knows_them_by_whatever_name(result: tsdl.Result) -> None:
    plan = plan_of("r.class, r.active, r.type, served[r.tenant]", slo="expect max(class) == 2")
    again = tsdl.Plan.from_json(plan.to_json())
    assert again.hash == plan.hash
    assert again.run().requests["started"].tolist() == plan.run().requests["started"].tolist()


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("workload.attributes.0.name", "zebra", "in the order of their names"),
        ("workload.attributes.1.name", "active", "in the order of their names"),
        ("workload.attributes.2.draw.name", "nope", "there is no 'nope'"),
        (
            "workload.attributes.2.draw",
            {"name": "rows", "parameters": [], "values": [1.0], "parts": []},
            "of other rows",
        ),
        ("expects.0.formula", ["==", ["symbol", "attribute_none"], 1], "what no run has"),
    ],
)
def test_a_plan_that_says_otherwise_is_refused(path: str, value: object, told: str) -> None:
    data = json.loads(plan_of(slo="expect max(class) == 2").to_json())
    put(data, path, value)
    with pytest.raises(ValueError, match=told):
        tsdl.Plan.from_json(json.dumps(data))


# -- files -----------------------------------------------------------------------------------------


def test_a_workload_reads_its_own_fields_and_names() -> None:
    own = WORKLOAD.replace("attributes {", "let many = 3; prefixes = 4; attributes {")
    own = own.replace("zipf(4, exponent = 0.5)", "zipf(many * prefixes)")
    own = own.replace("output ", "prefix = constant(9 tokens); output ")
    assert plan_of(workload=own).run().requests["tenant"].max() > 8


TRACE = """arrived_at,num_prefill_tokens,num_decode_tokens,user,weight
0,100,4,alice,0.5
1,101,4,bob,1e3
2,102,4,alice,-7
3,103,4,carol,0
"""
REPLAY = """attribute tenant: int
attribute weight: number
workload own { trace = "t.csv"; columns { tenant = "user"; weight = "weight" }; MORE }
scenario s { model = llama2_7b; cluster = single(A100_80G); workload = own }
"""


def compiled(folder: Path, text: str = TRACE, more: str = "", program: str = REPLAY) -> tsdl.Plan:
    (folder / "t.csv").write_text(text)
    (folder / "a.tsim").write_text(program.replace("MORE", more))
    return tsdl.compile(folder / "a.tsim")


def test_a_column_brings_numbers_or_texts_that_become_numbers(tmp_path: Path) -> None:
    plan = compiled(tmp_path)
    assert compared(plan).how == "done"
    requests = plan.run().requests
    assert requests["tenant"].tolist() == [0, 1, 0, 2]
    assert requests["weight"].tolist() == [0.5, 1000.0, -7.0, 0.0]
    assert tsdl.Plan.from_json(plan.to_json()).hash == plan.hash


@pytest.mark.parametrize(
    "ids", [("1234567890123456789", "1234567890123456788"), ("3", "x"), ("nan", "3")]
)
def test_what_no_double_tells_apart_are_texts(tmp_path: Path, ids: tuple[str, str]) -> None:
    text = TRACE.replace("alice", ids[0]).replace("bob", ids[1])
    assert compiled(tmp_path, text).run().requests["tenant"].tolist() == [0, 1, 0, 2]


def test_policies_and_results_see_the_same_of_turns_whose_lengths_are_drawn(tmp_path: Path) -> None:
    program = """attribute tenant: int
policy told from chunked {
  local { on finish(r, w) { record "tenant", r.tenant; record "id", r.id } }
}
workload own {
  lengths = "t.csv"; columns { tenant = "user" }; arrivals = poisson(5 req/s)
  sessions = 20; turns = constant(3); think = constant(1 s)
}
scenario s { model = llama2_7b; cluster = single(A100_80G); workload = own; policy = told }
"""
    plan = compiled(tmp_path, program=program)
    assert compared(plan).how == "done"
    result = plan.run()
    tenants, ids = ([value for _, value in records(result, name)] for name in ("tenant", "id"))
    wanted = result.requests["tenant"]
    assert tenants == [wanted[int(number)] for number in ids]
    assert wanted.tolist() == np.array([0, 1, 0, 2])[own(result)].tolist()


def own(result: tsdl.Result) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the row of the file that each request is of, which its own new tokens tell."""
    turn, session = result.requests["turn"], result.requests["session"]
    prompt, output = result.requests["prompt"], result.requests["output"]
    before = {(s, t): p + o for s, t, p, o in zip(session, turn, prompt, output, strict=True)}
    said = [before.get((s, t - 1), 0) for s, t in zip(session, turn, strict=True)]
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = prompt - np.array(said) - 100
    return found


def test_times_that_are_sped_up_leave_them(tmp_path: Path) -> None:
    requests = compiled(tmp_path, more="speed = 4; requests = 3").run().requests
    assert requests["arrived"].tolist() == [0.0, 0.25, 0.5]
    assert requests["tenant"].tolist() == [0, 1, 0]


def test_a_request_that_draws_a_row_has_those_of_it(tmp_path: Path) -> None:
    drawn = REPLAY.replace("trace", "arrivals = poisson(9 req/s); requests = 60; lengths")
    plan = compiled(tmp_path, more="duration = 5 s", program=drawn)
    assert compared(plan).how == "done"
    requests = plan.run().requests
    assert 20 < len(requests["id"]) < 60
    wanted = np.array([0, 1, 0, 2])[requests["prompt"] - 100]
    assert requests["tenant"].tolist() == wanted.tolist()


def test_objects_of_json_bring_them_and_so_do_sessions(tmp_path: Path) -> None:
    call = {"input_toks": 9, "output_toks": 2}
    lines = [
        {"arrival_time_ns": i * 10**9, "sub_requests": [call] * 2, "user": f"u{i}", "weight": i}
        for i in range(2)
    ]
    requests = compiled(tmp_path, "\n".join(map(json.dumps, lines))).run().requests
    assert sorted(requests["tenant"].tolist()) == [0, 0, 1, 1]
    assert sorted(requests["weight"].tolist()) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "more", "code", "title"),
    [
        (TRACE.replace("user", "uzer"), "", "E0602", "no column `user`, which is to bring an attr"),
        (TRACE.replace("bob", ""), "", "E0603", "`user` is empty"),
        (TRACE.replace("user", "user,user"), "", "E0601", "2 columns `user`"),
        (TRACE, "attributes { tenant = zipf(3) }", "E0521", "both draws `tenant` and names a col"),
        (TRACE, 'columns { user = "user" }', "E0201", "no attribute called `user`"),
        (
            TRACE.replace("1e3", "NaN"),
            "",
            "E0603",
            "`weight` is 'NaN': an attribute that is no `int` is from",
        ),
        (TRACE.replace("1e3", "1e400"), "", "E0603", "that is no `int` is from"),
        (TRACE.replace("1e3", "much"), "", "E0603", "an attribute that is no `int` is a number"),
    ],
)
def test_what_a_file_lacks_is_told(
    tmp_path: Path, text: str, more: str, code: str, title: str
) -> None:
    with pytest.raises(tsdl.TsdlError) as error:
        compiled(tmp_path, text, more)
    told = [found for found in error.value.diagnostics if found.code == code]
    assert told
    assert title in told[0].title


def test_a_cell_of_json_that_is_nothing_is_told(tmp_path: Path) -> None:
    rows = [{"timestamp": 0, "input_length": 9, "output_length": 2, "user": u} for u in (None, [1])]
    text = "\n".join(json.dumps(row | {"weight": 1}) for row in rows)
    with pytest.raises(tsdl.TsdlError) as error:
        compiled(tmp_path, text)
    titles = [found.title for found in error.value.diagnostics if found.code == "E0603"]
    assert titles == ["`user` is empty", "`user` is [1]: a number or a text is wanted"]


def test_a_derived_workload_takes_back_what_its_base_names(tmp_path: Path) -> None:
    taken = 'columns { tenant = "" }; attributes { tenant = constant(7) }'
    more = f"}}\nworkload drawn from own {{ {taken} "
    program = REPLAY.replace("workload = own", "workload = drawn")
    requests = compiled(tmp_path, more=more, program=program).run().requests
    assert requests["tenant"].tolist() == [7] * 4
    assert requests["weight"].tolist() == [0.5, 1000.0, -7.0, 0.0]


def test_a_column_without_a_file_is_told(tmp_path: Path) -> None:
    drawn = REPLAY.replace('workload own { trace = "t.csv"', "workload own from sharegpt {")
    with pytest.raises(tsdl.TsdlError, match="names a column of `tenant`, and no file"):
        compiled(tmp_path, program=drawn.replace("{;", "{"))


# -- several files ---------------------------------------------------------------------------------


def test_files_of_a_program_mean_the_same_one(tmp_path: Path) -> None:
    (tmp_path / "fair.tsim").write_text(
        "attribute tenant: int\npolicy fair from chunked { local { admit r by r.tenant } }\n"
    )
    program = """import "fair.tsim" as lib
MORE
workload own from sharegpt { requests = 20; attributes { tenant = zipf(3) } }
policy both from lib.fair { local { evict r by -r.tenant } }
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = both; workload = own
  expect max(tenant) <= 3 and max(lib.tenant) <= 3 }
"""
    bare = program.replace(" as lib", "").replace("lib.", "")
    for text in (program, bare):
        for more in ("", "attribute tenant: int", "attribute tenant:  int = 0"):
            assert compiled(tmp_path, more=more, program=text).run().expectations[0].passed
        for more in ("attribute tenant: int = 1", "attribute tenant: number"):
            with pytest.raises(tsdl.TsdlError, match="is another attribute in another file"):
                compiled(tmp_path, more=more, program=text)
    with pytest.raises(tsdl.TsdlError, match="is an attribute here, and a param in another file"):
        compiled(tmp_path, more="param tenant = 3", program=program)


# -- results ---------------------------------------------------------------------------------------


def test_results_in_a_folder_have_them(tmp_path: Path) -> None:
    more = "slo in_time { e2e <= active; ttft <= (1 s if tenant == 1 else 5 s) }\n"
    plan = plan_of(slo="slo = in_time", more=more + "attribute attribute_tenant: int = 3\n")
    result = plan.run()
    for form in ("csv", "parquet"):
        write(result, tmp_path / form, form)
        [read] = read_results([str(tmp_path / form)])
        assert isinstance(read, Run)
        for name in ("active", "class", "tenant", "type", "attribute_tenant"):
            kept = read.requests[f"attribute_{name}"].tolist()
            assert kept == result.requests[name].tolist()
        table = classes("tenant", [read])
        counts = Counter(result.requests["tenant"].tolist())
        assert [(row[0], row[1]) for row in table.rows] == [
            (str(tenant), str(count)) for tenant, count in sorted(counts.items())
        ]


def test_running_requests_have_them_for_policies_in_python() -> None:
    source = DECLARED + WORKLOAD + """
policy shown from chunked { extern = "own"; reads = [w.active, w.waiting, r.tenant] }
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = shown; workload = own }
"""  # fmt: skip
    seen: set[int] = set()

    class Looking:
        def finish(self, _act: object, request: Any, worker: Any) -> None:  # noqa: ANN401
            seen.update(other.tenant for other in (*worker.active, *worker.waiting, request))

    tsdl.compile(source, externs={"own": Looking()}).run()
    assert seen == {1, 2, 3, 4}


def test_what_is_beyond_all_measure_keeps_no_state() -> None:
    far = WORKLOAD.replace("uniform(0..1 step 0.25)", "constant(1e100)")
    policy = POLICY.replace("served[r.tenant]", "served[r.type * r.type * r.type * r.type]")
    text = DECLARED + far + policy.replace("ORDER", "r.id") + SCENARIO.replace("SLO", "")
    with pytest.raises(tsdl.TsdlError, match="`on finish` of policy picky has no value"):
        tsdl.compile(text).run()
