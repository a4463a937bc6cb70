"""Copies of states of recurrent layers: where requests begin, what copies take, and how long."""

import json
from pathlib import Path
from random import Random

import msgspec
import pytest

import tsdl
from tsdl.plan import Channel
from tsdl.runtime.contents import Named
from tsdl.runtime.prefixes import PrefixMemory, memory_of
from tsdl.runtime.request import Request
from tsdl.runtime.result import Result

# A state has 1.5 MiB: three tokens of KV of 0.5 MiB, and so a block of 4 tokens.
FILE = """edition "2026"
kvcache shared from paged {{
  block = {block} tokens; blocks = {blocks}; share = prefix; state_copies = {copies}
}}
model small from llama2_7b {{
  context = 1_000_000 tokens
  graph {{
    repeat block * layers {{ attn: Attention(heads, kv_heads, head_dim) }}
    mixer: Recurrence(1, 1, 384, 1024, 1, 0)
  }}
}}
cluster one {{ worker gpu {{ hardware = A100_80G; kv = shared; cost = constant_cost(10 ms) }} }}
policy own from chunked {{
  local {{ watermark = 0 %; max_tokens = {budget} tokens; max_requests = 8; {local} }}
}}
workload asked {{ {workload} }}
scenario it {{ model = small; cluster = one; policy = own; workload = asked }}
"""
PER_TOKEN = 524_288
ONE = "requests = 1; arrivals = burst(); prompt = constant(1 tokens); output = constant(1 tokens)"


def plan(workload: str, copies: str = "chunks", **given: int | str) -> tsdl.Plan:
    usual: dict[str, int | str] = {"block": 4, "blocks": 1000, "budget": 64, "local": ""}
    return tsdl.compile(FILE.format(workload=workload, copies=copies, **usual | given))


def ran(workload: str, copies: str = "chunks", **more: int | str) -> Result:
    made = plan(workload, copies, **more)
    fast, reference = (made.run(engine=name) for name in ("fast", "reference"))
    assert fast.requests["last_token"].tolist() == reference.requests["last_token"].tolist()
    assert fast.requests["cached"].tolist() == reference.requests["cached"].tolist()
    return fast


def cached(workload: str, copies: str = "chunks", **more: int | str) -> list[int]:
    found: list[int] = ran(workload, copies, **more).requests["cached"].tolist()
    return found


def named(tmp_path: Path, rows: list[tuple[list[int], int]]) -> str:
    """Return a workload of prompts whose blocks of 512 tokens have names, one a minute."""
    path = tmp_path / "requests.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({
                "timestamp": 60_000 * at, "input_length": length, "output_length": 1,
                "hash_ids": names,
            })
            for at, (names, length) in enumerate(rows)
        ),
        "utf-8",
    )  # fmt: skip
    return f'trace = "{path}"'


# -- where a request begins --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("copies", "second", "third"), [("chunks", 0, 1024), ("blocks", 1024, 1024)]
)
def test_what_goes_on_apart_is_found_where_a_copy_is(
    tmp_path: Path, copies: str, second: int, third: int
) -> None:
    """The first prompt is one chunk of three blocks; the third begins as it, and ends like it."""
    alike = [([1, 2, 3], 1536), ([1, 2, 4], 1536), ([1, 2, 3], 1536)]
    given = named(tmp_path, alike)
    # The last token of a prompt is computed anyway: the third has a copy behind two blocks at most.
    assert cached(given, copies, block=512, budget=8192) == [
        0, second, third if copies == "blocks" else 0,
    ]  # fmt: skip
    longer = named(tmp_path, [*alike, ([1, 2, 3, 5], 2048)])
    assert cached(longer, copies, block=512, budget=8192)[-1] == 1536


def test_each_chunk_leaves_a_copy_behind_its_last_full_block(tmp_path: Path) -> None:
    """Chunks end after 700 and 1,400 tokens: in the second and in the third block of 512."""
    given = named(tmp_path, [([1, 2, 3], 1536), ([1, 4, 5], 1536), ([1, 2, 6], 1536)])
    assert cached(given, block=512, budget=700) == [0, 512, 1024]


def test_a_chunk_that_fills_no_block_leaves_no_copy(tmp_path: Path) -> None:
    """Chunks of 300 tokens: the second one, to 600, is the first that fills one."""
    given = named(tmp_path, [([1, 2], 600), ([1, 3], 600)])
    assert cached(given, block=512, budget=300) == [0, 512]


def test_a_conversation_goes_on_behind_its_last_full_block() -> None:
    """Of 30 + 8 tokens the last is not computed: nine blocks of 4, of 46 + 8 thirteen."""
    talk = (
        "sessions = 1; turns = constant(3); arrivals = poisson(1 req/s);"
        "prompt = constant({} tokens); output = constant(8 tokens); think = constant(1 s)"
    )
    assert cached(talk.format(30)) == [0, 36, 72]


def test_a_copy_is_of_no_drafted_tokens() -> None:
    kv = plan(ONE, local="speculate { tokens = 4; acceptance(r) = 50 % }").workers[0].kv
    alone = plan(ONE).workers[0].kv
    assert (kv.copied, kv.state) == (alone.copied, 5 * alone.state - 4 * PER_TOKEN)


# -- what copies take, and how long they stay --------------------------------------------------


def memory(blocks: int, copies: str = "chunks") -> PrefixMemory:
    made = memory_of(plan(ONE, copies, blocks=blocks).workers[0].kv, 0.0, Channel("host", 1e9, 0.0))
    assert isinstance(made, PrefixMemory)
    return made


def asking(number: int, names: tuple[int, ...], length: int) -> Request:
    return Request(number, 0.0, length, 1, session=number, content=Named(names, 4))


def admit(shared: PrefixMemory, request: Request) -> int:
    """Admit a request with its whole prompt; return with how many tokens it begins."""
    shared.match(request)
    begun = request.computed
    shared.begin(request, shared.needed(request))
    shared.register(request, request.length)
    request.computed = request.length
    return begun


def test_a_copy_is_held_by_nobody() -> None:
    """The state and two blocks are in use; the copy takes a fourth, and is no part of it."""
    shared = memory(blocks=10)
    one = asking(0, (1, 2), 8)
    admit(shared, one)
    assert shared.used == 3 * 4 * PER_TOKEN
    shared.release(one)
    assert shared.used == 0
    assert admit(shared, asking(1, (1, 2, 3), 12)) == 8


def test_the_state_of_whoever_leaves_becomes_a_copy() -> None:
    """All 4 blocks are in use: there is no room for a copy until the request is preempted."""
    shared = memory(blocks=4)
    one = Request(0, 0.0, 6, 5, session=0, content=Named((1, 2, 3), 4))
    admit(shared, one)
    shared.grow(one, 4 * 4 * PER_TOKEN)
    one.generated, one.computed = 4, 9
    shared.release(one)
    assert shared.used == 0
    assert shared.match(one) == 4 * 4 * PER_TOKEN  # three blocks and a state
    assert one.computed == 8


def test_the_copy_that_was_used_least_recently_goes_first() -> None:
    """Two copies have 2 of 8 blocks; who needs 7 takes what was never used, and one of them."""
    shared = memory(blocks=8)
    for number, names in enumerate(((1,), (2,))):
        one = asking(number, names, 4)
        admit(shared, one)
        shared.release(one)
    again = asking(2, (1, 9), 5)  # which makes the copy behind the first the younger one
    assert admit(shared, again) == 4
    shared.release(again)
    assert shared.cached(asking(3, (2, 9), 5)) == 4
    large = asking(4, (5, 6, 7, 8), 16)
    assert admit(shared, large) == 0
    assert shared.used == 5 * 4 * PER_TOKEN
    assert shared.cached(asking(3, (2, 9), 5)) == 0


def test_where_there_is_no_room_there_is_no_copy() -> None:
    """Of 3 blocks a state and two of KV take all; of 4 there is one for a copy."""
    for blocks, found in ((3, 0), (4, 8)):
        shared = memory(blocks=blocks)
        one = asking(0, (1, 2), 8)
        admit(shared, one)
        assert shared.cached(asking(1, (1, 2, 3), 12)) == found


def free(shared: PrefixMemory) -> int:
    """Return how many blocks it knows to be free."""
    return shared._untouched + shared._freed()


def test_blocks_that_are_given_back_have_nothing_in_them() -> None:
    """What is on its way here takes all of them, and goes elsewhere: a copy has room again."""
    shared = memory(blocks=10)
    one = asking(0, (1,), 4)
    admit(shared, one)
    shared.release(one)
    shared.reserve(7 * 4 * PER_TOKEN)
    shared.reserve(-7 * 4 * PER_TOKEN)
    assert free(shared) == 10
    other = asking(1, (5, 6), 8)
    admit(shared, other)
    assert free(shared) == 10 - shared.used // (4 * PER_TOKEN)
    assert shared.cached(asking(2, (5, 6, 7), 12)) == 8
    assert shared.cached(asking(3, (1, 2), 8)) == 4  # there were others to be taken


def test_what_is_free_is_what_is_not_used() -> None:
    """Many come, grow, leave, and are on their way, in any order."""
    chance = Random(1)
    for copies in ("chunks", "blocks"):
        shared, held, coming = memory(blocks=40, copies=copies), list[Request](), 0
        for number in range(600):
            names = tuple(chance.randrange(6) for _ in range(chance.randint(1, 5)))
            new = asking(number, names, chance.randint(1, 4 * len(names)))
            if chance.random() < 0.5 and shared.admits(shared.match(new)):
                shared.begin(new, shared.needed(new))
                shared.register(new, new.length)
                new.computed = new.length
                held.append(new)
            else:
                shared.unmatch(new)
            if held and chance.random() < 0.5:
                shared.release(held.pop(chance.randrange(len(held))))
            if chance.random() < 0.3 and shared.free >= 5 * 4 * PER_TOKEN:
                coming += 5
                shared.reserve(5 * 4 * PER_TOKEN)
            elif coming and chance.random() < 0.4:
                shared.reserve(-coming * 4 * PER_TOKEN)
                coming = 0
            shared.cached(new)  # it looks
            assert free(shared) == shared.free // (4 * PER_TOKEN)


def test_of_an_answer_the_last_block_has_a_copy() -> None:
    """Whatever is copied of prompts: earlier states are gone."""
    shared = memory(blocks=40, copies="blocks")
    one = Request(0, 0.0, 6, 11, session=0, content=Named((1, 2, 3, 4, 5), 4))
    admit(shared, one)
    shared.grow(one, 5 * 4 * PER_TOKEN)
    one.generated, one.computed = 10, 16
    shared.release(one)
    assert shared.cached(asking(1, (1, 2, 3, 4, 9), 20)) == 16
    assert shared.cached(asking(2, (1, 2, 3, 9), 16)) == 4


def test_a_worker_that_comes_back_has_no_copies() -> None:
    shared = memory(blocks=10)
    one = asking(0, (1, 2), 8)
    admit(shared, one)
    shared.release(one)
    shared.forget()
    assert shared.cached(asking(1, (1, 2, 3), 12)) == 0
    assert admit(shared, asking(1, (1, 2, 3), 12)) == 0


# -- plans -------------------------------------------------------------------------------------


def test_a_state_of_shared_blocks_is_made_of_whole_ones() -> None:
    kv = plan(ONE).workers[0].kv
    assert (kv.state, kv.copied, kv.copies) == (4 * PER_TOKEN, 4 * PER_TOKEN, "chunks")
    whole = plan(ONE, block=2).workers[0].kv
    assert (whole.state, whole.copied) == (4 * PER_TOKEN, 4 * PER_TOKEN)


def test_a_plan_with_part_of_a_block_is_refused() -> None:
    written = json.loads(plan(ONE).to_json())
    whole = written["workers"][0]["kv"]["state"]
    for key, value in (
        ("state", whole + 1), ("copied", whole - 1), ("copied", 2 * whole), ("copied", 0),
        ("copies", "everywhere"),
    ):  # fmt: skip
        changed = msgspec.json.decode(msgspec.json.encode(written))
        changed["workers"][0]["kv"][key] = value
        with pytest.raises(ValueError, match="blocks"):
            tsdl.Plan.from_json(json.dumps(changed))
