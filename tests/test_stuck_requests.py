"""Requests that are stuck when a run is over: who waits for a dispatch, and who for a worker."""

import pytest

import tsdl
from tsdl.runtime.text import summary

ENGINES = pytest.mark.parametrize("engine", ["fast", "reference"])


def stuck(policy: str, engine: str, cluster: str = "worker g { hardware = A100_80G }") -> list[str]:
    """Return what a run says of those who are stuck; its policy begins in line 2."""
    result = tsdl.compile(f"""
policy own from continuous {{ {policy} }}
workload six from sharegpt {{
  requests = 6; arrivals = burst()
  prompt = choice(50 tokens: 50 %, 500 tokens: 50 %); output = constant(20 tokens)
}}
cluster c {{ {cluster} }}
scenario s {{ model = llama2_7b; cluster = c; policy = own; workload = six }}
""").run(seed=3, engine=engine)
    of_groups = [i for group in result.stuck for i in group.requests]
    assert sorted(of_groups) == result.summary["requests"]["stuck"]
    assert not result.passed
    return [line.strip() for line in summary(result).splitlines() if "stuck: " in line]


@ENGINES
def test_a_handler_that_dispatches_nobody_is_told(engine: str) -> None:
    (line,) = stuck("global { on arrive(r) { if r.prompt > 4000 { reject r } } }", engine)
    said = "stuck: no handler dispatches 0, 1, 2, 3, 4, 5 to a worker that takes them"
    assert line == f"{said} (`on arrive` of policy own: <text>:2:39)"


@ENGINES
def test_a_guard_that_leaves_some_out_is_told(engine: str) -> None:
    """Who comes after them waits behind them."""
    handler = "on arrive(r) when r.prompt > 100 { dispatch r to random(w for w in workers) }"
    (line,) = stuck(f"global {{ {handler} }}", engine)
    assert line.startswith("stuck: no handler dispatches ")
    assert line.endswith(" (`on arrive` of policy own: <text>:2:39)")


@ENGINES
def test_workers_that_are_all_down_are_told(engine: str) -> None:
    cluster = "worker g * 0..2 { hardware = A100_80G }"
    handler = "on arrive(r) { scale g to -3; dispatch r to random(w for w in workers) }"
    (line,) = stuck(f"global {{ {handler} }}", engine, cluster)
    assert line.endswith("(`on arrive` of policy own: <text>:2:39; no worker is up)")


@ENGINES
def test_a_worker_that_admits_nobody_is_told_with_its_clause(engine: str) -> None:
    (line,) = stuck("local { admit r when r.prompt > 1000 }", engine)
    said = "stuck: worker g 0 will never admit 0, 1, 2, 3, 4, 5"
    assert line == f"{said} (`admit when` of policy own: <text>:2:38)"


@ENGINES
def test_several_groups_are_told_apart(engine: str) -> None:
    policy = """
  local { admit r when r.prompt < 100 }
  global {
    on arrive(r) when r.id < 4 {
      dispatch r to pick(w by abs(w.id - mod(r.id, 2)) for w in workers)
    }
  }
"""
    lines = stuck(policy, engine, "worker g * 2 { hardware = A100_80G }")
    assert [line.split(" (")[0].rstrip("0123456789, ") for line in lines] == [
        *sorted(f"stuck: worker g {i} will never admit" for i in (0, 1)),
        "stuck: no handler dispatches 4, 5 to a worker that takes them",
    ]


def test_python_that_sends_nobody_anywhere_is_told() -> None:
    plan = tsdl.compile(
        """
policy own from continuous { extern = "mine"; reads = [r.prompt] }
workload many from sharegpt { requests = 20 }
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = own; workload = many }
""",
        externs={"mine": lambda r, workers: None},
    )
    text = summary(plan.run())
    assert "stuck: no handler dispatches 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … to a worker that" in text
    assert "(the policy `mine` in Python)" in text


@ENGINES
def test_only_some_groups_are_told(engine: str) -> None:
    handler = "on arrive(r) { dispatch r to pick(w by abs(w.id - r.id) for w in workers) }"
    policy = f"local {{ admit r when r.prompt > 1000 }}; global {{ {handler} }}"
    lines = stuck(policy, engine, "worker g * 6 { hardware = A100_80G }")
    assert len(lines) == 6
    assert lines[-1] == "stuck: … and 1 more"


@ENGINES
def test_who_waits_for_the_hour_is_not_stuck(engine: str) -> None:
    """Twenty thousand times a timer has nothing to do; without the time it would be for ever."""
    text = """
policy later from continuous {
  global {
    on arrive(r) { if WHEN { dispatch r to random(w for w in workers) } }
    on every(1 s) { record "x", 1 }
  }
}
workload six {
  requests = 6; arrivals = burst(); prompt = constant(9 tokens); output = constant(2 tokens)
}
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = later; workload = six }
"""
    result = tsdl.compile(text.replace("WHEN", "now >= 20_000 s")).run(engine=engine)
    assert result.summary["requests"]["finished"] == 6
    assert min(result.requests["started"]) == 20_000
    result = tsdl.compile(text.replace("WHEN", "r.prompt > 9")).run(engine=engine)
    assert [len(group.requests) for group in result.stuck] == [6]
    assert "timers have found nothing to do 10,000 times in a row" in summary(result)
