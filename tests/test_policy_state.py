"""State of policies: aggregates over windows, their dimension, and for whom each is kept."""

import pytest

import tsdl
from tests.policy_runs import USUAL, run, said

# -- aggregates ------------------------------------------------------------------------------------


def test_a_window_holds_what_was_added_within_it() -> None:
    policy = """
      global {
        state sent: count over 2 s
        state mean_prompt: mean
        state least: min
        state most: max over 1 s
        on arrive(r) {
          sent += 1
          mean_prompt = r.prompt + r.id
          least = r.id
          most = r.id
          log sent, mean_prompt, least, most
          dispatch r to random(w for w in workers)
        }
      }
    """
    lines = said(run(policy=policy))
    # At 0, 1 and 2 s: what was added two seconds before counts no more.
    assert lines == ["1 5 0 0", "2 5.5 0 1", "2 6 0 2"]


def test_aggregates_of_quantities_have_their_dimension() -> None:
    policy = """
      global {
        state wait: mean(time) over 10 s
        state seen: sum(tokens)[worker]
        on start(r, w) { wait = now - r.arrived; seen[w] += r.prompt; log wait / 1 s, seen[w] / 1 token }
        on arrive(r) { dispatch r to pick(w by seen[w] for w in workers if wait < 1 h) }
      }
    """
    lines = said(run(policy=policy))
    assert lines == ["0 5", "0 10", "0 15"]


def test_a_sum_of_fractions_does_not_drift() -> None:
    policy = """
      global {
        state parts: sum over 2 s
        on arrive(r) { parts += 0.1; log parts; dispatch r to random(w for w in workers) }
      }
    """
    workload = USUAL["workload"].replace("requests = 3", "requests = 40")
    lines = said(run(policy=policy, workload=workload))
    assert set(lines[1:]) == {"0.2"}


# -- for whom --------------------------------------------------------------------------------------


def test_state_of_the_local_stage_is_kept_on_each_worker() -> None:
    policy = """
      local {
        state tokens_here = 0
        on token(r, w) { tokens_here += 1; log w.id, tokens_here }
      }
    """
    two = USUAL["cluster"].replace("worker gpu", "worker gpu * 2")
    lines = said(run(policy=policy, cluster=two))
    assert "0 6" in lines
    assert "1 3" in lines
    assert "1 4" not in lines


def test_state_may_be_kept_for_each_worker_request_and_session() -> None:
    policy = """
      global {
        state by_worker: count[worker]
        state by_request: time[request]
        state by_session: number[session] = 7
        on arrive(r) {
          let w = random(w for w in workers)
          dispatch r to w
          by_worker[w] += 1
          by_request[r] = now + 1 s
          by_session[r.session] += r.id
          log by_worker[w], by_request[r], by_session[r.session], by_session[99]
        }
      }
    """
    lines = said(run(policy=policy))
    assert lines == ["1 1 7 7", "2 2 8 7", "3 3 9 7"]


@pytest.mark.parametrize(("statement", "code"), [
    ("x = x * x", "E0901"),
    ("x += x * x", "E0901"),
    ("log x ** 20", "E0901"),
    ("log x", ""),
    ("log x * x", "E0902"),
    ('record "a", x * x', "E0902"),
    ("let t = x * x * 1 s; delay t", "E0902"),
])  # fmt: skip
@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_numbers_that_no_double_can_hold_end_the_run(
    statement: str, code: str, engine: str
) -> None:
    stage = f"state x = 2; on finish(r, w) {{ x = x ** 600; {statement} }}"
    plan = tsdl.compile(
        f"""
        policy own from continuous {{ local {{ {stage} }} }}
        workload w {{
          requests = 1; arrivals = poisson(1 req/s)
          prompt = constant(4 tokens); output = constant(4 tokens)
        }}
        scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = w; policy = own }}
        """
    )
    if not code:
        assert str(2**600) in plan.run(engine=engine).log[0][1]
        return
    with pytest.raises(tsdl.TsdlError) as caught:
        plan.run(engine=engine)
    assert [d.code for d in caught.value.diagnostics] == [code]
