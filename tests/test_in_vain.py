"""What is done again and again with nothing to show for it ends a run; both engines say when.

A fast worker tells of its tokens late, or not at all. Where that makes it seem that nothing comes
of what is done, the reference engine decides.
"""

from pathlib import Path

import pytest

import tsdl
from tests.engines import compared, ending
from tsdl.runtime import system

# The first worker computes its prompt anew and anew; the other one has a token now and then.
LOOPING = """
policy looping from chunked {
  local {
    max_tokens = 8 tokens; max_requests = 8
    on iteration(batch, w) { for r in batch.prefilling { drop r } }
  }
  global { on arrive(r) { dispatch r to pick(v by v.id for v in workers if v.id == r.id) } }
}
policy plain from OTHER {}
cluster c {
  worker a { hardware = A100_80G; cost = constant_cost(1 ms); policy = looping }
  worker b { hardware = A100_80G; cost = constant_cost(150 ms); policy = plain }
}
workload l {
  requests = 2; arrivals = burst(); prompt = constant(30 tokens); output = constant(TOKENS)
}
scenario s {
  model = llama2_7b; cluster = c; policy = plain; router = looping; workload = l; sample = 1000 s
  until = END
}
"""
FAILING = """
policy first from BATCHING {
  local { max_tokens = 8 tokens; max_requests = 8 }
  global { on arrive(r) { dispatch r to pick(v by v.id for v in workers if v.id == 0) } }
}
cluster c {
  worker a { hardware = A100_80G; cost = constant_cost(STEP); LIFE }
  worker b { hardware = A100_80G; failures = constant(FAILS) }
}
workload w {
  requests = 1; arrivals = burst(); prompt = constant(PROMPT); output = constant(60 tokens)
}
scenario s {
  model = llama2_7b; cluster = c; policy = first; workload = w; sample = 1000 s; until = 20 s
}
"""


def put(text: str, **values: str) -> tsdl.Plan:
    for name, value in values.items():
        text = text.replace(name, value)
    return tsdl.compile(text)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a thousand in a row be too many, and not 100,000."""
    monkeypatch.setattr(system, "MOST_IN_VAIN", 1000)


@pytest.mark.parametrize("other", ["static", "continuous", "chunked"])
@pytest.mark.parametrize(
    ("tokens", "end", "how"),
    [
        ("60 tokens", "4 s", "done"),  # the other one has a token in time, again and again
        ("3 tokens", "1.3 s", "done"),
        ("3 tokens", "1.6 s", "E0903"),  # its last is at 0.45 s
        ("3 tokens", "900 s", "E0903"),
    ],
)
def test_tokens_elsewhere_count_from_when_they_come(
    other: str, tokens: str, end: str, how: str
) -> None:
    assert compared(put(LOOPING, OTHER=other, TOKENS=tokens, END=end)).how == how


@pytest.mark.parametrize("batching", ["static", "continuous", "chunked"])
def test_an_idle_worker_that_fails_takes_nothing_off_another_ones_tokens(batching: str) -> None:
    text = FAILING.replace("max_tokens = 8 tokens; ", "")
    plan = put(text, BATCHING=batching, STEP="0.3 s", LIFE="", FAILS="1 ms", PROMPT="4 tokens")
    assert compared(plan).how == "done"
    assert plan.run().summary["requests"]["finished"] == 1


@pytest.mark.parametrize(("life", "how"), [("120.5 ms", "done"), ("50.5 ms", "E0903")])
def test_a_prompt_that_gets_no_further_is_in_vain(life: str, how: str) -> None:
    values = {"LIFE": f"failures = constant({life})", "FAILS": "900 s", "PROMPT": "800 tokens"}
    assert compared(put(FAILING, BATCHING="chunked", STEP="1 ms", **values)).how == how


AT_ONCE = """
policy plain from continuous { local { max_requests = 8 } }
policy never from continuous { local { admit r when w.id < 0 } }
policy again from continuous {
  local { state n: number; on admit(r, w) { n += 1; if n < 1200 { submit r } } }
  global {
    on arrive(r) {
      dispatch r to pick(v by v.id for v in workers if v.id == (1 if r.id == 0 else 2))
    }
    on submit(r) {
      let h = pick(v by -v.id for v in workers)
      dispatch r to pick(v by v.id for v in workers if v.id == 1)
      dispatch pick(q by q.id for q in h.waiting) to pick(v by v.id for v in workers)
    }
  }
}
cost zero { iteration = 0 s }
cluster c {
  worker z { hardware = A100_80G; cost = zero; policy = plain }
  worker a { hardware = A100_80G; cost = zero; policy = again }
  worker h { hardware = A100_80G; cost = zero; policy = never }
}
workload w {
  requests = 1500; arrivals = burst(); prompt = constant(4 tokens); output = constant(1 tokens)
}
scenario s { model = llama2_7b; cluster = c; policy = plain; router = again; workload = w }
"""


def test_what_happens_at_one_time_is_counted_anew_with_each_token() -> None:
    plan = tsdl.compile(AT_ONCE)
    assert compared(plan).how == "done"
    assert ending(plan, "fast", None).how == "done"


@pytest.mark.parametrize("others", ["", " * 2"])
def test_a_worker_where_nobody_is_asks_no_budget(others: str) -> None:
    text = """
    policy odd from chunked {
      local { budget(w) = 64 tokens / (w.queued + w.running) * 1 req * (1 s / now) }
      global { on arrive(r) { dispatch r to pick(w by w.id for w in workers) } }
    }
    workload w {
      requests = 3; arrivals = poisson(2 req/s); prompt = constant(4 tokens)
      output = constant(2 tokens)
    }
    cluster c { worker gpu OTHERS { hardware = A100_80G } }
    scenario s { model = llama2_7b; cluster = c; workload = w; policy = odd }
    """
    assert compared(put(text, OTHERS=others)).how == "done"


STUCK = """
policy capped from chunked {
  local { admit r when w.id < 0 }
  global { on every(EVERY) { } }
}
cluster c {
  worker gpu { hardware = A100_80G; failures = exponential(mean = 2 h); repair = 10 min }
}
workload w from sharegpt { requests = 3 }
scenario s { model = llama2_7b; cluster = c; policy = capped; workload = w }
"""


@pytest.mark.parametrize("every", ["5 s", "20 s"])
def test_workers_that_fail_keep_no_run_of_the_stuck_going(every: str) -> None:
    plan = put(STUCK, EVERY=every)
    assert compared(plan).how == "done"
    assert plan.run().summary["requests"]["stuck"] == [0, 1, 2]


RECOMPUTING = """
model far from llama2_7b { context = 10_000 tokens }
workload w { trace = "t.csv" }
kvcache small from paged { blocks = 264 }
kvcache big from paged { blocks = 2000 }
cluster c {
  worker g { hardware = A100_80G; kv = small }
  worker h { hardware = A100_80G; kv = big }
}
policy p from chunked {
  local { max_tokens = 2 tokens; max_requests = 2; watermark = 0 %; ADMIT }
}
scenario s { model = far; cluster = c; workload = w; policy = p }
"""
ROWS = ("0,10,2150", "0.001,1,9000", "0.002,4200,3", "0.003,1,9000")


@pytest.mark.parametrize("admit", ["", "admit r by r.arrived"])
def test_a_worker_is_left_alone_while_what_it_does_is_counted(admit: str, tmp_path: Path) -> None:
    """It computes a long prompt anew; to count that, all others were to catch up, and it did."""
    rows = ("arrived_at,num_prefill_tokens,num_decode_tokens", *ROWS, "")
    (tmp_path / "t.csv").write_text("\n".join(rows))
    (tmp_path / "a.tsim").write_text(RECOMPUTING.replace("ADMIT", admit))
    assert compared(tsdl.compile(tmp_path / "a.tsim")).how == "done"
