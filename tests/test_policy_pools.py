"""Prefill and decode on workers of their own: Figure 3 of the TokenSim paper, and what goes beyond."""

import pytest

import tsdl
from tests.policy_runs import USUAL, run

FIGURE_3 = """
policy figure3 from continuous {
  local  { on token(r, w) when r.generated == 1 and not w.decodes { submit r } }
  global {
    on arrive(r) { dispatch r to random(w for w in workers if w.prefills) }
    on submit(r) { dispatch r to random(w for w in workers if w.decodes) }
  }
}
"""


def test_figure_3_is_three_handlers_of_one_statement_each() -> None:
    text = (
        FIGURE_3
        + """
      cluster c {
        worker p * 2 { hardware = A100_80G; runs = prefill }
        worker d * 6 { hardware = A100_80G; runs = decode }
      }
      scenario s { model = llama2_7b; cluster = c; policy = figure3; workload = sharegpt(requests = 40) }
    """
    )
    plan = tsdl.compile(text)
    handlers = [*plan.workers[0].local.handlers, *plan.router.handlers]
    assert [h.event for h in handlers] == ["token", "arrive", "submit"]
    assert all(len(h.body) == 1 for h in handlers)
    assert plan.workers[1].local.handlers == (), "it cannot fire where decodes run"
    result = plan.run()
    assert result.summary["requests"]["finished"] == 40
    assert set(result.requests["worker"].tolist()) <= {2, 3, 4, 5, 6, 7}


def test_a_decode_pool_may_send_requests_back_when_it_is_full() -> None:
    policy = """
      local {
        on token(r, w) when not w.decodes { submit r }
        on preempt(r, w) when not w.prefills { submit r }
      }
      global {
        on arrive(r) { dispatch r to pick(w by w.outstanding for w in workers if w.prefills) }
        on submit(r) {
          if r.computed > 0 {
            dispatch r to pick(w by w.kv.fill for w in workers if w.decodes)
          } else {
            dispatch r to pick(w by w.outstanding for w in workers if w.prefills)
          }
        }
      }
    """
    cluster = """
      worker p { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; runs = prefill }
      worker d { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; runs = decode }
    """
    workload = (
        "requests = 3; arrivals = burst(); prompt = constant(5 tokens); output = constant(6 tokens)"
    )
    result = run(policy=policy, cluster=cluster, workload=workload, blocks="21")
    assert result.summary["requests"]["finished"] == 3
    assert result.summary["preemptions"] > 0
    assert result.summary["workers"][0]["iterations"] > 1, "they were prefilled again"


def test_kv_may_be_handed_over_through_a_pool() -> None:
    """TokenSim's put_kv and get_kv: store, give back, submit; fetch where it goes on."""
    policy = """
      local {
        on token(r, w) when not w.decodes { store r in pool; drop r; submit r }
        on start(r, w) when not w.prefills { fetch r from pool }
      }
      global {
        on arrive(r) { dispatch r to random(w for w in workers if w.prefills) }
        on submit(r) { dispatch r to random(w for w in workers if w.decodes) }
      }
    """
    cluster = """
      worker p { hardware = box; cost = constant_cost(1 s); kv = exact; runs = prefill }
      worker d { hardware = box; cost = constant_cost(1 s); kv = exact; runs = decode }
      tier pool { capacity = 1 GiB; latency = 1 s/block; block = 4 tokens }
    """
    workload = USUAL["workload"].replace("requests = 3", "requests = 1")
    result = run(policy=policy, cluster=cluster, workload=workload)
    # A second of prefill, two blocks there, two back, and two seconds of decodes.
    assert result.requests["ttft"].tolist() == [1]
    assert result.requests["e2e"].tolist() == pytest.approx([1 + 2 + 2 + 2], rel=1e-9)
    assert result.summary["transfers"]["count"] == 0
    assert result.requests["cached"].tolist() == [5]
