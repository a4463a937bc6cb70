"""Programs on which engines may differ, or did once, by name: both give the same bytes.

What `python -m tests.engines --reduce` finds comes here: the small program itself.
"""

from pathlib import Path

import pytest

import tsdl
from tests.engines import compared_text

FOLDER = Path(__file__).parent / "differences"

HEAD = """edition "2026"
model short from llama2_7b { context = 400 tokens }
cost exact { iteration = 7.8125 ms }
cost growing { iteration = 2 ms + 1 us * contexts + 1 us * longest_context }
cost zero { iteration = 0 s }
kvcache tight from token_wise { block = 1 tokens; blocks = 130; swap_space = 1 GiB }
link slow { bandwidth = 1 GB/s; latency = 1 ms }
"""

PROGRAMS = {
    # 1/128 s is a double: so are all sums of it, and every arrival is on a boundary to the bit.
    "arrivals exactly on boundaries": """
cluster some { worker gpu { hardware = A100_80G; cost = exact } }
workload asked {
  requests = 40; arrivals = uniform(64 req/s); prompt = uniform(1..30 tokens)
  output = uniform(1..30 tokens)
}
scenario it { model = short; cluster = some; workload = asked; sample = 7.8125 ms }
""",
    # Who starts has KV fetched ahead; whoever's has to leave for it decodes, in the iteration that
    # is being put together.
    "an eviction while an iteration is put together": """
cluster some {
  worker gpu { hardware = A100_80G; cost = lengthy }
  tier near { capacity = 100 MiB }
  tier far { capacity = 10 GiB }
}
cost lengthy { iteration = 10 ms * prefill_tokens + 3 ms * decodes + 1 ms }
policy mine from chunked {
  local {
    on start(r, w) { fetch r from far to near }
    on finish(r, w) { store r in far }
  }
  global { on evict(r) { log r.id, r.generated } }
}
workload asked {
  sessions = 10; turns = constant(3); think = exponential(mean = 3 s); arrivals = poisson(2 req/s)
  prompt = constant(20 tokens); output = uniform(1..20 tokens); total = 60 tokens
}
scenario it { model = short; cluster = some; workload = asked; policy = mine }
""",
    # Workers in step: an answer ends on one when the boundary of another has just been.
    "the next turn on a boundary": """
cluster some { worker gpu * 3 { hardware = A100_80G; cost = exact } }
workload asked {
  arrivals = burst(); prompt = uniform(1..40 tokens); sessions = 8; turns = constant(3)
  output = choice(1 tokens: 1, uniform(1..20 tokens): 1)
}
scenario it { model = short; cluster = some; workload = asked }
""",
    # Users think for whole iterations, or less: the next turn comes on a boundary of any worker.
    "the next turn on a boundary, once it was thought about": """
cluster some { worker gpu * 3 { hardware = A100_80G; cost = exact; kv = found } }
kvcache found from paged { block = 4 tokens; blocks = 40; share = prefix }
policy mine from chunked, least_loaded {
  local { watermark = 0 %; max_requests = 8; max_tokens = 16 tokens }
}
workload asked {
  arrivals = burst(size = 3, every = 15.625 ms); prompt = uniform(1..20 tokens); sessions = 12
  turns = constant(4); output = choice(1 tokens: 1, uniform(1..20 tokens): 1); total = 140 tokens
  think = choice(0 s: 1, 7.8125 ms: 1, 31.25 ms: 1, exponential(mean = 20 ms): 1)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 7.8125 ms }
""",
    # A chunk of one brings blocks with which the head fits that was refused before.
    "others bring the blocks of who waits": """
cluster some { worker gpu { hardware = A100_80G; cost = growing; kv = found } }
kvcache found from paged { block = 4 tokens; blocks = 33; share = prefix }
policy mine from chunked { local { watermark = 10 %; max_requests = 8; max_tokens = 24 tokens } }
workload asked {
  requests = 60; arrivals = poisson(60 req/s); prefixes = 2; prefix = constant(60 tokens)
  prompt = uniform(20..80 tokens); output = uniform(1..25 tokens); total = 105 tokens
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 3 ms }
""",
    # j / 100 and sums of 0.01 are not always the same double: some arrive just before, some after.
    "arrivals a bit beside boundaries": """
cluster some { worker gpu * 2 { hardware = A100_80G; cost = constant_cost(10 ms) } }
policy mine from chunked, least_loaded { local { max_requests = 4; max_tokens = 16 tokens } }
workload asked {
  requests = 60; arrivals = uniform(100 req/s); prompt = uniform(1..30 tokens)
  output = uniform(1..30 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 10 ms }
""",
    "all at once": """
cluster some { worker gpu * 3 { hardware = A100_80G; cost = growing; kv = tight } }
policy mine from continuous, least_outstanding_tokens { local { watermark = 0 % } }
workload asked {
  requests = 50; arrivals = burst(); prompt = uniform(1..20 tokens); output = uniform(1..100 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine }
""",
    # Prefilled in one iteration, a victim before the first decode: there is no room for the second.
    "preempted between prefill and first decode": """
cluster some { worker gpu { hardware = A100_80G; cost = constant_cost(10 ms); kv = tight } }
policy mine from continuous { local { watermark = 0 % } }
workload asked {
  requests = 9; arrivals = burst(size = 3, every = 50 ms); prompt = constant(43 tokens)
  output = constant(60 tokens); total = 103 tokens
}
scenario it { model = short; cluster = some; workload = asked; policy = mine }
""",
    # The head does not fit until a victim has gone, or a request has finished.
    "a blocked head is looked at again": """
cluster some { worker gpu { hardware = A100_80G; cost = growing; kv = tight } }
policy mine from continuous { local { watermark = 10 %; preempt = swap } }
workload asked {
  requests = 30; arrivals = poisson(100 req/s)
  prompt = choice(5 tokens: 3, 90 tokens: 1); output = uniform(1..25 tokens); total = 115 tokens
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 3 ms }
""",
    "the next question comes with the last token": """
cluster some { worker gpu * 2 { hardware = A100_80G; cost = exact; kv = tight } }
policy mine from continuous, session_affinity {
  local { watermark = 0 %; state n: count; on finish(r, w) { n += 1; record "finished", n } }
}
workload asked {
  sessions = 12; turns = uniform(1..4); think = constant(0 s); arrivals = burst()
  prompt = uniform(1..10 tokens); output = uniform(1..20 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine }
""",
    "time stands still": """
cluster some { worker gpu * 2 { hardware = A100_80G; cost = zero; kv = tight } }
policy mine from continuous, power_of_two { local { max_requests = 5; watermark = 0 % } }
workload asked {
  requests = 40; arrivals = burst(size = 10, every = 1 ms); prompt = uniform(1..20 tokens)
  output = uniform(1..60 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine }
""",
    "somebody looks at whoever runs, on boundaries and between": """
cluster some { worker gpu * 2 { hardware = A100_80G; cost = exact } }
policy mine from continuous, round_robin {
  local { on every(7.8125 ms) { for r in w.active { log r.id, r.generated, r.computed, r.held } } }
  global { on every(3 ms) { for w in workers { record "left", w.outstanding_tokens / 1 tokens } } }
}
workload asked {
  requests = 10; arrivals = uniform(64 req/s); prompt = uniform(1..30 tokens)
  output = uniform(1..40 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; until = 0.25 s }
""",
    "padding of a static batch": """
cluster some { worker gpu { hardware = A100_80G; cost = growing } }
policy mine from static { local { max_requests = 4; window = 10 ms } }
workload asked {
  requests = 21; arrivals = uniform(100 req/s); prompt = uniform(1..30 tokens)
  output = choice(1 tokens: 1, uniform(1..40 tokens): 2)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 10 ms }
""",
    "handed over where there is hardly room": """
cluster some {
  worker first * 2 { hardware = A100_80G; cost = exact; runs = prefill; link = slow }
  worker then {
    hardware = A100_80G; cost = exact; kv = tight; runs = decode; link = slow; handoff = sequential
  }
}
workload asked {
  requests = 30; arrivals = uniform(64 req/s); prompt = uniform(1..30 tokens)
  output = uniform(1..60 tokens)
}
policy mine from disaggregated { local { watermark = 0 % } }
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 7.8125 ms }
""",
    # While KV comes in slowly, a worker decodes unseen; who arrives then is not begun before.
    "who arrives at a worker that is behind": """
cluster some { worker gpu * 2 { hardware = A100_80G; cost = exact; link = slower } }
link slower { bandwidth = 1 MB/s }
policy mine from chunked {
  local { on token(r, w) when r.generated == 1 { submit r } }
  global { on submit(r) { dispatch r to pick(v by v.kv.fill for v in workers if v.decodes) } }
}
workload asked {
  requests = 8; arrivals = gamma(4 req/s, cv = 2); prompt = uniform(1..40 tokens)
  output = uniform(1..50 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; timeseries = changes }
""",
    # Who is swapped out may come back once what has ended is free: that is one iteration later.
    "ahead of its results, with hardly any memory": """
cluster some { worker gpu * 2 { hardware = A100_80G; cost = growing; kv = tight } }
policy mine from chunked {
  local {
    watermark = 0 %; preempt = swap; scheduling = asynchronous; max_tokens = 64 tokens
    max_requests = 16
  }
}
workload asked {
  requests = 60; arrivals = poisson(300 req/s); prompt = uniform(1..40 tokens)
  output = choice(1 tokens: 1, uniform(1..60 tokens): 3)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine; sample = 3 ms }
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_engines_agree_on_a_program(name: str) -> None:
    assert compared_text(HEAD + PROGRAMS[name].lstrip()).how == "done"


@pytest.mark.parametrize(
    "name", ["all at once", "preempted between prefill and first decode", "time stands still"]
)
def test_a_program_does_what_its_name_says(name: str) -> None:
    """A program with hardly any memory preempts, else its name is wrong."""
    result = compared_text(HEAD + PROGRAMS[name].lstrip()).result
    assert result is not None
    assert result.summary["preemptions"] > 0


LONG = "one_worker_goes_round_in_vain_while_another_gets_on_unseen"  # a million events


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.long] * (path.stem == LONG))
        for path in sorted(FOLDER.glob("*.tsim"))
    ],
)
def test_the_engines_agree_where_they_once_did_not(path: Path) -> None:
    assert not compared_text(path.read_text("utf-8")).how.startswith("refused")


@pytest.mark.parametrize("engine", ["reference", "fast"])
def test_a_move_that_takes_less_than_nothing_is_told(engine: str) -> None:
    """Both engines once took it off the iteration, and the fast one did not see that coming."""
    plan = tsdl.compile(
        HEAD
        + """
kvcache odd from tight { swap_out(r) = 0 s - r.held / 64 GiB/s }
cluster some { worker gpu { hardware = A100_80G; cost = exact; kv = odd } }
policy mine from continuous { local { watermark = 0 %; preempt = swap } }
workload asked {
  requests = 20; arrivals = burst(); prompt = constant(20 tokens); output = constant(40 tokens)
}
scenario it { model = short; cluster = some; workload = asked; policy = mine }
"""
    )
    with pytest.raises(tsdl.TsdlError, match="`swap_out` of a request would take"):
        plan.run(engine=engine)


AFTER_DISPATCH = {
    "a record of each": "dispatch r to pick(v by v.id for v in workers); for v in workers "
    '{ record "o", v.outstanding + 100 * v.queued + 10000 * count(q for q in v.waiting) }',
    "the same question twice": "dispatch r to pick(v by sent[v] + v.outstanding for v in workers); "
    "sent[pick(v by sent[v] + v.outstanding for v in workers)] += 1",
    "a loop": "let first = pick(v by v.load for v in workers); for i in first.waiting "
    '{ record "i", first.outstanding_tokens }; if first.queued < 2 { dispatch r to first } '
    'else { dispatch r to round_robin(v for v in workers) }; record "n", first.outstanding',
}


@pytest.mark.parametrize("body", AFTER_DISPATCH.values(), ids=AFTER_DISPATCH)
@pytest.mark.parametrize("batching", ["chunked", "continuous", "static"])
@pytest.mark.parametrize("workload", ["arrivals = poisson(30 req/s)", "arrivals = burst(9, 1 s)"])
def test_a_handler_sees_what_it_has_dispatched(body: str, batching: str, workload: str) -> None:
    """A worker of which nobody is told had not taken who came within the same handler."""
    ending = compared_text(
        f"""
        policy it from {batching} {{
          global {{ state sent: number[worker]; on arrive(r) {{ {body} }} }}
        }}
        workload w {{
          requests = 80; {workload}
          prompt = uniform(20..700 tokens); output = uniform(1..60 tokens)
        }}
        scenario s {{
          model = llama2_7b; cluster = replicas(A100_80G, 2); policy = it; workload = w
        }}
        """
    )
    assert ending.how == "done"
