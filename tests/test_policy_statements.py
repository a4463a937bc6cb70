"""Statements of handlers: what they do, what variables mean, what becomes of the request."""

import pytest

import tsdl
from tests.policy_runs import logged, run, said


def test_statements_do_what_they_say() -> None:
    policy = """
      global {
        state seen = 0
        state longest: tokens = 0 tokens
        on arrive(r) {
          let twice = 2 * r.prompt
          seen += 1
          if seen == 1 { log "first", twice } else if seen == 2 { log "second" } else { log "later" }
          longest = max(longest, twice)
          for n in [1, 2] { log "n", n, longest }
          for w in workers { dispatch r to w }
          log min(w.id for w in workers), max(w.id for w in workers), sum(w.running for w in workers)
        }
      }
    """
    lines = said(run(policy=policy))
    assert lines[:4] == ["first 10", "n 1 10", "n 2 10", "0 0 0"]
    assert lines[4] == "second"
    assert lines[8] == "later"


def test_statements_are_nested_only_so_deep() -> None:
    deep = "for a0 in workers { " + "".join(f"for a{i} in workers {{ " for i in range(1, 25))
    policy = f"global {{ on every(1 s) {{ {deep} log 1 {'}' * 25} }} }}"
    with pytest.raises(tsdl.TsdlError) as caught:
        run(policy=policy)
    assert caught.value.diagnostics[0].code == "E0103"


def test_a_condition_that_nobody_asks_for_may_have_no_value() -> None:
    """What it says of a worker never changes; but the handler never comes to it."""
    policy = """global {
  on arrive(r) { dispatch r to pick(v by v.queued for v in workers) }
  on finish(r, w) when r.id < 0 {
    dispatch r to pick(v by v.queued for v in workers if v.queued > 5 and 1 / v.id > 0)
  }
}"""
    assert run(policy=policy).summary["requests"]["rejected"] == 0


# -- variables -------------------------------------------------------------------------------------


def test_a_variable_may_be_called_like_anything_of_python() -> None:
    policy = """
      global {
        on arrive(lambda) {
          let min = 3
          let print = min(min, 4)
          let def = pick(do by do.id for do in workers)
          dispatch lambda to def
          log print, lambda.id, clamp(9, 1, min)
        }
      }
    """
    assert logged(run(policy=policy))[0] == "0 3 0 3"


def test_a_variable_of_a_generator_is_its_own() -> None:
    """Whatever the request is called: the one with the fewest longer ones in the queue is first."""
    workload = "requests = 3; arrivals = burst(); prompt = uniform(1..90 tokens); output = constant(2 tokens)"
    started = [
        run(
            policy=f"local {{ max_requests = 1; admit q by count({v} for {v} in w.waiting if {v}.prompt > q.prompt) }}",
            workload=workload,
        ).requests["started"].tolist()
        for v in ("r", "a", "q2")
    ]  # fmt: skip
    assert started[0] == started[1] == started[2]
    plan = run(
        policy="global { on arrive(r) { let list = 3; let list_ = 4; log sum(list for list in [1, 2]), list, list_; dispatch r to random(w for w in workers) } }"
    )
    assert plan.log[0][1] == "3 3 4"
    assert (
        run(policy="local { on token(r, w) { log count(w for w in w.active) } }").log[0][1] == "1"
    )
    assert run(policy="local { on token(r, w) { let state_x = 3; log state_x } }").log[0][1] == "3"


# -- dispatched or rejected ------------------------------------------------------------------------


def test_without_a_candidate_a_handler_ends_and_the_request_waits() -> None:
    policy = """
      global {
        on arrive(r) {
          dispatch r to pick(w by w.id for w in workers if w.outstanding < 1)
          log "sent", r.id
        }
      }
    """
    result = run(policy=policy)
    assert logged(result) == ["0 sent 0", "3 sent 1", "6 sent 2"]
    assert result.requests["started"].tolist() == [0, 3, 6]


def test_a_rejected_arrival_is_rejected() -> None:
    policy = "global { on arrive(r) { if r.id == 1 { reject r } else { dispatch r to random(w for w in workers) } } }"
    result = run(policy=policy)
    assert result.requests["status"].tolist() == ["finished", "rejected", "finished"]


def test_a_request_that_runs_may_be_rejected_at_the_end_of_an_iteration() -> None:
    policy = "local { on token(r, w) when r.id == 0 and r.generated == 2 { reject r } }"
    result = run(policy=policy)
    assert result.requests["status"].tolist() == ["rejected", "finished", "finished"]
    assert result.requests["generated"].tolist() == [2, 3, 3]


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_among_equals_the_next_key_decides(engine: str) -> None:
    """Keys of other dimensions, one after another: as one number in which the first weighs most."""
    text = """
policy chosen {{ global {{ on arrive(r) {{ dispatch r to pick(w by {by} for w in workers) }} }} }}
workload some {{ requests = 60; arrivals = poisson(60 req/s); prompt = uniform(10..900 tokens)
  output = uniform(1..40 tokens) }}
scenario s {{ model = llama2_7b; cluster = replicas(A100_80G, 4); policy = chunked
  router = chosen; workload = some }}
"""
    several = "w.outstanding, w.outstanding_tokens, -w.id"
    weighed = "1e9 * w.outstanding / 1 req + w.outstanding_tokens / 1 tokens - w.id / 1000"
    one, other = (tsdl.compile(text.format(by=by)).run(engine=engine) for by in (several, weighed))
    assert one.requests["worker"].tolist() == other.requests["worker"].tolist()
    assert one.requests["worker"][0] == 3  # all are empty: the last one has the least key


def test_truth_values_are_logged_as_they_are_written() -> None:
    policy = "local { on finish(r, w) { log true, r.id == 0 } }"
    assert said(run(policy=policy)) == ["true true", "true false", "true false"]
