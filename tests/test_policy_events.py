"""When handlers of a policy are called: the order at a boundary, timers, breakpoints within."""

import pytest

import tsdl
from tests.policy_runs import FILE, USUAL, logged, plan_of, run, said
from tsdl.costs import Batch, compiled_prefix

EVENTS = """
  local {
    on start(r, w) { log "start", r.id }
    on admit(r, w) { log "admit", r.id }
    on token(r, w) { log "token", r.id, r.generated }
    on finish(r, w) { log "finish", r.id }
    on iteration(batch, w) { log "iteration", batch.prefills, batch.decodes }
  }
"""


def test_events_come_in_the_order_of_a_boundary() -> None:
    workload = USUAL["workload"].replace("requests = 3", "requests = 2")
    assert logged(run(policy=EVENTS, workload=workload)) == [
        "0 start 0",
        "0 admit 0",
        "1 token 0 1",
        "1 iteration 1 0",
        "1 start 1",
        "1 admit 1",
        "2 token 1 1",
        "2 iteration 1 0",
        "3 token 0 2",
        "3 token 1 2",
        "3 iteration 0 2",
        "4 token 0 3",
        "4 token 1 3",
        "4 finish 0",
        "4 finish 1",
        "4 iteration 0 2",
    ]


def test_a_local_handler_comes_before_a_global_one_of_the_same_event() -> None:
    policy = """
      global { on token(r, w) when r.generated == 1 { log "global", r.id } }
      local { on token(r, w) when r.generated == 1 { log "local", r.id } }
    """
    lines = logged(run(policy=policy))
    assert lines[:2] == ["1 local 0", "1 global 0"]


def test_timers_fire_at_multiples_while_requests_are_open() -> None:
    policy = "global { on every(2 s) { log count(w for w in workers if w.running > 0) } }"
    times = [float(line.split()[0]) for line in logged(run(policy=policy))]
    assert times == [2, 4]
    local = "local { on every(2 s) { log w.id, w.running } }"
    two = USUAL["cluster"].replace("worker gpu", "worker gpu * 2")
    assert logged(run(policy=local, cluster=two))[:2] == ["2 0 1", "2 1 1"]


def test_preempted_requests_are_told_and_admitted_again_but_start_once() -> None:
    policy = EVENTS.replace(
        "on token", 'on preempt(r, w) { log "preempt", r.id, r.preemptions }\non token'
    )
    workload = (
        "requests = 2; arrivals = burst(); prompt = constant(5 tokens); output = constant(6 tokens)"
    )
    lines = said(run(policy=policy, workload=workload, blocks="14"))
    assert lines.count("start 1") == 1
    assert lines.count("admit 1") == 2
    assert lines.count("preempt 1 1") == 1


# -- breakpoints -----------------------------------------------------------------------------------


def test_a_breakpoint_is_at_the_end_of_its_operator() -> None:
    """One prompt on real operators: the time of a breakpoint is the sum of the kernels up to it."""
    model = "breakpoint here after block.attn when layer == 2; after lm_head { log layer, batch.tokens }"
    policy = "local { on here(batch, layer, w) { log layer, batch.prefills } }"
    cluster = "worker gpu { hardware = A100_80G }"
    workload = "requests = 1; arrivals = burst(); prompt = constant(64 tokens); output = constant(1 tokens)"
    plan = plan_of(model=model, policy=policy, cluster=cluster, workload=workload)
    result = plan.run()
    times = [time for time, _ in result.log]
    batch = Batch()
    batch.add_prefill(64, 0, last=True)
    cost = plan.workers[0].cost
    (block,) = [i for i, stage in enumerate(cost.stages) if stage.name == "block"]
    kernels = [k.name for k in cost.stages[block].kernels]
    last = max(i for i, name in enumerate(kernels) if name.startswith("attn"))
    start = compiled_prefix(cost, block, -1)(batch)
    one = compiled_prefix(cost, block, None)(batch)
    within = compiled_prefix(cost, block, last)(batch)
    assert times[0] == pytest.approx(start + 2 * one + within, rel=1e-12)
    assert times[1] <= result.requests["e2e"][0]
    assert said(result) == ["2 1", "0 64"]


def test_a_delay_at_a_breakpoint_makes_the_iteration_longer() -> None:
    model = "breakpoint half after block.down when layer == 15"
    policy = "local { on half(batch, layer, w) when batch.prefills > 0 { delay 1 s; log layer } }"
    result = run(model=model, policy=policy)
    # A closed cost is shared by 32 layers: the sixteenth ends at half of it.
    assert logged(result)[0] == "0.5 15"
    assert result.requests["first_token"].tolist()[0] == 2


def test_a_delay_of_less_than_nothing_ends_the_run() -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        run(policy="local { on token(r, w) { let t = 1 s * (r.id - 1); delay t } }")
    assert caught.value.diagnostics[0].code == "E0902"


def test_a_breakpoint_that_nobody_handles_costs_no_events() -> None:
    quiet = run(model="breakpoint half after block.down")
    plan = plan_of(model="breakpoint half after block.down")
    assert plan.workers[0].breakpoints == ()
    assert quiet.requests["e2e"].tolist() == run().requests["e2e"].tolist()


def test_a_stage_has_several_timers_and_replaces_one_by_its_time() -> None:
    policy = """
      global { on every(2 s) { log "two" }; on every(3 s) { log "three" } }
    }
    policy derived from own { global { on every(3 s) { log "anew" } }
    """
    result = run(policy=policy)
    assert logged(result) == ["2 two", "3 three", "4 two"]
    text = FILE.format(**(USUAL | {"policy": policy})).replace("policy = own", "policy = derived")
    assert logged(tsdl.compile(text).run()) == ["2 two", "3 anew", "4 two"]
