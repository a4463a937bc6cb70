"""Statements as they are written elsewhere: what is told to write is a program."""

import re

import pytest

import tsdl

WORKLOAD = """
workload w {
  requests = 20; arrivals = poisson(2 req/s)
  prompt = constant(50 tokens); output = constant(5 tokens)
}
"""
EXPECT = "scenario s { model = llama3_1_8b; cluster = single(A100_80G); workload = w; expect ¦ }"
SLO = "slo own { ¦ }"
PICK = "policy own from continuous { global { on arrive(r) { ¦ } } }"
LOCAL = "policy own from continuous { local { on iteration(batch, w) { ¦ } } }"


def told(program: str) -> list[str]:
    return [help_ for found in tsdl.check(WORKLOAD + program) for help_ in found.help]


@pytest.mark.parametrize(
    ("around", "wrong", "right"),
    [
        (SLO, "ttft <= 1 s if priority = 0 else 2 s", "ttft <= 1 s if priority == 0 else 2 s"),
        (EXPECT, "p99.9(ttft) <= 2 s", "p999(ttft) <= 2 s"),
        (
            LOCAL,
            "for r in w.active if r.generated > 3 { log r.id }",
            "for r in w.active { if r.generated > 3 { log r.id } }",
        ),
    ],
)
def test_what_is_told_to_write_checks(around: str, wrong: str, right: str) -> None:
    (help_,) = told(around.replace("¦", wrong))
    (shown,) = re.findall("`((?:by|for|p9|ttft).*?)(?: … .*)?`", help_)
    assert shown in right
    assert told(around.replace("¦", right)) == []


def test_the_mean_of_a_list_is_written_as_a_sum_and_a_count() -> None:
    around = "let usual = ¦; dispatch r to random(w for w in workers if w.queued <= usual)"
    program = PICK.replace("¦", around)
    wrong = program.replace("¦", "mean(w.queued for w in workers if w.prefills)")
    (help_,) = told(wrong)
    right = help_.removeprefix("write ").strip("`")
    assert told(program.replace("¦", right)) == []
