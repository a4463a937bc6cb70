"""The front end of a server: when users have the tokens that it hands out, and who waits for it."""

import numpy as np
import pytest

import tsdl

HANDED_OUT = """
policy handed_out from {policy} {{ local {{ front_end = {delay} ms }} }}
workload asked from sharegpt {{ requests = 60; {workload} }}
scenario it {{
  model = llama2_7b; cluster = replicas(A100_80G, 2); policy = handed_out; workload = asked
}}
"""


@pytest.mark.parametrize("policy", ["continuous", "vllm", "static"])
def test_users_have_tokens_once_the_front_end_has_handed_them_out(policy: str) -> None:
    """All of a request comes so much later, and nothing between its tokens changes."""
    found = [
        tsdl.compile(HANDED_OUT.format(policy=policy, delay=delay, workload="")).run()
        for delay in (0, 250)
    ]
    at_once, later = (result.requests for result in found)
    for name in ("first_token", "last_token", "ttft", "e2e"):
        assert later[name] - at_once[name] == pytest.approx(0.25)
    for name in ("queue", "tpot", "mtpot", "started"):
        assert np.array_equal(later[name], at_once[name], equal_nan=True)
    assert found[1].summary["end"] - found[0].summary["end"] == pytest.approx(0.25)
    assert found[1].summary["latency"]["itl"] == found[0].summary["latency"]["itl"]


def test_the_times_of_tokens_are_those_at_which_users_have_them() -> None:
    """They are in order of time, where one worker hands out later than another, too."""
    text = HANDED_OUT.format(policy="chunked", delay=250, workload="").replace(
        "cluster = replicas(A100_80G, 2)", "cluster = both"
    )
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
    result = tsdl.compile(HANDED_OUT.format(policy="chunked", delay=40, workload=workload)).run()
    arrived, answered = result.requests["arrived"], result.requests["last_token"]
    assert arrived[1:] == pytest.approx(answered[:-1] + 1.0)
    assert result.requests["e2e"] == pytest.approx(answered - arrived)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_run_ends_at_until_whatever_the_front_end_holds(engine: str) -> None:
    """Who has a last token is done then; its user has it after the end."""
    text = HANDED_OUT.format(policy="chunked", delay=300, workload="")
    whole = tsdl.compile(text).run(engine=engine)
    last = float(max(whole.requests["last_token"]))
    plan = tsdl.compile(text.replace("scenario it {", f"scenario it {{ until = {last - 0.1} s;"))
    result = plan.run(engine=engine)
    assert result.summary["end"] == pytest.approx(last - 0.1)
    assert result.summary["requests"]["finished"] == 60
    assert float(max(result.requests["last_token"])) == pytest.approx(last)
