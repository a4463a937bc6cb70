"""Costs of measured tables: which operator takes its time from where, and what is said of slips."""

import copy
import csv
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from msgspec.structs import replace

import tsdl
from tests.engines import compared
from tsdl.costs import Batch, compiled, shares
from tsdl.errors import TsdlError
from tsdl.facts import facts_of
from tsdl.plan import Cost

DENSE = "layer,tokens,time_us\nqkv,1,100\nqkv,2,110\nqkv,4096,50000\nout,1,30\nout,4096,20000\n"
ATTENTION = "n,context,time_us\n1,16,10\n1,4096,60\n256,16,90\n256,4096,9000\n"
COST = """
  folder = "kernels"
  operator qkv  { file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens } }
  operator out  { file = "dense.csv"; rows { layer = "out" }; at { tokens = tokens } }
  operator add1 { time = 0 s }
  operator attn {
    part decode {
      file = "attention.csv"
      when = decodes > 0
      at { n = decodes; context = contexts / decodes }
    }
    part prefill { time = 1 us * prefill_tokens }
  }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let programs find tables in the folder `kernels`."""
    monkeypatch.chdir(tmp_path)
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    (kernels / "dense.csv").write_text(DENSE, "utf-8")
    (kernels / "attention.csv").write_text(ATTENTION, "utf-8")
    return kernels


def program(cost: str = COST, worker: str = "", policy: str = "chunked") -> str:
    return f"""
cost kernels {{ {cost} }}
cluster node {{ worker gpu {{ hardware = A100_80G; cost = kernels; {worker} }} }}
scenario it {{
  model = llama2_7b; cluster = node; policy = {policy}
  workload = sharegpt(rate = 5 req/s, requests = 40)
}}
"""


def cost_of(text: str) -> Cost:
    return tsdl.compile(text).workers[0].cost


def codes(text: str) -> list[str]:
    return [d.code for d in tsdl.check(text)]


def a_batch(*contexts: int, prefill: int = 0) -> Batch:
    batch = Batch()
    batch.add_decodes(list(contexts))
    if prefill:
        batch.add_prefill(prefill, 0, last=True)
    return batch


# -- where times are from ----------------------------------------------------------------------


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


def test_parts_that_are_fast_enough_together(folder: Path) -> None:
    """Each reads half of the weights, as it were: only both together are the product."""
    (folder / "half.csv").write_text("tokens,time_us\n1,50\n4096,9000\n", "utf-8")
    half = 'file = "half.csv"; at { tokens = tokens }'
    both = f"operator gate_up {{ part a {{ {half} }}; part b {{ {half} }} }}"
    assert codes(program(f'folder = "kernels"; {both}')) == []
    assert codes(program(f'folder = "kernels"; operator gate_up {{ {half} }}')) == ["W0608"]


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


# -- the plan ----------------------------------------------------------------------------------


def test_a_plan_with_tables_is_a_value() -> None:
    plan = tsdl.compile(program())
    again = tsdl.Plan.from_json(plan.to_json())
    assert again == plan
    assert (again.hash, hash(again.workers[0].cost)) == (plan.hash, hash(plan.workers[0].cost))
    assert pickle.loads(pickle.dumps(plan.workers)) == plan.workers
    assert again.run().summary == plan.run().summary


def test_groups_with_the_same_tables_share_them_in_json() -> None:
    text = (
        program()
        .replace("worker gpu {", "node a * 3 { worker gpu {")
        .replace("kernels;  } }", "kernels } }; network = Ethernet_100G }")
    )
    plan = tsdl.compile(text)
    data = json.loads(plan.to_json())
    tables = [kind["cost"]["tables"] for kind in data["workers"]]
    assert tables[1:] == [0, 0]
    assert tsdl.Plan.from_json(plan.to_json()) == plan
    data["workers"][1]["cost"]["tables"] = 1
    with pytest.raises(ValueError, match="comes before"):
        tsdl.Plan.from_json(json.dumps(data))


def _ask_another(cost: dict[str, Any]) -> None:
    kernel = next(k for s in cost["stages"] for k in s["kernels"] if k["name"] == "qkv")
    kernel["time"] = ["table", "kqv", ["symbol", "tokens"]]


def _name_no_name(cost: dict[str, Any]) -> None:
    cost["tables"][0]["name"] = "a b"


def _one_axis_more(cost: dict[str, Any]) -> None:
    cost["tables"][0]["axes"] = ["a", "b"]


def _less_than_nothing(cost: dict[str, Any]) -> None:
    cost["tables"][0]["grid"]["values"][0] = -1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_ask_another, "no table 'kqv'"),
        (_name_no_name, "names of their own"),
        (_one_axis_more, "other axes"),
        (_less_than_nothing, "no time"),
    ],
)
def test_a_plan_whose_tables_cannot_be_read_is_refused(
    change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    data = json.loads(tsdl.compile(program(worker="parallel = pp(2)")).to_json())
    (kind,) = data["workers"]
    for cost in (kind["cost"], *kind["pipeline"]):
        whole = copy.deepcopy(cost)
        change(cost)
        with pytest.raises(ValueError, match=reason):
            tsdl.Plan.from_json(json.dumps(data))
        cost.update(whole)


def test_a_table_may_be_called_what_python_has_for_itself() -> None:
    part = 'file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens }'
    parts = "; ".join(f"part {name} {{ {part}; unit = 1 ns }}" for name in ("_own", "lambda"))
    plan = tsdl.compile(program(f'folder = "kernels"; {parts}'))
    assert tsdl.Plan.from_json(plan.to_json()).run().passed


# -- runs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["continuous", "chunked", "static"])
def test_both_engines_agree(policy: str) -> None:
    assert compared(tsdl.compile(program(policy=policy))).how == "done"


def test_what_lies_beyond_a_table_is_warned_of_once() -> None:
    wide = "wide from chunked { local { max_tokens = 8192 tokens } }"
    text = f"policy {wide}\n{program(policy='wide')}".replace(
        "sharegpt(rate = 5 req/s", "long(rate = 5 req/s"
    )
    text += "workload long from sharegpt { prompt = constant(3000 tokens); arrivals = burst() }"
    result = tsdl.compile(text.replace("rate = 5 req/s, ", "")).run()
    titles = [warning.title for warning in result.warnings]
    assert len(titles) == 1
    assert titles[0].startswith("`gpu` asked `kernels/dense.csv` for times beyond")
    assert "`qkv` has 1 to 4096, `out` has 1 to 4096" in result.warnings[0].notes[0]


def test_a_hole_of_a_table_is_told_as_one(folder: Path) -> None:
    """Many requests were measured at short contexts only, and 40 of some hundred tokens decode."""
    rows = "n,context,time_us\n1,16,10\n1,4096,60\n256,16,90\n256,32,95\n"
    (folder / "attention.csv").write_text(rows, "utf-8")
    (warning,) = tsdl.compile(program().replace("rate = 5", "rate = 50")).run().warnings
    assert warning.title.startswith("`gpu` asked `kernels/attention.csv` for times in its holes: n")
    assert warning.notes[0] == ("`attn_decode` has 1 to 256, but not at each `context` that it has")


def test_stages_of_a_pipeline_tell_what_lies_beyond(folder: Path) -> None:
    (folder / "dense.csv").write_text(DENSE.replace("4096", "3"), "utf-8")
    (warning,) = tsdl.compile(program(worker="parallel = pp(2)")).run().warnings
    assert warning.title.startswith("`gpu` asked `kernels/dense.csv` for times beyond")


def test_within_the_tables_nothing_is_warned_of() -> None:
    assert tsdl.compile(program()).run().warnings == []


# -- what is proved ----------------------------------------------------------------------------


def test_times_that_never_fall_are_proved_of_the_tables() -> None:
    plan = tsdl.compile(program())
    (facts,) = facts_of(plan)
    assert (facts.rising, facts.never_negative) == (True, True)
    (kind,) = plan.workers
    decode = next(t for t in kind.cost.tables if t.name == "attn_decode")
    low, high = decode.grid.of
    falling = replace(
        decode,
        grid=replace(decode.grid, of=(low, replace(high, values=(1.0, 0.5)))),
    )
    tables = tuple(falling if t is decode else t for t in kind.cost.tables)
    odd = replace(plan, workers=(replace(kind, cost=replace(kind.cost, tables=tables)),))
    (facts,) = facts_of(odd)
    assert (facts.rising, facts.never_negative) == (False, True)


def test_beyond_the_requests_that_were_measured_nothing_is_proved() -> None:
    many = "many from chunked { local { max_requests = 300 } }"
    (facts,) = facts_of(tsdl.compile(f"policy {many}\n{program(policy='many')}"))
    assert not facts.rising


def test_what_another_branch_takes_over_from_is_not_proved(folder: Path) -> None:
    """Without prefills the branch at 0 counts, but beyond its contexts that at 8, which is less."""
    rows = "p,context,time_us\n0,16,10\n0,100,60\n8,16,1\n8,4096,2\n"
    (folder / "attention.csv").write_text(rows, "utf-8")
    at = 'file = "attention.csv"; at { p = prefill_tokens; context = contexts }'
    plan = tsdl.compile(program(f'folder = "kernels"; part work {{ {at} }}'))
    time = compiled(plan.workers[0].cost)
    assert time(a_batch(100)) > 10 * time(a_batch(101))
    assert not facts_of(plan)[0].rising


# -- slips -------------------------------------------------------------------------------------

QKV = 'file = "dense.csv"; rows { layer = "qkv" }; at { tokens = tokens }'


@pytest.mark.parametrize(
    ("cost", "found"),
    [
        ("", ["E0404"]),
        ("operator qkv { at { tokens = tokens } }", ["E0404"]),
        (f'folder = "kernels"; operator qkv {{ {QKV}; time = 1 s }}', ["E0521"]),
        (f'folder = "kernels"; iteration = 1 s; operator qkv {{ {QKV} }}', ["E0521"]),
        (
            'folder = "kernels"; operator qkv { file = "dense.csv"; rows { layer = "qkv" } }',
            ["E0404"],
        ),
        (f'folder = "nowhere"; operator qkv {{ {QKV} }}', ["E0604"]),
        (
            'folder = "kernels"; operator attn { file = "attention.csv"; '
            "at { n = 1; context = contexts }; above { n = 256; context = 16 } }",
            ["E0503"],
        ),
        (f'folder = "kernels"; operator qkv {{ {QKV.replace("qkv", "kqv")} }}', ["E0608", "E0605"]),
        (f'folder = "kernels"; operator qkv {{ {QKV}; value = "time" }}', ["E0602", "E0605"]),
        (f'folder = "kernels"; operator qkw {{ {QKV} }}', ["W0508"]),
        ('folder = "kernels"; operator qkv { file = 3 }', ["E0304"]),
        (f'folder = "kernels"; operator qkv {{ {QKV}; above {{ token = 1 }} }}', ["E0404"]),
        (
            'folder = "kernels"; operator qkv { file = "dense.csv"; at { tokens = 3 } }',
            ["E0608", "E0605"],
        ),
    ],
)
def test_a_slip_is_told(cost: str, found: list[str]) -> None:
    assert codes(program(cost)) == found


def test_a_table_that_is_faster_than_the_device_is_of_another_one(folder: Path) -> None:
    (folder / "dense.csv").write_text("layer,tokens,time_us\nqkv,1,20\nqkv,9,21\n", "utf-8")
    (warning,) = tsdl.check(program(f'folder = "kernels"; operator qkv {{ {QKV} }}'))
    assert warning.code == "W0608"
    assert warning.title == ("`qkv` takes 20 us, and to read its weights takes the device 49.39 us")


@pytest.mark.parametrize(("value", "unit"), [("1e309", "1 us"), ("1e308", "1 h")])
def test_a_value_that_is_too_large_is_said(value: str, unit: str) -> None:
    (Path("kernels") / "dense.csv").write_text(f"layer,tokens,time_us\nqkv,1,{value}\n", "utf-8")
    with pytest.raises(TsdlError, match="E0603"):
        cost_of(program(f'folder = "kernels"; operator qkv {{ {QKV}; unit = {unit} }}'))


# -- where they are from -----------------------------------------------------------------------

ABOUT = 'about { file = "about.yaml"; hardware = "gpu"; model = "model"; devices = "degrees" }'


@pytest.mark.parametrize(
    ("text", "worker", "found"),
    [
        ("gpu: A100\nmodel: x/Llama-2-7b-hf\ndegrees: [1, 4]", "", []),
        ("gpu: A100_40G", "", ["W0609"]),
        ("gpu: A10", "", ["W0609"]),  # which is the beginning of A100 by chance
        ("model: Llama-2-70b", "", ["W0609"]),
        ("degrees: [2, 4]", "", ["E0609"]),
        ("degrees: [2, 4]", "parallel = tp(2)", []),
        ("degrees: [2, 4]", "parallel = tp(4)", ["W0609"]),  # or are they of two?
        ("degrees: [2, 4]", "parallel = ep(1)", ["W0609"]),
        ("degrees: none\ngpu: 7\nmodel: [1]", "", []),  # nothing that could be compared
        ("a: b: c", "", ["W0609"]),
        ("- no mapping", "", ["W0609"]),
        ("&a [*a, " * 20_000, "", ["W0609"]),
    ],
)
def test_what_a_file_says_of_tables_is_compared(
    folder: Path, text: str, worker: str, found: list[str]
) -> None:
    (folder / "about.yaml").write_text(text, "utf-8")
    assert codes(program(f'{ABOUT}; folder = "kernels"; operator qkv {{ {QKV} }}', worker)) == found


def test_a_file_about_tables_that_is_missing() -> None:
    assert codes(program(f'{ABOUT}; folder = "kernels"; operator qkv {{ {QKV} }}')) == ["E0604"]
    assert codes(program(f'{ABOUT}; operator qkv {{ file = "kernels/{QKV[8:]} }}')) == []


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
