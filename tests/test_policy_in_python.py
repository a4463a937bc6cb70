"""Policies in Python: what a function or an object is shown, what it may answer, and do."""

import pytest

import tsdl

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


@pytest.mark.parametrize("answer", [7, -1, "a", 1.5, True])
def test_an_answer_of_python_that_is_no_worker_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="no worker"):
        tsdl.compile(EXTERN, externs={"mine": lambda r, workers: answer}).run()


# -- what it is shown ------------------------------------------------------------------------------


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


def test_it_is_no_part_of_the_plan() -> None:
    with_it = tsdl.compile(EXTERN, externs={"mine": lambda r, workers: workers[0]})
    assert with_it.hash == tsdl.compile(EXTERN).hash
    assert with_it == tsdl.compile(EXTERN)
