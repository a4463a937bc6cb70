"""Workloads whose requests arrive together: each part is what it would be alone."""

import json
from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace

import tsdl
from tests.test_plan_values import put
from tsdl.chance import is_certain
from tsdl.planworkload import Table
from tsdl.runtime.arrivals import Arrivals, generate
from tsdl.runtime.contents import UNKNOWN, Beginning, Named, Parted, keys
from tsdl.runtime.sessions import Sessions
from tsdl.runtime.streams import seed_of

PARTS = """
workload quick { requests = 40; arrivals = poisson(5 req/s); prompt = uniform(1..90 tokens)
  output = uniform(1..9 tokens); priority = constant(2) }
workload slow { requests = 30; arrivals = uniform(3 req/s); prompt = uniform(100..900 tokens)
  output = constant(20 tokens) }
workload talks { sessions = 10; turns = uniform(1..4); think = constant(2 s)
  arrivals = poisson(1 req/s); prompt = uniform(5..50 tokens); output = constant(7 tokens) }
"""
SYSTEM = """
scenario s { model = llama2_7b; cluster = CLUSTER; workload = all }
"""


def plan_of(
    mix: str, more: str = "", *, parts: str = PARTS, cluster: str = "single(A100_80G)"
) -> tsdl.Plan:
    """Return the plan of a mix on a cluster."""
    system = SYSTEM.replace("CLUSTER", cluster)
    return tsdl.compile(f"{parts}{more}\nworkload all {{ mix = [{mix}]; warmup = 1 s }}{system}")


def rows(found: Arrivals) -> Counter[tuple[float, int, int]]:
    columns = (found.arrived.tolist(), found.prompt.tolist(), found.output.tolist())
    return Counter(zip(*columns, strict=True))


def alone(plan: tsdl.Plan, seed: int) -> list[Arrivals]:
    parts = plan.workload.parts
    return [generate(part, seed_of(seed, f"workload {part.name}")) for part in parts]


@pytest.mark.parametrize("seed", [0, 7])
def test_each_part_is_what_it_is_alone(seed: int) -> None:
    plan = plan_of("quick, slow, talks")
    found = generate(plan.workload, seed)
    parts = alone(plan, seed)
    expected: Counter[tuple[float, int, int]] = Counter()
    for part in parts:
        expected += rows(part)
    assert rows(found) == expected
    assert found.turns is not None
    assert found.turns.sum() == len(found.arrived)
    begun = found.arrived[np.cumsum(found.turns) - found.turns]
    assert (np.diff(begun) >= 0).all()
    assert found.priority is not None
    assert Counter(found.priority.tolist())[2.0] == 40


def test_a_part_changes_nothing_in_another() -> None:
    other = PARTS.replace("uniform(100..900 tokens)", "constant(5 tokens)")
    first, second = (generate(plan_of("quick, slow", parts=p).workload, 3) for p in (PARTS, other))
    chosen = [found.priority == 2 for found in (first, second)]
    for name in ("arrived", "prompt", "output"):
        one, two = (getattr(f, name)[c] for f, c in zip((first, second), chosen, strict=True))
        assert (one == two).all()


def test_at_one_time_the_first_part_comes_first() -> None:
    parts = "".join(
        f"workload w{n} {{ requests = 2; arrivals = burst(); prompt = constant({n} tokens)\n"
        "  output = constant(1 tokens) }\n"
        for n in (1, 2)
    )
    for mix, expected in (("w1, w2", [1, 1, 2, 2]), ("w2, w1", [2, 2, 1, 1])):
        assert generate(plan_of(mix, parts=parts).workload, 0).prompt.tolist() == expected


def test_the_same_workload_twice_has_other_requests() -> None:
    plan = plan_of("quick, quick, quick")
    assert [part.name for part in plan.workload.parts] == ["quick", "quick 2", "quick 3"]
    found = generate(plan.workload, 0)
    assert len(found.arrived) == 120
    assert len(np.unique(found.arrived)) > 110


def test_conversations_go_on_among_others() -> None:
    plan = plan_of("talks, quick")
    columns = plan.run().requests
    assert (columns["status"] == "finished").all()
    for session in np.unique(columns["session"]):
        chosen = columns["session"] == session
        assert sorted(columns["turn"][chosen].tolist()) == list(range(int(chosen.sum())))
        prompts = columns["prompt"][chosen][np.argsort(columns["turn"][chosen])]
        assert (np.diff(prompts) > 0).all() or len(prompts) == 1
    assert len(np.unique(columns["session"])) == 50


def test_replayed_conversations_go_with_drawn_ones() -> None:
    """Prompts of a file have what was said before in them: so have those of others then."""
    table = Table((0.0, 0.0), (50, 80), (5, 6), turns=(2,), think=(1.0, 0.0))
    plan = plan_of("talks, slow")
    talks, slow = plan.workload.parts
    replayed = replace(talks, table=table, replay=True, turns=None, sessions=None)
    plain = generate(plan.workload, 5)
    whole = generate(replace(plan.workload, parts=(talks, slow, replace(replayed, name="r"))), 5)
    assert whole.whole
    assert not plain.whole
    runs = [Sessions(found, 0.0) for found in (plain, whole)]
    followed = [_prompts(sessions) for sessions in runs]
    assert (Counter(followed[1]) - Counter(followed[0])) == Counter([(50, 80)])


def _prompts(sessions: Sessions) -> list[tuple[int, ...]]:
    """Return the prompts of the turns of each conversation."""
    found = []
    for first in sessions.first():
        request, prompts = first, [first.prompt]
        while sessions.left(request):
            request = sessions.after(request, request.arrived + 1)
            prompts.append(request.prompt)
        found.append(tuple(prompts))
    return found


def test_prompts_of_parts_begin_alike_within_a_part_only() -> None:
    more = """
kvcache found from paged { share = prefix }
cluster one { worker gpu { hardware = A100_80G; kv = found } }
workload first { requests = 20; arrivals = burst(); prompt = constant(100 tokens)
  output = constant(4 tokens); prefixes = 1; prefix = constant(64 tokens); priority = constant(1) }
workload second from first { priority = constant(2) }
"""
    plan = plan_of("first, second, slow", more, cluster="one")
    found = generate(plan.workload, 0)
    assert found.contents is not None
    assert found.priority is not None
    known: dict[float, set[tuple[int, ...]]] = {}
    for row, priority in enumerate(found.priority.tolist()):
        known.setdefault(priority, set()).add(tuple(keys(found.contents(row), row, 16, 64)))
    assert len(known[1.0]) == len(known[2.0]) == 1
    assert known[1.0].isdisjoint(known[2.0])
    assert len(known[0.0]) == 30
    result = plan.run()
    assert result.summary == plan.run(engine="reference").summary
    assert result.requests["cached"][found.priority > 0].sum() == 38 * 64


def test_it_is_told_that_requests_of_parts_pile_up() -> None:
    parts = "".join(
        f"workload w{n} {{ duration = 60 s; arrivals = poisson({rate} req/s)\n"
        "  prompt = constant(500 tokens); output = constant(100 tokens) }\n"
        for n, rate in ((1, 20), (2, 10))
    )
    assert plan_of("w1, w2", parts=parts).run().steady is False
    shorter = parts.replace("60 s", "30 s", 1)
    assert plan_of("w1, w2", parts=shorter).run().steady is None


def test_a_mix_survives_json_and_is_no_part_of_another() -> None:
    plan = plan_of("quick, talks")
    again = tsdl.Plan.from_json(plan.to_json())
    assert again.hash == plan.hash
    assert again.run().summary == plan.run().summary
    data = json.loads(plan.to_json())
    data["workload"]["parts"][0]["parts"] = [data["workload"]["parts"][1]]
    with pytest.raises(ValueError, match="a workload that is mixed is no part of another"):
        tsdl.Plan.from_json(json.dumps(data))


def test_seeds_make_a_difference_where_any_part_is_drawn() -> None:
    sure = (
        "workload even { requests = 3; arrivals = uniform(2 req/s); prompt = constant(5 tokens)\n"
        "  output = constant(2 tokens) }\n"
    )
    assert is_certain(plan_of("even", parts=sure))
    assert not is_certain(plan_of("even, quick", sure))


def test_keys_of_parts_are_apart_whatever_their_spans() -> None:
    """Names of 512 tokens and of 16 begin with the same numbers."""
    parts: list[Named | Beginning] = [
        Named((1, 2), 512),
        Named(tuple(range(64)), 16),
        Beginning(1, 640),
    ]
    known = [
        set(Parted(content, part, 3).keys(16)) | set(Parted(content, part, 3).keys(32))
        for part, content in enumerate(parts)
    ]
    assert known[0].isdisjoint(known[1])
    assert known[0].isdisjoint(known[2])
    assert known[1].isdisjoint(known[2])
    said = keys(Parted(UNKNOWN, 1, 3), 7, 16, 640)
    assert set(said).isdisjoint(set().union(*known))


def test_constants_of_parts_can_be_given() -> None:
    text = (
        PARTS
        + "workload all { mix = [quick, slow] }"
        + SYSTEM.replace("CLUSTER", "single(A100_80G)")
    )
    plan = tsdl.compile(text, constants={"workload.slow.warmup": 3.0})
    assert [part.warmup for part in plan.workload.parts] == [0.0, 3.0]


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("workload.concurrency", 5, "workloads that are mixed are no closed"),
        ("workload.parts.0.concurrency", 5, "workloads that are mixed are no closed"),
        ("workload.parts.1.name", "quick", "workloads that are mixed are no closed"),
        ("workload.parts", [], "a workload says nothing of when"),
    ],
)
def test_plans_with_other_mixes_are_refused(path: str, value: object, reason: str) -> None:
    data = json.loads(plan_of("quick, slow").to_json())
    put(data, path, value)
    with pytest.raises(ValueError, match=f"not a plan: {reason}"):
        tsdl.Plan.from_json(json.dumps(data))
