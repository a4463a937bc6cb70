"""Runs with times of tables: what lies beyond these is told, and what rises in them is proved."""

from pathlib import Path

import pytest
from msgspec.structs import replace

import tsdl
from tests.engines import compared
from tests.kernel_tables import DENSE, a_batch, program, tables_in
from tsdl.costs import compiled
from tsdl.facts import facts_of


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return tables_in(tmp_path, monkeypatch)


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
