"""Several models in a cluster (SPEC.md, 8.27): what is computed where, and mistakes."""

import pytest

import tsdl
from tests.policy_runs import logged, plan_of, run
from tsdl.planreading import read_plan
from tsdl.runtime.text import summary

# Whole iterations take 1 s with the model of the scenario, and 0.25 s with the other one.
BOTH = """
  worker big { hardware = box; cost = constant_cost(1 s); kv = exact }
  worker quick { model = other; hardware = box; cost = constant_cost(0.25 s); kv = exact }
"""
OTHER = "}\nmodel other from small { kv_heads = heads / 2"
# All begin on the quick worker, and go over to the big one with their third token.
OVER = """
  global {
    on token(r, w) when w.model == "other" and r.generated == 3 { %s }
    on arrive(r) { dispatch r to pick(w by w.id for w in workers if w.model == "other") }
    on submit(r) { dispatch r to pick(w by w.id for w in workers if w.model == "small") }
    on start(r, w) { log "starts", r.computed, "of", r.context, "on", w.model }
    on finish(r, w) { log "ends on", w.model }
  }
"""
ONE = "requests = 1; arrivals = uniform(1 req/s); prompt = constant(5 tokens); "
ENGINES = pytest.mark.parametrize("engine", ["fast", "reference"])


@ENGINES
@pytest.mark.parametrize(
    "goes",
    ["submit r", "dispatch r to pick(v by v.id for v in workers)"],
    ids=["submit", "dispatch"],
)
def test_an_answer_goes_on_with_another_model_and_is_computed_anew(engine: str, goes: str) -> None:
    """Three tokens in 0.75 s; then 8 tokens are a prompt of the big one, which adds 4, 1 s each."""
    goes = (
        goes if "submit" in goes else goes.replace("in workers", 'in workers if v.model == "small"')
    )
    parts = {"policy": OVER % goes, "cluster": BOTH, "model": OTHER}
    parts["workload"] = ONE + "output = constant(7 tokens)"
    result = plan_of(**parts).run(engine=engine)
    assert logged(result) == [
        "0 starts 0 of 5 on other",
        "0.75 starts 0 of 8 on small",
        "4.75 ends on small",
    ]  # fmt: skip
    assert result.requests["e2e"].tolist() == [4.75]
    assert result.requests["transferred"].tolist() == [0]
    assert [(w["model"], w["iterations"]) for w in result.summary["workers"]] == [
        ("small", 4), ("other", 3),
    ]  # fmt: skip


@ENGINES
def test_what_it_held_is_free_at_once(engine: str) -> None:
    """The KV that stays behind holds up nobody: the second of two is admitted when one goes."""
    parts = {"policy": OVER % "submit r", "cluster": BOTH, "model": OTHER, "blocks": "14"}
    parts["workload"] = (
        "requests = 2; arrivals = burst(); prompt = constant(10 tokens); "
        "output = constant(4 tokens)"
    )
    result = plan_of(**parts).run(engine=engine)
    starts = [line for line in logged(result) if "starts" in line]
    assert sorted(starts) == [
        "0 starts 0 of 10 on other",
        "0.75 starts 0 of 10 on other",
        "0.75 starts 0 of 13 on small",
        "1.75 starts 0 of 13 on small",
    ]


@ENGINES
def test_who_is_too_long_for_a_model_is_rejected_there(engine: str) -> None:
    """Requests of 100 tokens; the other model takes 60, and one that has more is no arrival."""
    parts = {"cluster": BOTH, "model": OTHER + "; context = 60 tokens"}
    parts["workload"] = (
        "requests = 4; arrivals = uniform(1 req/s); prompt = constant(98 tokens); "
        "output = constant(2 tokens)"
    )
    result = plan_of(**parts).run(engine=engine)
    assert result.requests["status"].tolist() == ["finished", "rejected"] * 2
    assert result.requests["worker"].tolist() == [0, 1, 0, 1]


@ENGINES
def test_no_kv_is_sent_ahead_to_another_model(engine: str) -> None:
    sends = "transfer r to pick(v by v.id for v in workers)"
    parts = {"policy": OVER % f"{sends}; submit r", "cluster": BOTH, "model": OTHER}
    parts["workload"] = ONE + "output = constant(7 tokens)"
    result = plan_of(**parts).run(engine=engine)
    assert result.summary["transfers"]["count"] == 0
    assert result.requests["e2e"].tolist() == [4.75]


def test_a_plan_tells_which_is_served_where() -> None:
    plan = plan_of(cluster=BOTH, model=OTHER)
    assert [model.name for model in plan.models] == ["small", "other"]
    assert plan.served == ("small", "other")
    assert read_plan(plan.to_json()).hash == plan.hash
    assert "other on box: busy" in summary(plan.run())


def test_a_name_that_no_worker_serves_is_told() -> None:
    chosen = 'pick(w by w.id for w in workers if w.model == "othr")'
    policy = f"global {{ on arrive(r) {{ dispatch r to {chosen} }} }}"
    plan = plan_of(cluster=BOTH, model=OTHER, policy=policy)
    (told,) = [w for w in plan.warnings if w.code == "W0507"]
    assert told.title == "no worker serves the model `othr`"
    assert told.help == ("did you mean `other`?",)


def test_a_model_that_nobody_serves_is_told() -> None:
    plan = plan_of(
        cluster="worker quick { model = other; hardware = box; kv = exact }", model=OTHER
    )
    (told,) = [w for w in plan.warnings if w.code == "W0529"]
    assert "each worker of `few` has a model of its own" in told.title


def test_two_models_share_no_tier_but_may_have_one_each() -> None:
    keeping = "local { on finish(r, w) { store r in %s }; on start(r, w) { fetch r from %s } }"
    pools = "\n tier pool { capacity = 1 GiB }"
    with pytest.raises(tsdl.TsdlError) as caught:
        plan_of(cluster=BOTH + pools, model=OTHER, policy=keeping % ("pool", "pool"))
    assert caught.value.diagnostics[0].code == "E0526"
    own = BOTH.replace("model = other;", "model = other; policy = theirs;")
    theirs = f"}}\npolicy theirs from continuous {{ {keeping % ('near', 'near')}"
    plan = plan_of(
        cluster=own + pools + "; tier near { capacity = 1 GiB }",
        model=OTHER, policy=keeping % ("pool", "pool") + theirs,
    )  # fmt: skip
    assert plan.run().totals["finished"] == 3


def test_a_tier_of_a_node_stands_before_that_of_the_cluster() -> None:
    """Of two tiers of one name the workers of each model have one."""
    keeping = "local { on finish(r, w) { store r in near }; on start(r, w) { fetch r from near } }"
    big, quick = BOTH.strip().splitlines()
    near = "tier near { capacity = 1 GiB }"
    cluster = f"""
    network = at_once
    {near}
    node first {{ {big}; %s }}
    node second {{ {quick} }}"""
    assert len(plan_of(cluster=cluster % near, model=OTHER, policy=keeping).tiers) == 2
    with pytest.raises(tsdl.TsdlError) as caught:
        plan_of(cluster=cluster % "", model=OTHER, policy=keeping)
    assert caught.value.diagnostics[0].code == "E0526"


def test_each_model_needs_workers_for_both_phases() -> None:
    cluster = BOTH.replace("model = other;", "model = other; runs = prefill;")
    with pytest.raises(tsdl.TsdlError) as caught:
        plan_of(cluster=cluster, model=OTHER)
    (told,) = caught.value.diagnostics
    assert told.code == "E0513"
    assert told.title == "no worker of `few` runs decode for `other`, so no request can finish"


def test_memory_is_that_of_the_model_of_each_worker() -> None:
    """The other model has half of the heads of KV: a token of it takes half of the bytes."""
    small, other = plan_of(cluster=BOTH, model=OTHER).workers
    assert small.kv.bytes_per_token == 2 * other.kv.bytes_per_token
    assert small.weights > other.weights
    assert run(cluster=BOTH, model=OTHER).totals["finished"] == 3


def test_a_model_stays_one_where_its_weights_go_by_the_devices_of_a_worker() -> None:
    """Another count of parameters makes no other model: KV is handed over, and decoded there."""
    model = """}
    operator Copied(width) { weights = width * devices; flops = tokens; class = pointwise }
    model copied from small { graph {
      attn: Attention(heads, kv_heads, head_dim)
      copy: Copied(hidden)
      sample: Sampler(vocabulary, rows = last_tokens)
    }"""
    own = "{ model = copied; hardware = box; kv = exact; cost = constant_cost(1 s); "
    cluster = f"""
    network = at_once
    worker first {own} runs = prefill }}
    worker then {own} runs = decode; parallel = tp(2) }}"""
    plan = plan_of(cluster=cluster, model=model, base="handing_over")
    assert [model.name for model in plan.models] == ["copied"]
    result = plan.run()
    assert result.summary["transfers"]["count"] == 3
    assert [worker["iterations"] > 0 for worker in result.summary["workers"]] == [True, True]


def test_two_models_of_one_name_are_told() -> None:
    """By its name alone policies and results know a model; the same one may be called twice."""
    model = "}\nmodel sized(n: int) from small { layers = n"
    cluster = BOTH.replace("model = other;", "model = sized(4);")
    first = "{ model = sized(%s); hardware = box; cost = constant_cost(1 s); kv = exact }"
    same, other = (cluster + f"\n worker more {first % n}" for n in (4, 8))
    assert [m.name for m in plan_of(cluster=same, model=model).models] == ["small", "sized"]
    with pytest.raises(tsdl.TsdlError) as caught:
        plan_of(cluster=other, model=model)
    (told,) = caught.value.diagnostics
    assert (told.code, told.title) == (
        "E0202",
        "workers serve two models that are called `sized`",
    )
