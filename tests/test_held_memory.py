"""What requests hold is never less than nothing: a check tells it, and a run ends where it is."""

import pytest

import tsdl

LENGTHS = "lognormal(mean = 1000 tokens, sigma = 0.6, max = 3000 tokens)"


def program(footprint: str, prompt: str, policy: str = "continuous") -> str:
    return f"""
kvcache own from paged {{ footprint(r) = {footprint} }}
workload few {{
  requests = 20; arrivals = burst(); prompt = {prompt}; output = constant(20 tokens)
}}
cluster c {{ worker g {{ hardware = A100_80G; kv = own }} }}
scenario s {{ model = llama2_7b; cluster = c; workload = few; policy = {policy} }}
"""


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("uniform(10..1500 tokens)", "a context of 10 tokens (prompt 10, output 20)"),
        ("lognormal(mean = 1000 tokens, sigma = 0.6, min = 90 tokens, max = 2000 tokens)", ""),
        ("choice(10 tokens: 1 %, 1500 tokens: 99 %)", "a context of 10 tokens"),
    ],
)
def test_a_footprint_below_zero_of_short_requests_is_told(prompt: str, said: str) -> None:
    text = program("kv_per_token * (r.context - 400 tokens)", prompt)
    (error,) = tsdl.check(text)
    assert error.code == "E0503"
    assert error.title.startswith("the footprint of `own` must be at least 0, and is -")
    assert said in error.title
    assert error.span is not None
    assert error.span.text == "kv_per_token * (r.context - 400 tokens)"


def test_a_footprint_below_zero_of_long_requests_is_told() -> None:
    text = program("kv_per_token * max(1, 1500 tokens - r.context)", "uniform(10..1500 tokens)")
    assert tsdl.check(text) == []
    text = program("kv_per_token * (1500 tokens - r.context)", "uniform(10..1500 tokens)")
    (error,) = tsdl.check(text)
    assert error.title.endswith(" at a context of 1,519 tokens (prompt 1,500, output 20)")


@pytest.mark.parametrize("least", ["max(0 tokens, r.context - 400 tokens)", "r.context"])
def test_one_that_is_not_is_well(least: str) -> None:
    assert tsdl.check(program(f"kv_per_token * {least}", "uniform(10..1500 tokens)")) == []


@pytest.mark.parametrize("engine", ["fast", "reference"])
@pytest.mark.parametrize("policy", ["continuous", "chunked"])
@pytest.mark.parametrize("of", ["context", "prompt"])
def test_one_that_a_run_comes_to_ends_it(of: str, policy: str, engine: str) -> None:
    """Lengths without a least one are not said to be short before they are."""
    text = program(f"kv_per_token * (r.{of} - 400 tokens)", LENGTHS, policy)
    plan = tsdl.compile(text)
    with pytest.raises(tsdl.TsdlError) as caught:
        plan.run(engine=engine)
    (error,) = caught.value.diagnostics
    assert error.code == "E0902"
    assert error.title.startswith("a request would hold -")
    assert "tokens (prompt " in error.notes[0]
    assert error.notes[1].startswith("at ")
    assert error.notes[2].startswith("kvcache own: ")
