"""Policies in Python: what a function or an object is shown, what it may answer, and do."""

import json
from collections.abc import Callable

import numpy as np
import pytest

import tsdl
from tsdl.schema import RECORDS

EXTERN = """
policy learned from continuous { extern = "mine"; reads = [w.queued, r.prompt] }
scenario s { model = llama2_7b; cluster = replicas(A100_80G, 3); policy = learned; workload = sharegpt(requests = 30) }
"""


def test_a_function_chooses_workers() -> None:
    plan = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: workers[r.prompt % 3]})
    columns = plan.run().requests
    assert (columns["worker"] == columns["prompt"] % 3).all()


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


def told_of(mine: object, text: str = EXTERN) -> str:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(text, externs={"mine": mine}).run()
    assert [d.code for d in caught.value.diagnostics] == ["E0904"]
    return str(caught.value)


@pytest.mark.parametrize("answer", [7, -1, "a", 1.5, True])
def test_an_answer_of_python_that_is_no_worker_is_refused(answer: object) -> None:
    assert "which is no worker" in told_of(lambda r, workers: answer)


def test_what_a_method_returns_would_be_lost() -> None:
    """It is how a function says where a request goes: such a run had all of them stuck."""

    class Mine:
        def arrive(self, act, request, workers):  # type: ignore[no-untyped-def]
            return workers[0]

    told = told_of(Mine())
    assert "from `arrive`" in told
    assert "`act.dispatch(r, w)`" in told


@pytest.mark.parametrize("kind", [int, np.int64, np.uint8, np.array])
def test_a_worker_may_be_any_whole_number(kind: Callable[[int], object]) -> None:
    plan = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: kind(r.id % 3)})
    columns = plan.run().requests
    assert (columns["worker"] == columns["id"] % 3).all()


# -- slips -----------------------------------------------------------------------------------------


def test_what_it_raises_is_told_with_where_and_when() -> None:
    told = told_of(lambda r, workers: workers[1 // (3 - r.id)])
    assert "the policy `mine` in Python fails: ZeroDivisionError: integer division" in told
    assert "= note: asked where request 3 goes" in told
    assert "= note: raised at test_policy_in_python.py:" in told
    assert "s of simulated time" in told

    class Mine:
        def finish(self, act, request, worker) -> None:  # type: ignore[no-untyped-def]
            raise KeyError(request.id)

    told = told_of(Mine())
    assert "fails: KeyError: " in told
    assert "= note: told of `finish` of request " in told


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_what_an_action_brings_about_is_no_slip_of_it(engine: str) -> None:
    handler = "on preempt(r, w) { log r.prompt / (r.prompt - r.prompt) }"
    text = EXTERN.replace("] }", f"]; local {{ {handler} }} }}", 1)

    class Mine:
        def token(self, act, request, worker) -> None:  # type: ignore[no-untyped-def]
            act.preempt(request)

    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(text, externs={"mine": Mine()}).run(engine=engine)
    assert [d.code for d in caught.value.diagnostics] == ["E0901"]


@pytest.mark.parametrize(("name", "meant"), [("tokn", "token"), ("on_token", "token")])
def test_a_misspelt_event_is_told_of(name: str, meant: str) -> None:
    class Mine:
        def finish(self, act, request, worker) -> None:  # type: ignore[no-untyped-def]
            pass

        def tokens(self) -> int:
            return 0

    tsdl.compile(EXTERN, externs={"mine": Mine()}).run()  # whoever is told of events takes more
    setattr(Mine, name, Mine.finish)
    told = told_of(Mine())
    assert f"handles `{name}`, which is no event" in told
    assert f"did you mean `{meant}`?" in told
    setattr(Mine, f"_{name}", Mine.finish)
    delattr(Mine, name)
    tsdl.compile(EXTERN, externs={"mine": Mine()}).run()


@pytest.mark.parametrize("name", ["every", "on_every"])
def test_no_timer_asks_python(name: str) -> None:
    class Mine:
        def finish(self, act, request, worker) -> None:  # type: ignore[no-untyped-def]
            pass

        def _every(self, act) -> None:  # type: ignore[no-untyped-def]
            pass

    tsdl.compile(EXTERN, externs={"mine": Mine()}).run()
    setattr(Mine, name, Mine._every)
    told = told_of(Mine())
    assert f"handles `{name}`, and no timer asks it" in told
    assert "on every(5 s)" in told
    delattr(Mine, "finish")
    assert "no timer asks it" in told_of(Mine())


def test_what_handles_nothing_is_told_of() -> None:
    assert "is no function, and handles no event" in told_of(object())


# -- what it is shown ------------------------------------------------------------------------------


def test_what_is_not_declared_cannot_be_read() -> None:
    told = told_of(lambda r, workers: workers[r.output % 3])
    assert "the policy does not say that it reads `output`; it may read id, prompt" in told
    assert "= help: say in `reads` of the policy what it reads" in told


def test_every_feature_of_a_batch_can_be_read() -> None:
    class Mine:
        def iteration(self, act, batch, worker) -> None:  # type: ignore[no-untyped-def]
            for name in RECORDS["batch"]:
                getattr(batch, name)

    tsdl.compile(EXTERN, externs={"mine": Mine()}).run()


def test_a_method_with_other_arguments_is_raised_at_no_place_of_its_own() -> None:
    class Mine:
        def finish(self, act) -> None:  # type: ignore[no-untyped-def]
            pass

    told = told_of(Mine())
    assert "fails: TypeError" in told
    assert "raised at" not in told


def test_workers_that_are_pipelines_are_shown_and_not_handed_over() -> None:
    def mine(request, workers):  # type: ignore[no-untyped-def]
        assert workers[0].queued >= 0
        return min(workers, key=lambda w: w.busy)

    cluster = "cluster pipes { worker gpu * 2 { hardware = A100_80G; parallel = pp(2); kv = vllm_shared } }"
    text = cluster + EXTERN.replace("replicas(A100_80G, 3)", "pipes")
    assert "does not say that it reads `busy`" in told_of(mine, text)
    tsdl.compile(text, externs={"mine": lambda r, workers: workers[r.id % 2]}).run()

    def meddling(request, workers):  # type: ignore[no-untyped-def]
        workers[0].queued = 5

    assert "cannot be set" in told_of(meddling, text)


def test_python_is_shown_views_and_nothing_to_change() -> None:
    text = EXTERN.replace("w.queued", "w.kv, w.waiting")

    def prying(request, workers):  # type: ignore[no-untyped-def]
        with pytest.raises(AttributeError):
            workers[0].kv.used = 10**15
        with pytest.raises(AttributeError):
            workers[0].kv.watermark  # noqa: B018 (it is the reading that is refused)
        return workers[0] if workers[0].kv.fill < 0.5 else None

    assert tsdl.compile(text, externs={"mine": prying}).run().summary["requests"]["finished"] == 30


# -- the plan --------------------------------------------------------------------------------------


def test_without_it_the_run_is_refused() -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(EXTERN).run()
    assert caught.value.diagnostics[0].code == "E0519"
    assert tsdl.check(EXTERN) == []


@pytest.mark.parametrize(
    ("given", "help_"),
    [("mien", "did you mean `mine` by `mien`?"), ("other", "from Python: `tsdl.compile(")],
)
def test_what_is_handed_in_by_a_name_that_is_misspelt(given: str, help_: str) -> None:
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.compile(EXTERN, externs={given: lambda r, workers: workers[0]}).run()
    assert caught.value.diagnostics[0].help[0].startswith(help_)
    assert caught.value.diagnostics[0].notes == (f"handed in: {given}",)


def test_it_is_no_part_of_the_plan() -> None:
    with_it = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: workers[0]})
    assert with_it.hash == tsdl.compile(EXTERN).hash
    assert with_it == tsdl.compile(EXTERN)


@pytest.mark.parametrize("name", ["r.tenant", "r.__class__", "w.prompt", "r", "x.queued", ""])
@pytest.mark.parametrize("path", ["router", "workers.0.local"])
def test_a_plan_from_elsewhere_reads_what_there_is(name: str, path: str) -> None:
    data = json.loads(tsdl.compile(EXTERN).to_json())
    stage = data
    for step in path.split("."):
        stage = stage[int(step) if step.isdigit() else step]
    stage["extern"]["reads"].append(name)
    with pytest.raises(ValueError, match=f"this is not a plan: .* cannot read '{name}'"):
        tsdl.Plan.from_json(json.dumps(data))
