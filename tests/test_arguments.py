"""Arguments: what is of another kind is told by its name, a text is no list of letters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

import tsdl
from tsdl.measured import Request

TEXT = """
param shared: bool = false
param n = 5
workload few from constant_lengths { requests = n; arrivals = poisson(2 req/s) }
workload more from few { requests = 7 }
scenario small { model = llama2_7b; cluster = single(A100_80G); workload = more if shared else few }
"""
RUN = tsdl.Run("r.csv", "csv", (Request(0.0, 10, 5, ttft=0.5, e2e=1.0, tpot=0.125),), 1.0)


def plan() -> tsdl.Plan:
    return tsdl.compile(TEXT)


WRONG: dict[str, tuple[Callable[[Any], object], str]] = {
    "params of a text": (lambda _: tsdl.compile(TEXT, "qps=3"), "`params` has values by name"),  # type: ignore[arg-type]
    "params of check": (lambda a: tsdl.check(TEXT, params=a), "`params` has values by name"),
    "constants": (lambda a: tsdl.compile(TEXT, constants=a), "`constants` has values by name"),
    "externs": (lambda a: tsdl.compile(TEXT, externs=a), "`externs` has values by name"),
    "externs of a plan": (lambda a: plan().with_externs(a), "`externs` has values by name"),
    "externs of a study": (lambda a: tsdl.study(TEXT, externs=a), "`externs` has values by name"),
    "files": (lambda a: tsdl.check(TEXT, files=a), "`files` has values by name"),
    "bytes": (lambda _: tsdl.check(TEXT, files={"t.csv": b"a"}), "'t.csv' is there a bytes"),  # type: ignore[dict-item]
    "allow": (lambda a: tsdl.check(TEXT, allow=a), "`allow` has folders; an int is none"),
    "source": (lambda _: tsdl.check(b"text"), "`source` is the text of a program, or its path"),  # type: ignore[arg-type]
    "plan": (lambda _: tsdl.validate(Path("p.tsim"), RUN), "`plan` is what `tsdl.compile` returns"),  # type: ignore[arg-type]
    "run": (lambda a: tsdl.validate(plan(), a), "`run` is a measured run, or the path of one"),
    "runs": (lambda a: tsdl.calibrate(TEXT, a), "`runs` is measured runs, or the paths of such"),
    "fit": (lambda a: tsdl.calibrate(TEXT, RUN, fit=a), "`fit` has names; an int is none"),
    "path": (tsdl.read_run, "`path` is that of a file"),
    "columns": (lambda a: tsdl.read_run("x", columns=a), "`columns` has values by name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_of_another_kind_is_told_by_its_name(case: str) -> None:
    call, told = WRONG[case]
    with pytest.raises(TypeError) as caught:
        call([3])
    assert told in str(caught.value)


def test_a_column_that_runs_do_not_have_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("at,prompt,output,ttft\n0,10,5,0.5\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"`columns` names 'arive', which a run has not; it has"):
        tsdl.read_run(tmp_path / "r.csv", columns={"arive": "at"})
    assert tsdl.read_run(tmp_path / "r.csv", columns={"arrived": "at"}).timed


def test_one_name_to_fit_is_no_list_of_letters() -> None:
    pytest.importorskip("scipy")
    with pytest.raises(tsdl.TsdlError) as caught:
        tsdl.calibrate(TEXT, replace(RUN, requests=RUN.requests * 40), fit="policy.local.overheat")
    assert "no constant `policy.local.overheat`" in str(caught.value)


def test_one_folder_is_allowed_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "gpus.tsim").write_text("hardware mine from A100_80G {}", encoding="utf-8")
    text = f'import "{tmp_path / "gpus.tsim"}"\n{TEXT.replace("A100_80G", "mine")}'
    assert tsdl.check(text, allow=[])[0].code == "E0203"
    assert tsdl.check(text, allow=str(tmp_path)) == tsdl.check(text, allow=tmp_path) == []


@pytest.mark.parametrize("yes", [True, np.True_])
def test_truth_values_and_numbers_of_numpy_are_params(yes: object) -> None:
    assert tsdl.compile(TEXT, {"shared": yes}).workload.requests == 7
    assert tsdl.compile(TEXT, {"n": np.int64(3)}).workload.requests == 3


def test_numbers_of_numpy_are_constants() -> None:
    name = "hardware.efficiency.gemm.compute"
    wanted = tsdl.compile(TEXT, constants={name: 0.5}).hash
    assert tsdl.compile(TEXT, constants={name: np.float32(0.5)}).hash == wanted
