"""Handlers, state and actions on small systems, worked out by hand: times in whole seconds."""

import re

import pytest

import tsdl
from tsdl.runtime import system
from tsdl.runtime.result import Result

FILE = """edition "2026"
link at_once {{ bandwidth = 1_000_000 TB/s }}
hardware box from A100_80G {{ host = at_once }}
kvcache exact from token_wise {{ block = 1 tokens; blocks = {blocks} }}
model small from llama2_7b {{ context = 1000 tokens; {model} }}
policy own from {base} {{ {policy} }}
cluster few {{ {cluster} }}
workload some {{ {workload} }}
scenario by_hand {{ model = small; cluster = few; policy = own; workload = some }}
"""
USUAL = {
    "blocks": "1000",
    "model": "",
    "base": "continuous",
    "policy": "",
    "cluster": "worker gpu { hardware = box; cost = constant_cost(1 s); kv = exact }",
    "workload": "requests = 3; arrivals = uniform(1 req/s); prompt = constant(5 tokens); "
    "output = constant(3 tokens)",
}


def run(seed: int = 0, **parts: str) -> Result:
    plan = tsdl.compile(FILE.format(**{**USUAL, **parts}))
    return plan.run(seed)


def logged(result: Result) -> list[str]:
    return [f"{time:g} {line}" for time, line in result.log]


# -- events ----------------------------------------------------------------------------------------

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
    lines = [
        line.split(" ", 1)[1] for line in logged(run(policy=policy, workload=workload, blocks="14"))
    ]
    assert lines.count("start 1") == 1
    assert lines.count("admit 1") == 2
    assert lines.count("preempt 1 1") == 1


# -- statements ------------------------------------------------------------------------------------


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
    lines = [line.split(" ", 1)[1] for line in logged(run(policy=policy))]
    assert lines[:4] == ["first 10", "n 1 10", "n 2 10", "0 0 0"]
    assert lines[4] == "second"
    assert lines[8] == "later"


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


# -- state -----------------------------------------------------------------------------------------


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
    lines = [line.split(" ", 1)[1] for line in logged(run(policy=policy))]
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
    lines = [line.split(" ", 1)[1] for line in logged(run(policy=policy))]
    assert lines == ["0 5", "0 10", "0 15"]


def test_a_sum_of_fractions_does_not_drift() -> None:
    policy = """
      global {
        state parts: sum over 2 s
        on arrive(r) { parts += 0.1; log parts; dispatch r to random(w for w in workers) }
      }
    """
    workload = USUAL["workload"].replace("requests = 3", "requests = 40")
    lines = [line.split(" ", 1)[1] for line in logged(run(policy=policy, workload=workload))]
    assert set(lines[1:]) == {"0.2"}


def test_state_of_the_local_stage_is_kept_on_each_worker() -> None:
    policy = """
      local {
        state tokens_here = 0
        on token(r, w) { tokens_here += 1; log w.id, tokens_here }
      }
    """
    two = USUAL["cluster"].replace("worker gpu", "worker gpu * 2")
    lines = [line.split(" ", 1)[1] for line in logged(run(policy=policy, cluster=two))]
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
    lines = [line.split(" ", 1)[1] for line in logged(run(policy=policy))]
    assert lines == ["1 1 7 7", "2 2 8 7", "3 3 9 7"]


# -- clauses and settings --------------------------------------------------------------------------


def test_admission_may_reserve_memory_for_those_that_run() -> None:
    """Each needs 5 + 3 - 1 = 7 tokens at its longest; of 15 there is room for two."""
    policy = "local { watermark = 0 %; admit r when sum(kv.final(x) for x in w.active) + kv.final(r) <= kv.capacity }"
    workload = USUAL["workload"].replace("uniform(1 req/s)", "burst()")
    careful = run(policy=policy, workload=workload, blocks="15")
    assert careful.summary["preemptions"] == 0
    assert sorted(careful.requests["started"].tolist()) == [0, 0, 3]
    careless = run(policy="local { watermark = 0 % }", workload=workload, blocks="15")
    assert careless.summary["preemptions"] > 0


def test_an_idle_worker_waits_for_others_within_its_window() -> None:
    result = run(base="windowed_batching(wait = 1500 ms)")
    # Those of 0 s and 1 s go together at 1.5 s; the third is alone with its batch.
    assert result.requests["started"].tolist() == [1.5, 1.5, 4.5]
    full = run(base="windowed_batching(wait = 1500 ms, size = 1)")
    assert full.requests["started"].tolist() == [0, 3, 6]


def test_policies_of_the_library_order_what_waits() -> None:
    lengths = "requests = 4; arrivals = burst(); prompt = uniform(1..90 tokens); output = uniform(1..9 tokens)"
    one = "local { max_requests = 1 }"

    def order(base: str, **keys: str) -> list[int]:
        result = run(base=base, policy=one, workload=f"{lengths}; {keys.get('more', '')}", seed=3)
        started = result.requests["started"].tolist()
        return sorted(range(4), key=lambda i: started[i])

    requests = run(workload=lengths, seed=3).requests
    prompts, outputs = requests["prompt"].tolist(), requests["output"].tolist()
    assert len(set(prompts)) == 4
    assert order("continuous") == [0, 1, 2, 3]
    assert order("shortest_first") == sorted(range(4), key=lambda i: prompts[i])
    total = [p + o for p, o in zip(prompts, outputs, strict=True)]
    assert order("shortest_job_first") == sorted(range(4), key=lambda i: (total[i], i))
    more = "priority = choice(0: 1, 1: 1)"
    assert order("priority_first", more=more) != [0, 1, 2, 3]


def test_orca_lets_whole_prompts_join_those_that_decode() -> None:
    policy = "local { on iteration(batch, w) { log batch.prefill_tokens, batch.decodes } }"
    lines = [line.split(" ", 1)[1] for line in logged(run(base="orca", policy=policy))]
    assert lines[:3] == ["5 0", "5 1", "5 2"]


def test_a_worker_may_have_a_policy_of_its_own() -> None:
    cluster = """
      worker one { hardware = A100_80G; cost = constant_cost(1 s); kv = exact }
      worker two { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; policy = static }
    """
    plan = tsdl.compile(FILE.format(**{**USUAL, "cluster": cluster}))
    assert [kind.local.batching for kind in plan.workers] == ["prefill_first", "static"]
    assert plan.policy == "own, static"
    assert plan.run().summary["requests"]["finished"] == 3


# -- breakpoints -----------------------------------------------------------------------------------


def test_a_breakpoint_is_at_the_end_of_its_operator() -> None:
    """One prompt on real operators: the time of a breakpoint is the sum of the kernels up to it."""
    model = "breakpoint here after block.attn when layer == 2; after lm_head { log layer, batch.tokens }"
    policy = "local { on here(batch, layer, w) { log layer, batch.prefills } }"
    cluster = "worker gpu { hardware = A100_80G }"
    workload = "requests = 1; arrivals = burst(); prompt = constant(64 tokens); output = constant(1 tokens)"
    parts = {"model": model, "policy": policy, "cluster": cluster, "workload": workload}
    plan = tsdl.compile(FILE.format(**{**USUAL, **parts}))
    result = plan.run()
    times = [time for time, _ in result.log]
    from tsdl.costs import Batch, compiled_prefix

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
    assert [line for _, line in result.log] == ["2 1", "0 64"]


def test_a_delay_at_a_breakpoint_makes_the_iteration_longer() -> None:
    model = "breakpoint half after block.down when layer == 15"
    policy = "local { on half(batch, layer, w) when batch.prefills > 0 { delay 1 s; log layer } }"
    result = run(model=model, policy=policy)
    # A closed cost is shared by 32 layers: the sixteenth ends at half of it.
    assert logged(result)[0] == "0.5 15"
    assert result.requests["first_token"].tolist()[0] == 2


def test_a_breakpoint_that_nobody_handles_costs_no_events() -> None:
    quiet = run(model="breakpoint half after block.down")
    plan = tsdl.compile(FILE.format(**{**USUAL, "model": "breakpoint half after block.down"}))
    assert plan.workers[0].breakpoints == ()
    assert quiet.requests["e2e"].tolist() == run().requests["e2e"].tolist()


# -- conversations and tiers -----------------------------------------------------------------------

TALK = (
    "sessions = 1; arrivals = burst(); turns = constant(3); think = constant(10 s); "
    "prompt = constant(5 tokens); output = constant(3 tokens)"
)
POOL = USUAL["cluster"] + "; tier pool { capacity = 1 GiB; latency = 1 s/block; block = 4 tokens }"


def test_the_context_of_a_conversation_accumulates() -> None:
    columns = run(workload=TALK).requests
    assert columns["prompt"].tolist() == [5, 13, 21]
    assert columns["turn"].tolist() == [0, 1, 2]
    assert columns["session"].tolist() == [0, 0, 0]
    assert columns["arrived"].tolist() == [0, 13, 26]


def test_the_next_turn_finds_what_was_stored() -> None:
    """Of 5 + 3 tokens 7 are computed: two blocks, two seconds to fetch; 13 - 7 are left."""
    policy = """
      local {
        on start(r, w) when r.turn > 0 { fetch r from pool }
        on finish(r, w) { store r in pool }
        on iteration(batch, w) when batch.prefills > 0 { log batch.prefill_tokens, batch.prefill_contexts }
      }
    """
    result = run(policy=policy, workload=TALK, cluster=POOL)
    columns = result.requests
    assert columns["cached"].tolist() == [0, 7, 15]
    assert [line for _, line in result.log] == ["5 5", "6 13", "6 21"]
    assert columns["ttft"].tolist() == pytest.approx([1, 3, 5], rel=1e-9)
    tier = result.summary["tiers"][0]
    assert (tier["fetches"], tier["hits"], tier["tokens_found"], tier["tokens_asked"]) == (
        2,
        2,
        22,
        32,
    )
    assert result.totals["hit_rate"] == 22 / 32


def test_a_full_tier_evicts_the_least_by_its_order() -> None:
    """A token has half a MiB: 3.5 MiB for the first turn of each; there is room for one."""
    policy = """
      local { on start(r, w) when r.turn > 0 { fetch r from pool }; on finish(r, w) { store r in pool } }
      global { on evict(r) { log "evicted", r.session } }
    """
    workload = TALK.replace("sessions = 1", "sessions = 2").replace(
        "turns = constant(3)", "turns = constant(1)"
    )
    cluster = POOL.replace("capacity = 1 GiB", "capacity = 4 MiB")
    result = run(
        policy=policy,
        workload=workload.replace("burst()", "uniform(0.1 req/s)").replace(
            "arrivals = uniform(0.1 req/s)", "arrivals = uniform(0.1 req/s)"
        ),
        cluster=cluster,
    )
    assert [line for _, line in result.log] == ["evicted 0"]
    assert result.summary["tiers"][0]["evictions"] == 1


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


# -- swapping elsewhere ----------------------------------------------------------------------------


def test_victims_may_go_to_the_memory_of_others() -> None:
    cluster = """
      worker gpu { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; swap = spare; link = slow }
      worker spare { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; link = slow }
    """
    policy = """
      local { preempt = swap; watermark = 0 % }
      global { on arrive(r) { dispatch r to pick(w by w.id for w in workers) } }
    """
    text = FILE.format(
        **{**USUAL, "cluster": cluster, "policy": policy, "blocks": "14",
           "workload": "requests = 2; arrivals = burst(); prompt = constant(5 tokens); output = constant(6 tokens)"}
    ) + "link slow { bandwidth = 1 MiB/s }"  # fmt: skip
    result = tsdl.compile(text).run()
    assert result.summary["preemptions"] == 1
    assert result.summary["requests"]["finished"] == 2
    assert result.requests["generated"].tolist() == [6, 6]
    # 7 tokens of half a MiB go out, which takes 3.5 s; and come back, after the other has ended.
    assert result.requests["mtpot"].max() > 7
    assert result.summary["workers"][1]["kv_peak"] == 7 * 2**19


# -- what TokenSim's paper shows -------------------------------------------------------------------

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


# -- what cannot go on -----------------------------------------------------------------------------


def test_a_policy_that_goes_round_is_told_with_its_request() -> None:
    policy = """
      local { on admit(r, w) { preempt r } }
    """
    with pytest.raises(tsdl.TsdlError) as caught:
        run(policy=policy)
    (found,) = caught.value.diagnostics
    assert found.code == "E0903"
    assert re.search(r"(request|worker) \d", found.title)


def test_whoever_waits_for_ever_is_reported() -> None:
    policy = "global { on arrive(r) { dispatch r to random(w for w in workers if r.id == 0) }; on every(1 s) { log now } }"
    result = run(policy=policy)
    assert result.summary["requests"]["stuck"] == [1, 2]


# -- policies in Python ----------------------------------------------------------------------------

EXTERN = """
policy learned from continuous { extern = "mine"; reads = [w.queued, r.prompt] }
scenario s { model = llama2_7b; cluster = replicas(A100_80G, 3); policy = learned; workload = sharegpt(requests = 30) }
"""


def test_a_function_chooses_workers() -> None:
    plan = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: workers[r.prompt % 3]})
    columns = plan.run().requests
    assert (columns["worker"] == columns["prompt"] % 3).all()


def test_what_is_not_declared_cannot_be_read() -> None:
    plan = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: workers[r.output % 3]})
    with pytest.raises(AttributeError, match="does not say that it reads `output`"):
        plan.run()


def test_workers_that_are_pipelines_are_shown_and_not_handed_over() -> None:
    def mine(request, workers):  # type: ignore[no-untyped-def]
        assert workers[0].queued >= 0
        return min(workers, key=lambda w: w.busy)

    cluster = "cluster pipes { worker gpu * 2 { hardware = A100_80G; parallel = pp(2); kv = vllm_shared } }"
    text = cluster + EXTERN.replace("replicas(A100_80G, 3)", "pipes")
    with pytest.raises(AttributeError, match="does not say that it reads `busy`"):
        tsdl.compile(text, externs={"mine": mine}).run()
    tsdl.compile(text, externs={"mine": lambda r, workers: workers[r.id % 2]}).run()

    def meddling(request, workers):  # type: ignore[no-untyped-def]
        workers[0].queued = 5

    with pytest.raises(AttributeError, match="cannot be set"):
        tsdl.compile(text, externs={"mine": meddling}).run()


def test_an_object_handles_events() -> None:
    class Mine:
        def __init__(self) -> None:
            self.seen: list[str] = []

        def arrive(self, act, request, workers) -> None:  # type: ignore[no-untyped-def]
            if request.id == 5:
                act.reject(request)
            else:
                act.dispatch(request, min(workers, key=lambda w: w.queued))

        def finish(self, act, request, worker) -> None:  # type: ignore[no-untyped-def]
            self.seen.append(f"{request.id} on {worker.id}")

    mine = Mine()
    result = tsdl.compile(EXTERN, externs={"mine": mine}).run()
    assert result.summary["requests"]["rejected"] == 1
    assert len(mine.seen) == 29


def test_without_it_the_run_is_refused() -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(EXTERN).run()
    assert caught.value.diagnostics[0].code == "E0519"
    assert tsdl.check(EXTERN) == []


def test_it_is_no_part_of_the_plan() -> None:
    with_it = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: workers[0]})
    assert with_it.hash == tsdl.compile(EXTERN).hash
    assert with_it == tsdl.compile(EXTERN)


def test_a_delay_of_less_than_nothing_ends_the_run() -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        run(policy="local { on token(r, w) { let t = 1 s * (r.id - 1); delay t } }")
    assert caught.value.diagnostics[0].code == "E0902"


def test_a_condition_that_nobody_asks_for_may_have_no_value() -> None:
    """What it says of a worker never changes; but the handler never comes to it."""
    policy = """global {
  on arrive(r) { dispatch r to pick(v by v.queued for v in workers) }
  on finish(r, w) when r.id < 0 {
    dispatch r to pick(v by v.queued for v in workers if v.queued > 5 and 1 / v.id > 0)
  }
}"""
    assert run(policy=policy).summary["requests"]["rejected"] == 0


def test_conditions_that_are_known_count() -> None:
    """`admit` that never holds admits nobody; one that always does is no condition."""
    nobody = run(policy="local { admit r when false }")
    assert nobody.summary["requests"]["stuck"] == [0, 1, 2]
    other = run(policy='local { admit r when w.group == "other" }')
    assert other.summary["requests"]["stuck"] == [0, 1, 2]
    assert run(policy="local { admit r when true }").summary["requests"]["finished"] == 3


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


def test_workers_that_wait_for_each_others_room_do_not_wait_for_ever() -> None:
    cluster = (
        "worker g * 2 { hardware = A100_80G; cost = constant_cost(1 s); kv = exact; swap = g }"
    )
    policy = "local { preempt = swap; watermark = 0 % }"
    workload = (
        "requests = 6; arrivals = burst(); prompt = constant(5 tokens); output = constant(6 tokens)"
    )
    result = run(policy=policy, cluster=cluster, workload=workload, blocks="14")
    assert result.summary["requests"]["finished"] == 6


def test_who_sheds_load_makes_progress() -> None:
    policy = "local { max_requests = 2; on admit(r, w) when now - r.arrived > 2 s { reject r } }"
    workload = "requests = 3000; arrivals = burst(); prompt = constant(5 tokens); output = constant(2 tokens)"
    counts = run(policy=policy, workload=workload).summary["requests"]
    assert counts["rejected"] > 2900
    assert counts["finished"] + counts["rejected"] == 3000


def test_statements_are_nested_only_so_deep() -> None:
    deep = "for a0 in workers { " + "".join(f"for a{i} in workers {{ " for i in range(1, 25))
    policy = f"global {{ on every(1 s) {{ {deep} log 1 {'}' * 25} }} }}"
    with pytest.raises(tsdl.TsdlError) as caught:
        run(policy=policy)
    assert caught.value.diagnostics[0].code == "E0103"


@pytest.mark.parametrize("answer", [7, -1, "a", 1.5, True])
def test_an_answer_of_python_that_is_no_worker_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="no worker"):
        tsdl.compile(EXTERN, externs={"mine": lambda r, workers: answer}).run()


def test_python_is_shown_views_and_nothing_to_change() -> None:
    text = EXTERN.replace("w.queued", "w.kv, w.waiting")

    def prying(request, workers):  # type: ignore[no-untyped-def]
        with pytest.raises(AttributeError):
            workers[0].kv.used = 10**15
        with pytest.raises(AttributeError):
            workers[0].kv.watermark  # noqa: B018 (it is the reading that is refused)
        return workers[0] if workers[0].kv.fill < 0.5 else None

    assert tsdl.compile(text, externs={"mine": prying}).run().summary["requests"]["finished"] == 30


def test_a_policy_under_which_nothing_gets_further_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every chunk is dropped again: time goes on, and nothing else does."""
    monkeypatch.setattr(system, "MOST_IN_VAIN", 10_000)
    policy = "local { max_tokens = 2; max_requests = 2; on iteration(batch, w) { for r in w.active { drop r } } }"
    with pytest.raises(tsdl.TsdlError) as caught:
        run(base="chunked", policy=policy)
    (found,) = caught.value.diagnostics
    assert found.code == "E0903"
    assert "0, 1, 2" in found.title
