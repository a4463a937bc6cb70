"""The front end of a server: when users have the tokens that it hands out, and who waits for it."""

import numpy as np
import pytest

import tsdl

HANDED_OUT = """
policy handed_out from {policy} {{ local {{ front_end = {delay} ms; behind = {behind} }} }}
workload asked from sharegpt {{ requests = {requests}; {workload} }}
scenario it {{
  model = llama2_7b; cluster = replicas(A100_80G, 2); policy = handed_out; workload = asked
}}
"""


def handed_out(
    policy: str = "chunked",
    *,
    delay: int = 0,
    behind: int = 0,
    workload: str = "",
    requests: int = 60,
) -> str:
    return HANDED_OUT.format(
        policy=policy, delay=delay, behind=behind, workload=workload, requests=requests
    )


@pytest.mark.parametrize("policy", ["continuous", "vllm", "static"])
def test_users_have_tokens_once_the_front_end_has_handed_them_out(policy: str) -> None:
    """All of a request comes so much later, and nothing between its tokens changes."""
    found = [tsdl.compile(handed_out(policy, delay=delay)).run() for delay in (0, 250)]
    at_once, later = (result.requests for result in found)
    for name in ("first_token", "last_token", "ttft", "e2e"):
        assert later[name] - at_once[name] == pytest.approx(0.25)
    for name in ("queue", "tpot", "mtpot", "started"):
        assert np.array_equal(later[name], at_once[name], equal_nan=True)
    assert found[1].summary["end"] - found[0].summary["end"] == pytest.approx(0.25)
    assert found[1].summary["latency"]["itl"] == found[0].summary["latency"]["itl"]


def test_the_times_of_tokens_are_those_at_which_users_have_them() -> None:
    """They are in order of time, where one worker hands out later than another, too."""
    text = handed_out(delay=250).replace("cluster = replicas(A100_80G, 2)", "cluster = both")
    workers = "worker a { hardware = A100_80G; policy = chunked }; worker b { hardware = A100_80G }"
    result = tsdl.compile(f"{text} cluster both {{ {workers} }}").run(tokens=True)
    assert result.tokens is not None
    assert (np.diff(result.tokens.time) >= 0).all()
    requests = result.requests
    assert {*requests["worker"]} == {0, 1}
    for request in requests["id"]:
        times = result.tokens.time[result.tokens.request == request]
        assert times[0] == requests["first_token"][request]
        assert times[-1] == requests["last_token"][request]


def test_who_waits_for_an_answer_waits_for_the_front_end() -> None:
    workload = "sessions = 1; turns = constant(3); think = constant(1 s)"
    result = tsdl.compile(handed_out(delay=40, workload=workload)).run()
    arrived, answered = result.requests["arrived"], result.requests["last_token"]
    assert arrived[1:] == pytest.approx(answered[:-1] + 1.0)
    assert result.requests["e2e"] == pytest.approx(answered - arrived)


@pytest.mark.parametrize("policy", ["continuous", "vllm"])
def test_users_are_behind_by_what_a_token_takes_them(policy: str) -> None:
    """By twice their usual gap here, the longest left out; who has no two gaps is not."""
    at_once, later = (
        tsdl.compile(
            handed_out(policy, delay=250, behind=behind, workload="output = uniform(1..9 tokens)")
        )
        .run()
        .requests
        for behind in (0, 2)
    )
    few = later["output"] < 3
    assert 0 < few.sum() < 60
    gaps = later["last_token"] - later["first_token"] - np.nan_to_num(later["mtpot"])
    wanted = np.where(few, 0, 2 * gaps / np.maximum(later["output"] - 2, 1))
    for name in ("first_token", "last_token", "ttft", "e2e"):
        assert later[name] - at_once[name] == pytest.approx(wanted, abs=1e-9)
    for name in ("queue", "tpot", "mtpot", "started"):
        assert np.array_equal(later[name], at_once[name], equal_nan=True)


def test_each_token_is_as_far_behind() -> None:
    result = tsdl.compile(handed_out(behind=1)).run(tokens=True)
    assert result.tokens is not None
    assert (np.diff(result.tokens.time) >= 0).all()
    for request in result.requests["id"]:
        times = result.tokens.time[result.tokens.request == request]
        assert times[0] == result.requests["first_token"][request]
        assert times[-1] == result.requests["last_token"][request]


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize(
    ("requests", "workload"), [(60, "concurrency = 1"), (1, "turns = constant(5)")]
)
def test_who_waits_for_an_answer_is_as_far_behind(
    engine: str, requests: int, workload: str
) -> None:
    """The next request, or question, comes once its user has the answer before it."""
    text = handed_out(delay=40, behind=1, workload=workload, requests=requests)
    text = text.replace("requests = 1;", "sessions = 1;")
    found = tsdl.compile(text).run(engine=engine).requests
    assert len(found["arrived"]) == (60 if requests > 1 else 5)
    assert found["arrived"][1:] == pytest.approx(found["last_token"][:-1])


def test_who_is_stopped_is_behind_by_the_tokens_that_it_has() -> None:
    """At `until` part of an answer is there: its first token came later by what these took."""
    workload = "prompt = constant(100 tokens); output = constant(400 tokens); concurrency = 1"
    at_once, later = (
        tsdl.compile(
            handed_out(behind=behind, workload=workload, requests=1).replace(
                "scenario it {", "scenario it { until = 2 s;"
            )
        )
        .run()
        .requests
        for behind in (0, 1)
    )
    (generated,) = later["generated"]
    assert 10 < generated < 400
    taken = (at_once["last_token"] - at_once["first_token"]) / (generated - 1)
    assert later["first_token"] - at_once["first_token"] == pytest.approx(taken, rel=0.01)


def test_prompts_of_others_make_nobody_be_further_behind() -> None:
    """A burst is prefilled first: whose first gap is as long as that is behind by a decode."""
    workload = "arrivals = burst(size = 30 req); prompt = constant(2000 tokens)"
    found = [
        tsdl.compile(
            handed_out("continuous", behind=n, workload=f"{workload}; output = constant(4 tokens)")
        ).run()
        for n in (0, 1)
    ]
    at_once, later = (result.requests for result in found)
    assert max(at_once["mtpot"]) > 1
    assert max(later["ttft"] - at_once["ttft"]) < 0.1


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_run_ends_at_until_whatever_the_front_end_holds(engine: str) -> None:
    """Who has a last token is done then; its user has it after the end."""
    text = handed_out(delay=300)
    whole = tsdl.compile(text).run(engine=engine)
    last = float(max(whole.requests["last_token"]))
    plan = tsdl.compile(text.replace("scenario it {", f"scenario it {{ until = {last - 0.1} s;"))
    result = plan.run(engine=engine)
    assert result.summary["end"] == pytest.approx(last - 0.1)
    assert result.summary["requests"]["finished"] == 60
    assert float(max(result.requests["last_token"])) == pytest.approx(last)
