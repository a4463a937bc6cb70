"""Blocks that are kept for whoever begins alike: what is found, what it takes, what has to go."""

import json
from pathlib import Path

import pytest

import tsdl
from tsdl.plan import Channel
from tsdl.runtime.arrivals import generate
from tsdl.runtime.contents import Beginning, Named
from tsdl.runtime.memory import Memory
from tsdl.runtime.prefixes import PrefixMemory, memory_of
from tsdl.runtime.request import Request
from tsdl.runtime.result import Result
from tsdl.runtime.text import summary

FILE = """edition "2026"
kvcache shared from paged {{ block = {block} tokens; blocks = {blocks}; share = prefix }}
model small from llama2_7b {{ context = 1_000_000 tokens }}
cluster one {{ worker gpu {{ hardware = A100_80G; kv = shared; cost = constant_cost(10 ms) }} }}
policy own from {policy} {{ local {{ watermark = 0 %; {local} }} }}
workload asked {{ {workload} }}
scenario it {{ model = small; cluster = one; policy = own; workload = asked }}
"""
PER_TOKEN = 524_288  # bytes of Llama 2 7B's KV


def ran(
    workload: str,
    block: int = 16,
    blocks: int = 1000,
    engines: tuple[str, ...] = ("fast", "reference"),
    **given: str,
) -> Result:
    usual = {"policy": "chunked", "local": ""} | given
    text = FILE.format(workload=workload, block=block, blocks=blocks, **usual)
    fast, *others = (tsdl.compile(text).run(engine=name) for name in engines)
    for other in others:
        assert fast.requests["last_token"].tolist() == other.requests["last_token"].tolist()
    return fast


def lines(tmp_path: Path, rows: list[dict[str, object]]) -> str:
    path = tmp_path / "requests.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return f'trace = "{path}"'


def memory(blocks: int) -> PrefixMemory:
    text = FILE.format(
        workload="requests = 1; arrivals = burst(); prompt = constant(1 tokens);"
        " output = constant(1 tokens)",
        block=4, blocks=blocks, policy="chunked", local="",
    )  # fmt: skip
    made = memory_of(tsdl.compile(text).workers[0].kv, 0.0, Channel("host", 1e9, 0.0))
    assert isinstance(made, PrefixMemory)
    return made


def asking(number: int, names: tuple[int, ...], length: int) -> Request:
    return Request(number, 0.0, length, 1, session=number, content=Named(names, 4))


def admit(shared: PrefixMemory, request: Request) -> int:
    """Admit a request with its whole prompt; return the blocks that it takes besides."""
    more = shared.match(request) // (4 * PER_TOKEN)
    shared.begin(request, shared.needed(request))
    shared.register(request, request.length)
    request.computed = request.length
    return more


# -- what is found -----------------------------------------------------------------------------


def test_prompts_that_begin_alike_compute_only_the_rest() -> None:
    """The text has 40 tokens: two full blocks of 16."""
    found = ran(
        "requests = 3; arrivals = uniform(10 req/s); prefixes = 1; prefix = constant(40 tokens);"
        "prompt = constant(50 tokens); output = constant(2 tokens)"
    )
    assert found.requests["cached"].tolist() == [0, 32, 32]
    assert found.summary["workers"][0]["kv_hit_rate"] == pytest.approx(64 / 150)


def test_the_last_token_is_computed_anyway(tmp_path: Path) -> None:
    row: dict[str, object] = {"input_length": 1024, "output_length": 1, "hash_ids": [7, 8]}
    given = lines(tmp_path, [row | {"timestamp": 1000 * n} for n in range(2)])
    assert ran(given, block=512).requests["cached"].tolist() == [0, 512]
    assert ran(given, block=16).requests["cached"].tolist() == [0, 1024 - 16]
    assert ran(given, block=1024).requests["cached"].tolist() == [0, 0]


def test_tokens_are_found_only_after_the_same_before_them(tmp_path: Path) -> None:
    one, other = list(range(16)), list(range(50, 66))
    prompts = [one + other + [1], other + one + [1], one + one + [1], one + other + [2]]
    given = lines(
        tmp_path,
        [
            {"arrival_time_ns": n * 10**9, "input_toks": 33, "output_toks": 1, "input_tok_ids": p}
            for n, p in enumerate(prompts)
        ],
    )
    assert ran(given).requests["cached"].tolist() == [0, 0, 16, 32]


def test_a_conversation_finds_all_that_was_said() -> None:
    found = ran(
        "sessions = 1; arrivals = burst(); turns = constant(3); think = constant(1 s);"
        "prompt = constant(20 tokens); output = constant(13 tokens)"
    )
    # The last token of an answer is never computed: of 33 tokens there are 32, of 66 there are 65.
    assert found.requests["prompt"].tolist() == [20, 53, 86]
    assert found.requests["cached"].tolist() == [0, 32, 64]


def test_all_turns_of_a_conversation_begin_alike() -> None:
    """However short the questions are that come later."""
    text = FILE.format(
        workload="sessions = 20; arrivals = burst(); turns = constant(3);"
        "prompt = uniform(1..60 tokens); output = constant(2 tokens);"
        "prefixes = 3; prefix = constant(40 tokens)",
        block=4, blocks=1000, policy="chunked", local="",
    )  # fmt: skip
    arrivals = generate(tsdl.compile(text).workload, 0)
    assert arrivals.contents is not None
    for first in range(0, 60, 3):
        same = {arrivals.contents(row) for row in range(first, first + 3)}
        assert same == {arrivals.contents(first)}
        assert arrivals.contents(first).tokens == min(40, arrivals.prompt[first])  # type: ignore[union-attr]


def test_a_prompt_that_is_cut_has_no_names_of_what_is_gone(tmp_path: Path) -> None:
    row: dict[str, object] = {"input_length": 2048, "output_length": 5, "hash_ids": [1, 2, 3, 4]}
    given = lines(tmp_path, [row | {"timestamp": 1000 * n} for n in range(2)])
    found = ran(f"{given}; total = 1100 tokens", block=512)
    assert found.requests["cached"].tolist() == [0, 1024]


def test_who_is_preempted_finds_its_own_again() -> None:
    """Two grow to 40 tokens each, and there is room for 64: the second of two blocks is taken."""
    found = ran(
        "requests = 2; arrivals = burst(); prompt = constant(20 tokens);"
        "output = constant(20 tokens)",
        blocks=4,
    )
    assert found.requests["preemptions"].tolist() == [0, 1]
    assert found.requests["cached"].tolist() == [0, 16]


def test_those_of_one_iteration_find_what_the_first_of_them_will_have() -> None:
    found = ran(
        "requests = 2; arrivals = burst(); prefixes = 1; prefix = constant(64 tokens);"
        "prompt = constant(65 tokens); output = constant(1 tokens)"
    )
    assert found.requests["cached"].tolist() == [0, 64]
    assert found.requests["first_token"].tolist() == [0.01, 0.01]


@pytest.mark.parametrize(("name", "share"), [("conversation", 0.3660), ("synthetic", 0.6379)])
def test_a_cache_without_end_finds_what_an_oracle_does(data: Path, name: str, share: float) -> None:
    """Of full blocks, the last token aside; counted in the file beforehand (36.6 and 63.8 %)."""
    given = f'trace = "{data}/traces/mooncake-{name}.jsonl"'
    found = ran(given, block=512, blocks=400_000, engines=("fast",))
    blocks = sum(-(-prompt // 512) for prompt in found.requests["prompt"].tolist())
    assert sum(found.requests["cached"].tolist()) / 512 / blocks == pytest.approx(share, abs=0.002)


# -- what it takes, and what has to go ---------------------------------------------------------


def test_blocks_that_others_hold_take_nothing() -> None:
    shared = memory(10)
    assert admit(shared, asking(0, (1, 2), 9)) == 3
    assert admit(shared, asking(1, (1, 2), 10)) == 1
    assert shared.used == 4 * 4 * PER_TOKEN


def test_blocks_that_nobody_holds_are_found_and_take_their_room() -> None:
    shared = memory(10)
    first = asking(0, (1, 2), 9)
    admit(shared, first)
    shared.release(first)
    assert shared.used == 0
    assert shared.cached(asking(1, (1, 2, 3), 13)) == 8
    assert admit(shared, asking(1, (1, 2), 9)) == 3
    assert shared.used == 3 * 4 * PER_TOKEN


def test_taken_first_is_what_was_never_used_then_the_last_block_of_who_left_first() -> None:
    shared = memory(6)
    gone, later = asking(0, (1, 2), 8), asking(1, (5, 6), 8)
    for request in (gone, later):
        admit(shared, request)
    shared.release(gone)
    shared.release(later)
    admit(shared, asking(2, (), 8))  # two that were never used
    assert shared.cached(asking(3, (1, 2, 3), 12)) == 8
    admit(shared, asking(4, (), 4))
    assert shared.cached(asking(3, (1, 2, 3), 12)) == 4
    admit(shared, asking(5, (), 4))
    assert shared.cached(asking(3, (1, 2, 3), 12)) == 0
    assert shared.cached(asking(3, (5, 6, 3), 12)) == 8


def test_the_same_block_twice_is_found_once() -> None:
    shared = memory(10)
    first, second = asking(0, (1, 2), 8), asking(1, (1, 2), 8)
    shared.match(first)
    shared.match(second)
    for request in (first, second):  # neither could find the other's
        request.computed = 0
        shared.begin(request, shared.needed(request))
    for request in (first, second):
        shared.register(request, 8)
        request.computed = 8
    assert shared.used == 4 * 4 * PER_TOKEN
    shared.release(first)
    shared.release(second)
    assert shared.used == 0
    assert shared.cached(asking(2, (1, 2, 3), 12)) == 8


def test_keys_of_what_prompts_begin_with() -> None:
    assert Named((7, 8, 9, 10), 16).keys(32) == [8 * 4, 10 * 4]
    assert Named((7,), 16).keys(8) == [14 * 4, 15 * 4]
    assert len(Beginning(3, 47).keys(16)) == 2
    assert set(Beginning(3, 47).keys(16)).isdisjoint(Named((3,), 16).keys(16))


def test_a_manager_that_shares_nothing_is_the_plain_one() -> None:
    plan = tsdl.compile(
        "workload w from sharegpt { requests = 1 }\n"
        "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w }"
    )
    assert type(memory_of(plan.workers[0].kv, 0.0, Channel("host", 1e9, 0.0))) is Memory


# -- system prompts ----------------------------------------------------------------------------


def test_a_system_prompt_stands_before_the_first_prompt_of_a_conversation() -> None:
    """Two turns of 20 tokens, answers of 2: the last token of an answer is not computed."""
    talk = (
        "sessions = 2; turns = constant(2); arrivals = uniform(1 req/s); think = constant(10 s);"
        "prompt = constant(20 tokens); output = constant(2 tokens)"
    )
    found = ran(f"{talk}; system_prompt = constant(64 tokens)")
    assert found.requests["prompt"].tolist() == [84, 84, 106, 106]
    assert found.requests["cached"].tolist() == [0, 64, 80, 80]
    assert ran(talk).requests["prompt"].tolist() == [20, 20, 42, 42]
    # As a part of prompts it is no longer than these.
    part = ran(f"{talk}; prefix = constant(64 tokens)")
    assert part.requests["prompt"].tolist() == [20, 20, 42, 42]
    assert part.requests["cached"].tolist() == [0, 16, 16, 16]


def test_each_request_begins_with_one_of_the_system_prompts() -> None:
    found = ran(
        "requests = 400; arrivals = uniform(100 req/s); prefixes = 3;"
        "system_prompt = uniform(100..400 tokens); prompt = constant(1 tokens);"
        "output = constant(1 tokens)"
    )
    lengths = found.requests["prompt"] - 1
    assert len(set(lengths.tolist())) == 3
    shares = [float((lengths == each).mean()) for each in set(lengths.tolist())]
    assert all(share == pytest.approx(1 / 3, abs=0.08) for share in shares)


def test_total_bounds_what_stands_before_a_prompt_too() -> None:
    found = ran(
        "requests = 3; arrivals = uniform(1 req/s); system_prompt = constant(64 tokens);"
        "prompt = constant(50 tokens); output = constant(20 tokens); total = 100 tokens"
    )
    assert found.requests["prompt"].tolist() == [99, 99, 99]
    assert found.requests["output"].tolist() == [1, 1, 1]


def test_what_is_checked_knows_that_total_bounds_it_too() -> None:
    """An answer comes within 200 ms: of 1,199 tokens, and not of 3,900."""
    text = """
workload w {{
  requests = 100; arrivals = poisson(0.2 req/s); {}
  total = 1200 tokens; system_prompt = constant(2900 tokens)
}}
slo quick {{ ttft <= 200 ms }}
scenario s {{
  model = llama3_1_8b; cluster = single(A100_80G); policy = vllm; workload = w; slo = quick
}}
"""
    drawn = text.format("prompt = constant(1000 tokens); output = constant(10 tokens)")
    assert {d.code for d in tsdl.check(drawn)} == {"N0510", "W0529"}  # W0529 of answers
    rows = {"l.csv": "arrived_at,num_prefill_tokens,num_decode_tokens\n0,1000,10\n"}
    brought = text.format('lengths = "l.csv"').replace("llama3_1_8b", "small")
    small = "model small from llama3_1_8b { context = 2000 tokens }\n"
    assert [d.code for d in tsdl.check(small + brought, files=rows)] == ["N0510"]


def test_a_system_prompt_counts_in_what_is_checked() -> None:
    text = FILE.format(
        workload="requests = 3; arrivals = burst(); system_prompt = constant(80 tokens);"
        "prompt = constant(10 tokens); output = constant(20 tokens)",
        block=16, blocks=6, policy="chunked", local="",
    )  # fmt: skip
    with pytest.raises(tsdl.TsdlError, match=r"E0512.*no room for a request of 110 tokens"):
        tsdl.compile(text)
    lengths = 'lengths = "l.csv"; requests = 3; arrivals = burst()'
    brought = FILE.format(
        workload=f"{lengths}; system_prompt = constant(80 tokens)",
        block=16, blocks=6, policy="chunked", local="",
    )  # fmt: skip
    rows = "arrived_at,num_prefill_tokens,num_decode_tokens\n0,10,20\n"
    (warned,) = tsdl.check(brought, files={"l.csv": rows})
    assert warned.code == "W0503"


def test_a_workload_has_a_system_prompt_or_a_prefix() -> None:
    text = FILE.format(
        workload="requests = 3; arrivals = burst(); system_prompt = constant(80 tokens);"
        "prefix = constant(8 tokens); prompt = constant(10 tokens); output = constant(20 tokens)",
        block=16, blocks=60, policy="chunked", local="",
    )  # fmt: skip
    with pytest.raises(tsdl.TsdlError, match=r"E0521.*both `system_prompt` and `prefix`"):
        tsdl.compile(text)


# -- what is told ------------------------------------------------------------------------------


def test_what_is_told_of_workers_of_one_make_is_that_of_all_of_them() -> None:
    """One in four finds its prompt: not the mean of what the workers say, of which one is idle."""
    text = """edition "2026"
kvcache shared from paged { share = prefix }
cluster two { worker gpu * 2 { hardware = A100_80G; kv = shared; cost = constant_cost(10 ms) } }
policy own from chunked {
  global { on arrive(r) { dispatch r to pick(w by abs(w.id - min(r.id, 1)) for w in workers) } }
}
workload asked {
  requests = 5; arrivals = uniform(1 req/s); prefixes = 1; prefix = constant(64 tokens)
  prompt = constant(65 tokens); output = constant(2 tokens)
}
scenario it { model = llama2_7b; cluster = two; policy = own; workload = asked }
"""
    found = tsdl.compile(text).run()
    told = found.summary["workers"]
    assert [(w["tokens_asked"], w["tokens_found"]) for w in told] == [(65, 0), (4 * 65, 3 * 64)]
    assert f"{3 * 64 / (5 * 65):.1%}".replace("%", " %") + " of prompts found" in summary(found)
    busy = sum(w["busy"] for w in told) / sum(w["on"] for w in told)
    assert f"busy {busy:.1%}".replace("%", " %") in summary(found)
