"""Sparse attention: what an indexer keeps and scores, and what attention then sees."""

import pytest

import tsdl
from tests.models_on_devices import decodes, kernel, plan_of, prompt, worker_of
from tests.summed_batches import batch_of
from tsdl.cli.plantext import describe
from tsdl.costs import Batch
from tsdl.formula import Value
from tsdl.pythonsource import function, python

LATENT = 2 * 512 + 64  # products of a head with a token
CHOSEN = 2048


def work(value: Value, batch: Batch) -> float:
    names = ", ".join(Batch.__slots__)
    found = function("work", names, python(value), {})
    return float(found(*(getattr(batch, name) for name in Batch.__slots__)))


def test_a_token_keeps_what_is_compressed_and_a_key_in_fp8() -> None:
    one = worker_of("deepseek_v3_2").kv.bytes_per_token
    assert one == 61 * ((512 + 64) * 2 + 128 + 4)
    assert worker_of("deepseek_v3_2", "tp(8)").kv.bytes_per_token == 8 * one
    own = "model own from deepseek_v3_2 { kv_dtype = fp8 }"
    assert worker_of("own", own=own).kv.bytes_per_token == 61 * (512 + 16 + 2 * 64 + 128 + 4)


def test_layers_without_an_indexer_keep_no_keys() -> None:
    worker = worker_of("glm5_2")
    assert worker.kv.bytes_per_token == 78 * (512 + 64) * 2 + 21 * (128 + 4)
    names = [
        k.name for stage in worker.cost.stages if stage.name == "reusing" for k in stage.kernels
    ]
    assert "attn.attend" in names
    assert not [name for name in names if name.startswith("index")]


@pytest.mark.parametrize(("context", "seen"), [(100, 100), (CHOSEN, CHOSEN), (100_000, CHOSEN)])
def test_decodes_see_no_more_than_is_chosen(context: int, seen: int) -> None:
    attend = kernel(worker_of("deepseek_v3_2").cost, "attn.attend")
    assert work(attend.flops, decodes(10, context)) == 2 * 128 * LATENT * 10 * seen
    moved = work(attend.bytes, decodes(10, context)) - 10 * 128 * LATENT * 2
    assert moved == 10 * seen * (512 + 64) * 2


def test_the_indexer_scores_all_that_is_seen() -> None:
    score = kernel(worker_of("deepseek_v3_2").cost, "index.score")
    assert work(score.flops, decodes(10, 100_000)) == 2 * 64 * 128 * 10 * 100_000
    batch = prompt(1000, 3000)
    assert work(score.flops, batch) == 2 * 64 * 128 * (1000 * 3000 + 1000 * 1000 / 2)


def test_heads_are_taken_by_whole_tiles() -> None:
    """With TP 8 a device has 16 of 128 heads, and computes 64; its indexer is whole."""
    eight = worker_of("deepseek_v3_2", "tp(8)").cost
    attend, score = kernel(eight, "attn.attend"), kernel(eight, "index.score")
    assert work(attend.flops, decodes(1, 5000)) == 2 * 64 * LATENT * CHOSEN
    assert work(score.flops, decodes(1, 5000)) == 2 * 64 * 128 * 5000


def test_a_token_of_a_prompt_takes_all_that_could_be_chosen() -> None:
    attend = kernel(worker_of("deepseek_v3_2").cost, "attn.attend")
    assert work(attend.flops, prompt(100)) == 2 * 128 * LATENT * 100 * CHOSEN


def test_short_prompts_attend_to_all_where_an_engine_has_it_so() -> None:
    own = "model own from glm5 { dense_context = 2048 tokens }"
    cost = worker_of("own", own=own).cost
    short, long = prompt(2048), prompt(2049)
    names = ("widen", "prefill", "absorb", "attend")
    launched = {
        name: [work(kernel(cost, f"attn.{name}").time, batch) > 0 for batch in (short, long)]
        for name in names
    }
    assert launched == {
        "widen": [True, False], "prefill": [True, False],
        "absorb": [False, True], "attend": [False, True],
    }  # fmt: skip
    beside = batch_of([(2048, 0, True)], contexts=[50_000])
    attend, score = kernel(cost, "attn.attend"), kernel(cost, "index.score")
    assert work(attend.flops, beside) == 2 * 64 * LATENT * CHOSEN  # of the decode alone
    assert work(score.flops, beside) == 2 * 32 * 128 * 50_000
    dense = kernel(cost, "attn.prefill")
    pairs = 2048 * 2048 / 2 + 2048 * 530
    assert work(dense.flops, beside) == 2 * 64 * (192 + 64 + 256) * pairs


def test_rows_choose_in_waves() -> None:
    """Three passes over scores of 4 bytes, and as long as 18,000 of them take besides."""
    choose = kernel(worker_of("deepseek_v3_2").cost, "index.choose")
    assert work(choose.bytes, decodes(1, 5000)) == 12 * 132 * (5000 + 18_000)
    assert work(choose.bytes, decodes(133, 5000)) == 12 * 264 * (5000 + 18_000)


def test_an_offload_has_both_parts_of_it_or_none() -> None:
    own = "hardware far from H100_SXM { memory.capacity = 4 TiB }"
    offload = "offload other { hardware = far; link = NVLink4; operators = [OPS] }"
    both = f"paged; {offload}".replace("OPS", "Indexer, SparseLatentAttention")
    kinds = worker_of("deepseek_v3_2", own=own, kv=both).cost
    assert kernel(kinds, "attn.attend").on == kernel(kinds, "index.score").on == "other"
    with pytest.raises(tsdl.TsdlError, match="E0531"):
        worker_of("deepseek_v3_2", own=own, kv=f"paged; {offload}".replace("OPS", "Indexer"))


def test_a_plan_tells_what_the_engine_adds_to_a_launch() -> None:
    text = describe(plan_of("deepseek_v3_2", "tp(8)", policy="vllm"))
    (told,) = [line for line in text.splitlines() if line.lstrip().startswith("indexer ")]
    assert told.endswith("5.0 us       max, and 90 us by the policy")


def test_no_more_tokens_are_chosen_than_the_context_has() -> None:
    """Kernels take all of `chosen` for a token of a prompt, which is no more than there can be."""
    times = []
    for chosen in (4096, 400_000):
        own = f"model own from deepseek_v3_2 {{ context = 4096 tokens; chosen = {chosen} tokens }}"
        found = kernel(worker_of("own", own=own).cost, "attn.attend")
        times.append(work(found.time, batch_of([(1000, 0, True)])))
    assert times[0] == times[1]
