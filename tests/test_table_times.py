"""Which operator takes its time from which table, which from none, and what they add up to."""

import csv
from pathlib import Path
from statistics import fmean

import pytest

import tsdl
from tests.kernel_tables import a_batch, cost_of, program, tables_in
from tsdl.costs import Batch, compiled, shares


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tables_in(tmp_path, monkeypatch)


# -- operators ---------------------------------------------------------------------------------


def test_an_operator_takes_its_time_from_its_rows_and_others_keep_the_roofline() -> None:
    found = {share.name: share for share in shares(cost_of(program()), a_batch(16, 16))}
    assert found["block.qkv"].seconds == pytest.approx(32 * 110e-6)
    assert found["block.qkv"].source == "table qkv"
    assert found["block.qkv"].domain == (("tokens", 1, 4096),)
    assert found["block.attn.decode"].seconds == pytest.approx(32 * (10 + 80 / 255) * 1e-6)
    assert found["block.add1"].source == "formula"
    assert found["block.down"].source == "roofline"
    assert found["overhead"].seconds == 0


def test_operators_add_up_to_the_iteration() -> None:
    cost, batch = cost_of(program()), a_batch(100, 1000, prefill=300)
    assert sum(s.seconds for s in shares(cost, batch)) == pytest.approx(compiled(cost)(batch))


def test_the_first_part_that_takes_time_has_the_work_of_all() -> None:
    cost = cost_of(program("operator qkv { part a { time = 0 s }; part b { time = 1 ms } }"))
    (kernel,) = (k for s in cost.stages for k in s.kernels if k.name.startswith("qkv"))
    assert kernel.name == "qkv.b"
    assert kernel.flops != 0


def test_without_a_table_nothing_changes() -> None:
    cost = cost_of(program().replace("cost = kernels; ", "").replace("cost kernels", "cost other"))
    assert cost.tables == ()
    assert {k.source for s in cost.stages for k in s.kernels} == {"roofline"}


def test_a_whole_iteration_is_the_sum_of_its_parts() -> None:
    parts = """
      folder = "kernels"
      part work {
        file = "attention.csv"; when = decodes > 0; times = 2
        at { n = decodes; context = 16 }
      }
      part rest { time = 1 ms }
    """
    assert compiled(cost_of(program(parts)))(a_batch(50)) == pytest.approx(2 * 10e-6 + 1e-3)


def test_what_is_above_a_point() -> None:
    above = (
        'file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens }; above { tokens = 2 }'
    )
    cost = cost_of(program(f'folder = "kernels"; part work {{ {above} }}'))
    assert compiled(cost)(a_batch(50)) == 0
    assert compiled(cost)(a_batch(*[50] * 2049)) == pytest.approx(24945e-6)


def test_an_all_reduce_is_asked_by_the_bytes_that_are_sent() -> None:
    (Path("kernels") / "links.csv").write_text("workers,size,time_us\n2,0,5\n2,81920,15\n", "utf-8")
    cost = """
      folder = "kernels"
      operator all_reduce { file = "links.csv"; at { workers = devices; size = wire } }
    """
    found = {s.name: s for s in shares(cost_of(program(cost, "parallel = tp(2)")), a_batch(9, 9))}
    assert found["block.out.all_reduce"].seconds == pytest.approx(32 * 7e-6)  # 16 KiB of 80
    assert found["embed.all_reduce"].source == "table embed_all_reduce"


def test_the_path_of_a_call_is_relative_to_who_calls(tmp_path: Path) -> None:
    profile = tmp_path / "far" / "profile"
    profile.mkdir(parents=True)
    layers = (
        "embedding",
        "layernorm",
        "qkv_proj",
        "rotary_emb",
        "o_proj",
        "gate_up_proj",
        "act_fn",
    )
    rows = [
        f"{layer},{n},{n * 100}"
        for layer in (*layers, "down_proj", "final_layernorm")
        for n in (1, 9)
    ]
    (profile / "dense.csv").write_text("\n".join(("layer,tokens,time_us", *rows)), "utf-8")
    (profile / "per_sequence.csv").write_text(
        "layer,sequences,time_us\nlm_head,1,7\nlm_head,9,8\nsampler,1,7\nsampler,9,8\n", "utf-8"
    )
    points = [
        (c, k, n, x) for c in (0, 16, 99) for k in (0, 50) for n in (0, 1, 9) for x in (0, 50)
    ]
    (profile / "attention.csv").write_text(
        "prefill_chunk,kv_prefill,n_decode,kv_decode,time_us\n"
        + "\n".join(f"{c},{k},{n},{x},{1 + c + k + n + x}" for c, k, n, x in points),
        "utf-8",
    )
    text = program().replace("cost = kernels", 'cost = llmservingsim(folder = "profile")')
    (tmp_path / "far" / "it.tsim").write_text(text, "utf-8")
    plan = tsdl.compile(tmp_path / "far" / "it.tsim")
    found = {s.name: s for s in shares(plan.workers[0].cost, a_batch(50))}
    assert found["block.attn.decode"].seconds == pytest.approx(32 * 52e-6)
    assert "far" not in plan.to_json()  # the plan is the same wherever it was compiled


@pytest.mark.parametrize(
    ("own", "seconds"),
    [
        ("operator qkv { time = 3 us }", 3e-6),
        ('operator qkv { file = "attention.csv"; at { n = 1; context = 16 } }', 10e-6),
        ("operator qkv { times = 2 }", 200e-6),
        ('operator qkv { rows { layer = "out" } }', 30e-6),
    ],
)
def test_a_derived_cost_says_a_time_anew_or_a_part_of_what_it_is_from(
    own: str, seconds: float
) -> None:
    text = program().replace("cost = kernels", "cost = own")
    found = {
        s.name: s for s in shares(cost_of(f"{text}\ncost own from kernels {{ {own} }}"), a_batch(9))
    }
    assert found["block.qkv"].seconds == pytest.approx(32 * seconds)
    assert found["block.out"].seconds == pytest.approx(32 * 30e-6)


def test_a_derived_cost_says_parts_anew_or_the_whole() -> None:
    text = program().replace("cost = kernels", "cost = own")
    whole = "cost own from kernels { operator attn { time = 3 us } }"
    found = {s.name: s for s in shares(cost_of(f"{text}\n{whole}"), a_batch(9))}
    assert found["block.attn"].seconds == pytest.approx(32 * 3e-6)
    one = "cost own from kernels { operator attn { part decode { time = 3 us } } }"
    found = {s.name: s for s in shares(cost_of(f"{text}\n{one}"), a_batch(9, prefill=7))}
    assert found["block.attn.decode"].seconds == pytest.approx(32 * 3e-6)
    assert found["block.attn.prefill"].seconds == pytest.approx(32 * 7e-6)


# -- measured data -----------------------------------------------------------------------------


def test_tables_of_kernels_make_up_measured_decode_steps(data: Path) -> None:
    """Mean error -3.9 % (others' own sum of the same tables: -3.8 %); the rest is no kernel."""
    run = data / "measured" / "vllm-0.19-rtxpro6000-llama-3.1-8b"
    if not (run / "decode-steps.csv").is_file():
        pytest.skip("needs the decode steps of the RTX PRO 6000")
    text = program().replace("cost = kernels", f'cost = llmservingsim(folder = "{run}/profile")')
    text = text.replace("llama2_7b", "llama3_1_8b").replace("A100_80G", "RTX_PRO_6000")
    assert {d.code for d in tsdl.check(text)} == {
        "N0607",
        "W0201",
    }  # the device, the model are those
    time = compiled(cost_of(text))
    to_real, to_others = [], []
    with (run / "decode-steps.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            count = int(row["n_running"])
            contexts = round(float(row["kv_mean"]) * count)
            batch = Batch(count, count, count, decodes=count, contexts=contexts, peer_tokens=count)
            to_real.append(time(batch) * 1e3 / float(row["real_ms_per_step"]) - 1)
            to_others.append(time(batch) * 1e3 / float(row["table_ms_per_step"]) - 1)
    assert fmean(map(abs, to_real)) < 0.045
    assert fmean(map(abs, to_others)) < 0.002


@pytest.mark.parametrize(
    ("cost", "tables"),
    [
        ('vidur("{0}/llama-2-70b-mlp.csv")', 10),
        ('vidur_with_collectives("{0}/llama-2-70b-mlp.csv", "{0}/dgx-all_reduce.csv", "4")', 11),
        ('splitwise("{0}/end-to-end-iterations.csv", "llama2-70b")', 2),
    ],
)
def test_tables_of_other_simulators_are_read(data: Path, cost: str, tables: int) -> None:
    folder = data / "measured" / "operators-a100"
    if not folder.is_dir():
        pytest.skip("needs the operators of the A100")
    text = program(worker="parallel = tp(4)").replace(
        "cost = kernels", f"cost = {cost.format(folder)}"
    )
    plan = tsdl.compile(text.replace("llama2_7b", "llama2_70b"))
    assert len(plan.workers[0].cost.tables) == tables
    assert plan.run().passed
