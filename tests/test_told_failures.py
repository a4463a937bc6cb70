"""Where a formula fails during a run: the statement or the field, the time, and the request."""

import pytest

import tsdl

ENGINES = pytest.mark.parametrize("engine", ["fast", "reference"])

HANDLERS = """
policy own from continuous {
  local {
    state n: int = 0
    on iteration(b, w) {
      let most = count(q for q in w.active)
      if most > 0 {
        for q in w.active {
          n += floor(IN_A_LOOP)
        }
      } else {
        n += 1
      }
      log n, BEHIND
    }
    on admit(r, w) when IN_A_GUARD > -1 { n += 1; log IN_A_LINE }
  }
  global {
    on token(r, w) { if r.id < 0 { log 1 } else { log IN_THE_GLOBAL_STAGE } }
    on every(250 ms) { log OF_A_TIMER }
  }
}
workload some from sharegpt(rate = 10 req/s) { requests = 10 }
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = own; workload = some }
"""
CASES = {
    "IN_A_LOOP": ("1 / (q.id - 3)", "statement 4 of `on iteration` of policy own", 9, 3),
    "BEHIND": ("1 / (most - 2)", "statement 6 of `on iteration` of policy own", 14, None),
    "IN_A_GUARD": ("1 / (r.id - 4)", "`on admit` of policy own", 16, 4),
    "IN_A_LINE": ("log2(r.id - 5)", "statement 2 of `on admit` of policy own", 16, 0),
    "IN_THE_GLOBAL_STAGE": (
        "1 / (r.id - 6)",
        "statement 3 of `on token` of policy own in the global stage",
        19,
        6,
    ),
    "OF_A_TIMER": (
        "1 / (now - 500 ms)",
        "statement 1 of `on every` of policy own in the global stage",
        20,
        None,
    ),
}


def failing(text: str, engine: str) -> tsdl.Diagnostic:
    """Return what is told of a run in which a formula fails."""
    plan = tsdl.Plan.from_json(tsdl.compile(text).to_json())
    with pytest.raises(tsdl.TsdlError) as caught:
        plan.run(engine=engine)
    (error,) = caught.value.diagnostics
    return error


@ENGINES
@pytest.mark.parametrize("place", CASES)
def test_a_handler_is_told_with_the_statement(place: str, engine: str) -> None:
    formula, part, line, request = CASES[place]
    text = HANDLERS.replace(place, formula)
    for other in CASES:
        text = text.replace(other, "0")
    error = failing(text, engine)
    when, where = error.notes
    assert error.code == "E0901"
    assert when.startswith("at ")
    of = "" if request is None else f", of request {request}"
    assert when.endswith(f" s of simulated time{of}")
    assert where.rpartition(":")[0] == f"{part}: <text>:{line}"


@ENGINES
def test_a_clause_is_told_with_the_request(engine: str) -> None:
    error = failing(
        """
policy own from continuous { local { admit r when 1 / (r.id - 2) > -9 } }
workload some from sharegpt(rate = 10 req/s) { requests = 10 }
scenario s { model = llama2_7b; cluster = single(A100_80G); policy = own; workload = some }
""",
        engine,
    )
    assert error.notes[0].endswith(" s of simulated time, of request 2")
    assert error.notes[1] == "`admit when` of policy own: <text>:2:38"


def gated(gate: str, cost: str = "") -> str:
    """Return a program with an operator of its own, or with a cost for it."""
    return f"""
operator Gate(k) {{ class = pointwise; {gate} }}
cost own {{ {cost} }}
model gated from llama2_7b {{
  graph {{
    repeat block * layers {{ gate: Gate(hidden); attn: Attention(heads, kv_heads, head_dim) }}
  }}
}}
workload few from sharegpt(rate = 9 req/s) {{ requests = 200 }}
cluster c {{ worker g {{ hardware = H100_SXM; {"cost = own" if cost else ""} }} }}
scenario s {{ model = gated; cluster = c; workload = few; policy = chunked }}
"""


@ENGINES
@pytest.mark.parametrize(
    ("gate", "cost", "what", "column"),
    [
        ("flops = k; bytes = tokens / (decodes - 3) ** 2", "", "`bytes` of `gate`", "2:58"),
        ("part a { flops = k } part b { flops = 1 / (decodes - 3) ** 2 }".replace("} p", "}; p"),
         "", "`flops` of `gate.b`", "2:78"),
        ("flops = k", "operator gate { time = 1 us / (decodes - 3) ** 2 }", "`time` of `gate`",
         "3:35"),
    ],
)  # fmt: skip
def test_an_operator_is_told_with_its_field(
    gate: str, cost: str, what: str, column: str, engine: str
) -> None:
    error = failing(gated(gate, cost), engine)
    assert error.title == f"{what} has no value: division by zero"
    assert error.notes[0].endswith(" s of simulated time")
    assert error.notes[1] == f"{what}: <text>:{column}"
