"""The two iterations of which `tsdl plan` tells times: what they add up to, and what they lack."""

import re
from pathlib import Path

import pytest

from tests.command_line import SMALL, Capture, small_in
from tsdl.cli import main

NUMBER = re.compile(r"(-?[\d.]+) ms")


def told(capsys: Capture, folder: Path, text: str, *options: str) -> list[str]:
    """Return the table of operators in the plan of a program, and what is below it."""
    program = folder / "it.tsim"
    program.write_text(text, "utf-8")
    assert main(["plan", str(program), *options]) == 0
    _, head, table = capsys.readouterr().out.partition("    operator ")
    return (head + table).split("\n\n")[0].splitlines()


def on(worker: str) -> str:
    """Return a program with a cluster of one worker."""
    cluster = f"cluster c {{ worker g {{ hardware = H100_SXM; {worker} }} }}\n"
    return cluster + SMALL.replace('edition "2026"\n', "").replace(
        "single(A100_80G)", "c; policy = chunked"
    )


def notes(lines: list[str]) -> list[str]:
    return [line.removeprefix("    note      ") for line in lines if line.startswith("    note ")]


def test_what_python_says_is_no_number(capsys: Capture, tmp_path: Path) -> None:
    cost = 'cost asked { operator qkv { extern = "f"; reads = [tokens] } }\n'
    lines = told(capsys, tmp_path, cost + on("cost = asked"))
    (asked,) = [line for line in lines if "not known" in line and "qkv" in line]
    assert asked.endswith("Python f")
    assert not NUMBER.search(asked)
    assert re.fullmatch(r" +an iteration +not known +not known", lines[-1])
    others = [line for line in lines[1:-1] if "qkv" not in line]
    assert all(len(NUMBER.findall(line)) == 2 for line in others)


def test_a_part_in_python_beside_a_measured_one(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("tokens,time_us\n1,50\n4096,9000\n", "utf-8")
    parts = 'part a { file = "a.csv"; at { tokens = tokens } }; part b { extern = "f" }'
    lines = told(
        capsys, tmp_path, f"cost both {{ operator qkv {{ {parts} }} }}\n{on('cost = both')}"
    )
    assert [line for line in lines if "qkv.b" in line and "not known" in line]


def test_stages_of_a_pipeline_are_told_with_what_they_send(capsys: Capture, tmp_path: Path) -> None:
    whole = told(capsys, tmp_path, on("parallel = tp(2)"))
    piped = told(capsys, tmp_path, on("parallel = tp(2, stages = 2)"))
    *rows, first, second, total, bound = piped
    assert bound == whole.pop()
    assert first.strip().startswith("stage 1 of 2, send included ")
    assert second.strip().startswith("stage 2 of 2 ")
    assert rows == whole[:-1]
    sums = [[float(number) for number in NUMBER.findall(line)] for line in (first, second, total)]
    without = [float(number) for number in NUMBER.findall(whole[-1])]
    for place in (0, 1):
        assert sums[0][place] + sums[1][place] == pytest.approx(sums[2][place], abs=0.002)
        assert sums[2][place] > without[place] + 0.002


def test_iterations_that_no_run_has_are_told(capsys: Capture, tmp_path: Path) -> None:
    assert notes(told(capsys, tmp_path, on(""))) == []
    beyond = ("--decodes", "300", "--context", "5000", "--prefill", "3000")
    lines = told(capsys, tmp_path, on(""), *beyond)
    assert notes(lines) == [
        "no iteration has so many decodes: at most 256 requests run at once",
        "the decodes hold 733.6 GiB of KV together, and there is room for 57.7",
        "no request has 5,000 tokens: the model's context ends at 4,096",
        "the prompt is prefilled in chunks of at most 2,048 tokens",
    ]
    wide = told(capsys, tmp_path, on(""), "--decodes", "100000", "--context", "100000")
    title = "decode 100,000 at 100,000"
    assert wide[0].index(title) + len(title) == wide[1].index(" ms") + len(" ms")


def test_an_iteration_of_less_than_no_time_is_remarked(capsys: Capture, tmp_path: Path) -> None:
    policy = "policy early from chunked { local { overhead = -1 s * tokens } }\n"
    lines = told(capsys, tmp_path, policy + on("").replace("= chunked", "= early"))
    assert notes(lines) == ["a run ends where an iteration would take less than no time"]


@pytest.mark.parametrize(
    "others", [("--format", "json"), ("--format", "yaml"), ("--constants",), ("--study", "s")]
)
def test_an_iteration_is_chosen_for_people(
    capsys: Capture, tmp_path: Path, others: tuple[str, ...]
) -> None:
    assert main(["plan", small_in(tmp_path), "--context", "64", *others]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("tsdl: --context chooses an iteration")


OPERATORS = """
operator Some(k) {
  part decode  { flops = 1e9 * decodes; bytes = k * contexts / decodes; when = decodes > 0 }
  part prefill { flops = 4e9 * prefills; bytes = 2e6; when = prefills > 0 }
}
model own from llama2_7b { graph { some: Some(1000) } }
"""


def test_work_is_that_of_what_is_launched(capsys: Capture, tmp_path: Path) -> None:
    """A kernel that an iteration does not have may have no value there (0 / 0)."""
    lines = told(capsys, tmp_path, OPERATORS + on("").replace("model = llama2_7b", "model = own"))
    rows = {line.split()[0]: re.findall(r" ms +([\d.]+) +([\d.]+)", line) for line in lines[1:3]}
    assert rows == {
        "some.decode": [("1.0", "1.0"), ("0.0", "0.0")],
        "some.prefill": [("0.0", "0.0"), ("4.0", "2.0")],
    }


BOUND = """
hardware plain {
  compute { fp16 = 1 TFLOPS }
  memory  { capacity = 80 GiB; bandwidth = 100 GB/s }
  efficiency { gemm { compute = 50 %; bandwidth = 50 %; overhead = 100 us } }
  link = wire
}
link wire { bandwidth = 1 GB/s; collective { latency = 10 us; bandwidth = 100 % } }
operator Computes() { flops = 1e9; bytes = 1e6; class = gemm }  # 2 ms beside 0.02
operator Moves()    { flops = 1e6; bytes = 1e8; class = gemm }  # 2 ms beside 0.002
operator Launched() { flops = 1e6; bytes = 1e6; class = gemm }
operator Some()     { flops = 1e6; bytes = 1e8; class = gemm; when = decodes > 0 }
model own from llama2_7b {
  graph {
    computes: Computes(); moves: Moves(); launched: Launched(); some: Some()
    sum: AllReduce(4096)
  }
}
"""


def test_each_kernel_says_what_bounds_it(capsys: Capture, tmp_path: Path) -> None:
    program = on("parallel = tp(2)").replace("H100_SXM", "plain").replace("= llama2_7b", "= own")
    *rows, total, bound = told(capsys, tmp_path, BOUND + program)[1:]
    assert {
        line.split()[0]: re.findall(r" ms +[\d.]+ +[\d.]+ *([a-z]*)", line) for line in rows
    } == {
        "computes": ["compute", "compute"],
        "moves": ["memory", "memory"],
        "launched": ["launch", "launch"],
        "some": ["memory", ""],  # of which a prefill has none
        "sum": ["link", "link"],
    }
    shares = [int(share) for share in re.findall(r"(\d+)%", bound)]
    times = [[float(number) for number in NUMBER.findall(line)] for line in (*rows, total)]
    compute, moves, launched, some, sent, whole = times
    decode = [moves[0] + some[0], compute[0], launched[0], sent[0]]
    prefill = [sent[1], compute[1], moves[1], launched[1]]
    wanted = [*(part / whole[0] for part in decode), *(part / whole[1] for part in prefill)]
    assert shares == [round(100 * share) for share in wanted if share >= 0.005]


def test_what_is_no_roofline_has_no_bound(capsys: Capture, tmp_path: Path) -> None:
    cost = "cost own { operator qkv { time = 1 us * tokens } }\n"
    lines = told(capsys, tmp_path, cost + on("cost = own"))
    (row,) = [line for line in lines if "qkv" in line]
    assert not re.search("compute|memory|launch", row)
    assert "others" in lines[-1]


def test_where_halves_take_turns_the_bound_is_that_of_a_half(
    capsys: Capture, tmp_path: Path
) -> None:
    """Each half reads the weights; what is left of an exchange is the link's, however short."""
    halves = "overlap { hides = [collective]; occupies = 5 %; when = tokens > 300 }"
    policy = f"policy turns from chunked {{ local {{ {halves} }} }}\n"
    text = policy + on("parallel = tp(4)").replace("= chunked", "= turns")
    whole = told(capsys, tmp_path, text, "--prefill", "290")
    divided = told(capsys, tmp_path, text, "--prefill", "580")
    weights, both = (
        next(
            re.findall(r" ms +[\d.]+ +([\d.]+)  ([a-z]+)", line) for line in lines if "qkv" in line
        )
        for lines in (whole, divided)
    )
    assert both[1][1] == weights[1][1] == "memory"
    assert float(both[1][0]) == pytest.approx(2 * float(weights[1][0]), abs=0.2)
    (sent,) = [line for line in divided if "out.all_reduce" in line]
    assert sent.endswith("link")


def test_each_stage_of_a_pipeline_waits_for_its_own_host(capsys: Capture, tmp_path: Path) -> None:
    """What waits, and all else, adds up to an iteration; most of it is bound by the host."""
    policy = "policy slow from chunked { local { host_time = 50 ms; overhead = 1 ms } }\n"
    program = policy + on("parallel = tp(1, stages = 2)").replace(
        "policy = chunked", "policy = slow"
    )
    lines = told(capsys, tmp_path, program, "--decodes", "4")
    times = {line.strip().split("  ")[0]: [*map(float, NUMBER.findall(line))] for line in lines}
    whole = times.pop("an iteration")
    assert whole == pytest.approx([101.0, 101.0], abs=1e-3)
    stages = [times.pop(name) for name in list(times) if name.startswith("stage ")]
    assert [sum(column) for column in zip(*stages, strict=True)] == pytest.approx(whole, abs=1e-2)
    (bound,) = [line for line in lines if line.strip().startswith("bound by")]
    assert re.search(r"host [6-9]\d%", bound)
    rows = [both for both in times.values() if both]
    assert [sum(column) for column in zip(*rows, strict=True)] == pytest.approx(whole, abs=1.0)
