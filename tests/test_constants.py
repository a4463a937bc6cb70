"""Numbers of a scenario: which there are, and a run with others in their place."""

import pytest

import tsdl
from tsdl.cli import main
from tsdl.diagnostics import Sink
from tsdl.session import Chosen, Session, choose_scenario
from tsdl.writing import number

Capture = pytest.CaptureFixture[str]

TEXT = """
hardware gpu(share = 70 %) from A100_80G { efficiency.gemm.bandwidth = share }
hardware slower from A100_80G { efficiency.gemm.compute = base.efficiency.gemm.compute / 2 }
policy busy from chunked { local { overhead = 1 ms + 2 us * requests } }
workload few { requests = 20; arrivals = poisson(4 req/s); prompt = constant(300 tokens); output = constant(8 tokens) }
cluster two {
  worker one { hardware = gpu(60 %); policy = busy }
  worker other { hardware = slower; link = PCIe4_x16 }
}
scenario small { model = llama2_7b; cluster = two; policy = chunked; workload = few }
"""  # noqa: E501


def chosen() -> Chosen:
    sink = Sink()
    found = choose_scenario(Session("<text>", TEXT), sink, {})
    assert found is not None, sink.found
    return found


def names() -> dict[str, float]:
    return {constant.name: constant.value for constant in chosen().constants()}


def test_numbers_are_written_by_powers_of_ten_where_they_are_immense() -> None:
    assert [number(x) for x in (8192, 12_345.0, 0.25, 1e300)] == [
        "8192",
        "12_345",
        "0.25",
        "1e+300",
    ]


def test_numbers_of_all_that_is_used_are_there_once() -> None:
    found = names()
    assert len(found) == len(chosen().constants())
    assert found["hardware.gpu.efficiency.gemm.bandwidth"] == 0.6
    assert found["hardware.slower.efficiency.gemm.compute"] == pytest.approx(0.739 / 2)
    assert found["hardware.slower.compute.fp16"] == 312e12
    assert found["policy.chunked.local.overhead"] == 0
    assert found["link.NVLink3.collective.latency"] == pytest.approx(33e-6)
    assert "link.PCIe4_x16.collective.latency" in found
    assert "policy.busy.local.overhead" not in found  # a formula of the batch
    assert "policy.chunked.local.max_tokens" not in found  # whole
    assert not any(name.startswith("hardware.A100_80G") for name in found)  # only a base


def plan_of(**constants: object) -> tsdl.Plan:
    dotted = {name.replace("__", "."): value for name, value in constants.items()}
    return tsdl.compile(TEXT, constants=dotted)


def test_every_number_that_is_set_reaches_the_plan() -> None:
    plan = plan_of(hardware__gpu__efficiency__gemm__bandwidth=0.5)
    assert {e.bandwidth for e in plan.workers[0].efficiencies if e.work_class == "gemm"} == {0.5}
    assert {e.bandwidth for e in plan.workers[1].efficiencies if e.work_class == "gemm"} == {0.827}
    both = plan_of(hardware__efficiency__gemm__bandwidth="50 %")
    assert {
        e.bandwidth for w in both.workers for e in w.efficiencies if e.work_class == "gemm"
    } == {0.5}


def test_the_value_that_it_has_changes_nothing() -> None:
    assert tsdl.compile(TEXT, constants=names()).hash == tsdl.compile(TEXT).hash


def test_every_number_can_be_written_and_read_again() -> None:
    found = chosen()
    units = found.program.units
    written = {c.name: c.written(c.value, units) for c in found.constants()}
    assert written["hardware.gpu.memory.bandwidth"] == "2039 GB/s"
    assert written["dtype.fp16.size"] == "2 B"
    plan = tsdl.compile(TEXT, constants=written)
    kinds = ((w.hardware, w.efficiencies, w.peak_compute) for w in plan.workers)
    was = ((w.hardware, w.efficiencies, w.peak_compute) for w in tsdl.compile(TEXT).workers)
    assert list(kinds) == list(was)


@pytest.mark.parametrize(
    ("value", "code"),
    [("1400 %", "E0503"), (-1, "E0503"), ("4 ms", "E0301"), ("x", "E0201"), ("", "E0101"),
     ("true", "E0304"), (True, "E0201"), ("seed", "E0201")],
)  # fmt: skip
def test_a_wrong_value_is_told(value: object, code: str) -> None:
    with pytest.raises(tsdl.TsdlError) as told:
        plan_of(hardware__gpu__efficiency__gemm__bandwidth=value)
    assert {d.code for d in told.value.diagnostics} == {code}


def test_the_command_line(tmp_path: object, capsys: Capture) -> None:
    path = f"{tmp_path}/it.tsim"
    with open(path, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(TEXT)
    assert main(["plan", path, "--constants"]) == 0
    assert "hardware.gpu.efficiency.gemm.bandwidth = 60 %\n" in capsys.readouterr().out
    name = "hardware.gpu.efficiency.gemm.bandwidth"
    assert main(["plan", path, "--set", f"{name}=50 %", "--format", "json"]) == 0
    found = tsdl.Plan.from_json(capsys.readouterr().out)
    assert found.hash == plan_of(**{name.replace(".", "__"): 0.5}).hash
    assert main(["run", path, "--set", "hardware.gpo.price=1 USD"]) == 1
    assert "E0508" in capsys.readouterr().err


GIVEN = """
param hw: hardware = H100_SXM
param place: cluster = single(H100_SXM)
param fast: bool = hw == H100_SXM
cluster own { worker gpu { hardware = hw } }
workload few {
  requests = 3; arrivals = burst(); prompt = constant(9 tokens); output = constant(9 tokens)
}
scenario s { model = llama3_1_8b; cluster = own; workload = few; until = 90 s if fast else 95 s }
scenario t { model = llama3_1_8b; cluster = place; workload = few }
study both { scenario = s; vary hw in [H100_SXM, A100_80G]; table mean(tpot) }
"""
SLOW = {"hardware.efficiency.gemm.bandwidth": "20 %"}


@pytest.mark.parametrize(
    ("scenario", "params"),
    [("s", {"hw": "H100_SXM"}), ("t", {"place": "single(H100_SXM)"})],
)
def test_what_a_param_chooses_has_the_constants_that_are_given(
    scenario: str, params: dict[str, object]
) -> None:
    slow = tsdl.compile(GIVEN, scenario=scenario, constants=SLOW)
    assert tsdl.compile(GIVEN, scenario=scenario, constants=SLOW, params=params).hash == slow.hash
    usual = tsdl.compile(GIVEN, scenario=scenario)
    assert tsdl.compile(GIVEN, scenario=scenario, params=params).hash == usual.hash != slow.hash


def test_a_param_that_is_given_is_what_it_names() -> None:
    for name, until in (("H100_SXM", 90), ("A100_80G", 95)):
        assert tsdl.compile(GIVEN, scenario="s", params={"hw": name}).until == until


def test_a_study_knows_constants_of_what_it_varies() -> None:
    def times(constants: dict[str, object]) -> list[float]:
        return list(tsdl.study(GIVEN, constants=constants).table["mean(tpot)"])

    usual, all_slow = times({}), times(dict(SLOW))
    one_slow = times({"hardware.A100_80G.efficiency.gemm.bandwidth": "20 %"})
    assert all(slow > 2 * time for slow, time in zip(all_slow, usual, strict=True))
    assert one_slow == [usual[0], all_slow[1]]
