"""Work and times that a program writes, below zero or without a value: a check tells them."""

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


def test_rows_below_zero_are_told() -> None:
    """An operator without tokens is not launched: it took no time, and nobody was told."""
    (error,) = found("rows = tokens - 2 * decodes; flops = 2 * tokens")
    title = "`rows` of `gate` must be at least 0, and is -1 in an iteration of one decode at "
    assert (error.code, error.title[: len(title)]) == ("E0503", title)
    assert error.span is not None
    assert error.span.text == "tokens - 2 * decodes"
    assert found("rows = max(0, tokens - 2 * decodes); flops = 2 * tokens") == []
    assert found("rows = tokens - 2 * decodes; flops = 2 * tokens; when = prefills > 0") == []


@pytest.mark.parametrize(
    ("members", "key", "formula", "iteration", "why"),
    [
        ("flops = K / decodes", "flops", "K / decodes", "a prefill", "division by zero"),
        (
            "flops = 1; bytes = sqrt(tokens - 100)",
            "bytes",
            "sqrt(tokens - 100)",
            "one decode",
            "a ",
        ),
        ("flops = log2(decodes - 1)", "flops", "log2(decodes - 1)", "a prefill", "a root or a log"),
        ("flops = k; rows = K / decodes", "rows", "K / decodes", "a prefill", "division by zero"),
        ("part a { flops = 1 / prefills }", "flops", "1 / prefills", "one decode", "division by"),
        ("flops = 1; when = 1 / decodes > 0", "when", "1 / decodes > 0", "a prefill", "division"),
    ],
)
def test_work_without_a_value_in_what_every_run_has_is_told(
    members: str, key: str, formula: str, iteration: str, why: str
) -> None:
    (error,) = found(members.replace("K", "tokens * k"))
    assert error.code == "E0504"
    assert error.title.startswith(f"`{key}` of `gate")
    assert f" has no value in an iteration of {iteration} " in error.title
    assert error.title.partition(" tokens: ")[2].startswith(why)
    assert error.span is not None
    assert error.span.text == formula.replace("K", "tokens * k")


@pytest.mark.parametrize(
    "members",
    [
        "flops = tokens / decodes if decodes > 0 else 0",
        "flops = tokens / decodes; when = decodes > 0",
        "flops = sqrt(600 - tokens)",  # prompts may be short
        "flops = sqrt(tokens - 32)",  # and decodes many
    ],
)
def test_work_without_a_value_in_what_a_run_may_not_have_is_left_to_it(members: str) -> None:
    assert found(members) == []


def test_what_never_happens_has_no_value_to_lack() -> None:
    program = """
operator Gate(k) { class = pointwise; flops = tokens / FEATURE }
model gated from llama2_7b {
  graph { repeat block * layers { gate: Gate(hidden); attn: Attention(heads, kv_heads, head_dim) } }
}
cluster c {
  worker p { hardware = H100_SXM; runs = RUNS }
  worker d { hardware = H100_SXM; runs = decode; cost = flat }
}
cost flat { iteration = 1 ms }
workload few from sharegpt(rate = 1 req/s) { requests = 5; output = constant(OUTPUT tokens) }
scenario s { model = gated; cluster = c; workload = few; policy = vllm_disaggregated }
"""
    for feature, runs, output, codes in [
        ("decodes", "prefill", "9", ["E0504"]),
        ("prefills", "prefill", "9", []),
        ("prefills", "both", "9", ["E0504"]),
        ("prefills", "both", "1", []),
    ]:
        text = program.replace("FEATURE", feature).replace("RUNS", runs).replace("OUTPUT", output)
        assert [d.code for d in tsdl.check(text) if d.code[0] == "E"] == codes, (feature, runs)


def test_a_time_without_a_value_is_told() -> None:
    (error,) = found("flops = tokens / decodes", "operator gate { time = 1 us * tokens / decodes }")
    assert (error.code, error.title.split(" has ")[0]) == ("E0504", "`time` of `gate`")
    assert found("flops = tokens / decodes", "operator gate { time = 1 us * tokens }") == []
    assert found("flops = tokens / decodes", "iteration = 1 ms") == []


def test_a_time_below_zero_is_told() -> None:
    (error,) = found("flops = tokens", "operator gate { time = 1 us * (tokens - 40) }")
    assert (error.code, error.title.split(" must ")[0]) == ("E0503", "`time` of `gate`")
    assert found("flops = tokens", "operator gate { time = 1 us * tokens }") == []
