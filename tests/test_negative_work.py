"""Work and times below zero that a program writes: a check tells them, with their iteration."""

import pytest

import tsdl


def found(members: str, cost: str = "") -> list[tsdl.Diagnostic]:
    """Return what is found of an operator in a graph, on a worker with a cost if there is one."""
    own = f"cost = own }} }}\ncost own {{ {cost}" if cost else "}"
    return tsdl.check(f"""
operator Gate(k) {{ class = pointwise; {members} }}
model gated from llama2_7b {{
  graph {{
    repeat block * layers {{ gate: Gate(hidden); attn: Attention(heads, kv_heads, head_dim) }}
  }}
}}
workload few from sharegpt(rate = 1 req/s) {{ requests = 5 }}
scenario s {{ model = gated; cluster = c; workload = few; policy = chunked }}
cluster c {{ worker g {{ hardware = H100_SXM; {own} }}
""")


@pytest.mark.parametrize(
    ("members", "key", "iteration"),
    [
        ("bytes = 4 * (tokens - 128) * k * k", "bytes", "one decode"),
        ("flops = 0 - 2 * tokens", "flops", "one decode"),
        ("flops = 100 * k - 2 * k * decodes", "flops", "64 decodes"),
        ("wire = (64 - prefill_tokens) * k", "wire", "a prefill"),
        ("part one { flops = 64 - tokens; when = prefills > 0 }", "flops", "a prefill"),
    ],
)
def test_work_below_zero_is_told_where_it_is_written(
    members: str, key: str, iteration: str
) -> None:
    (error,) = found(members)
    assert error.code == "E0503"
    assert error.title.startswith(f"`{key}` of `gate")
    assert " must be at least 0, and is -" in error.title
    assert f" in an iteration of {iteration} " in error.title
    assert error.span is not None
    assert error.span.source.text[: error.span.start].endswith(f"{key} = ")


@pytest.mark.parametrize(
    "members",
    [
        "bytes = 4 * max(tokens - 128, 0) * k * k",
        "flops = tokens - 128; when = tokens > 128",
        "flops = 10 / (decodes - 1) ** 2",
    ],
)
def test_work_that_is_none_or_not_launched_is_right(members: str) -> None:
    assert found(members) == []


def test_a_time_below_zero_is_told() -> None:
    (error,) = found("flops = tokens", "operator gate { time = 1 us * (tokens - 40) }")
    assert (error.code, error.title.split(" must ")[0]) == ("E0503", "`time` of `gate`")
    assert found("flops = tokens", "operator gate { time = 1 us * tokens }") == []
