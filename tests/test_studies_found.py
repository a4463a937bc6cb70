"""What was found in studies by writing some: each of these did not do what was meant."""

import tsdl

PROGRAM = """
param size = 64 tokens
param answer = 16 tokens
workload short {
  requests = 20; arrivals = poisson(8 req/s); prompt = constant(size); output = constant(answer)
}
scenario one { model = llama2_7b; cluster = single(A100_80G); workload = short }
"""


def mistakes(study: str) -> list[str]:
    return [d.title for d in tsdl.check(PROGRAM + study)]


def test_params_that_go_together_repeat_values_but_not_pairs() -> None:
    lengths = "study s {{ scenario = one; vary size, answer in zip({}, {}); table mean(output) }}"
    answer = tsdl.study(PROGRAM + lengths.format("[32, 32] tokens", "[4, 8] tokens"), jobs=1)
    assert [list(row.cells.values()) for row in answer.rows] == [[32, 4], [32, 8]]
    assert mistakes(lengths.format("[32, 32] tokens", "[4, 4] tokens")) == [
        "`size` and `answer` take 32 tokens and 4 tokens twice"
    ]
