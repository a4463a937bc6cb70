"""What `tsdl plan` tells of a scenario: its limits, its workload, and the rows of an iteration."""

import re
from pathlib import Path

import pytest

from tests.command_line import SMALL, Capture
from tsdl.cli import main


def test_a_plan_says_one_token(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "one.tsim"
    path.write_text(
        SMALL.replace(
            "workload = few",
            "workload = few; policy = single_file",
        )
        + "policy single_file from chunked { local { max_requests = 1; max_tokens = 1 } }\n",
        encoding="utf-8",
    )
    assert main(["plan", str(path)]) == 0
    told = capsys.readouterr().out
    assert "at most 1 request and 1 token an iteration" in told
    assert "1 device, " in told


def test_a_plan_tells_what_prompts_and_conversations_are(capsys: Capture, tmp_path: Path) -> None:
    row = '{"timestamp": 0, "input_length": 600, "output_length": 2, "hash_ids": [1, 2]}'
    (tmp_path / "rows.jsonl").write_text(row, "utf-8")
    program = tmp_path / "it.tsim"
    program.write_text(
        """
param what: workload
workload talks from sharegpt {
  sessions = 20; turns = constant(3); think = uniform(5 s..9 s)
  prefixes = 4; prefix = constant(500 tokens)
}
workload named { trace = "rows.jsonl" }
cluster one { worker gpu { hardware = A100_80G; kv = vllm_shared } }
scenario it { model = llama2_7b; cluster = one; policy = vllm; workload = what }
""",
        "utf-8",
    )
    assert main(["plan", str(program), "-p", "what=talks"]) == 0
    text = capsys.readouterr().out
    assert "20 conversations" in text
    assert "turns constant(value = 3), think uniform(low = 5, high = 9)" in text
    assert "prompts begin with one of 4 texts of constant(value = 500) tokens" in text
    assert main(["plan", str(program), "-p", "what=named"]) == 0
    assert "with names of what is in each 512 tokens of a prompt" in capsys.readouterr().out


def test_the_rows_of_a_plan_add_up_to_an_iteration(tmp_path: Path, capsys: Capture) -> None:
    program = tmp_path / "a.tsim"
    text = (
        "policy slow from continuous { local { overhead = 2 ms + 1 us * requests } }\n"
        "cost own { iteration = 5 ms }\n"
        "cluster alone { worker gpu { hardware = A100_80G; cost = own } }\n"
        "scenario one { model = llama2_7b; cluster = single(A100_80G); policy = slow;"
        " workload = sharegpt(rate = 2 req/s) }\n"
    )
    program.write_text(text)
    assert main(["plan", str(program)]) == 0
    _, rows = capsys.readouterr().out.split("    operator ")
    lines = rows.split("    an iteration")[0].splitlines()[1:]
    total = rows.split("an iteration")[1].splitlines()[0]
    assert lines[0].split()[:2] == ["overhead", "2.001"]
    for place in (0, 1):
        whole = float(re.findall(r"([\d.]+) ms", total)[place])
        parts = [float(re.findall(r"([\d.]+) ms", line)[place]) for line in lines]
        assert sum(parts) == pytest.approx(whole, abs=0.0005 * (len(parts) + 1))
    more = ["--decodes", "64", "--context", "2000", "--prefill", "4096"]
    assert main(["plan", str(program), *more]) == 0
    told = capsys.readouterr().out
    assert "decode 64 at 2,000" in told
    assert "prefill of 4,096" in told
    assert re.search(r"\n    overhead +2\.064 ms +2\.001 ms\n", told)
    with pytest.raises(SystemExit):
        main(["plan", str(program), "--decodes", "0"])
    capsys.readouterr()
    program.write_text(text.replace("single(A100_80G)", "alone"))
    assert main(["plan", str(program)]) == 0
    assert re.search(r"\n    overhead  .*requests.* seconds \(policy\)\n", capsys.readouterr().out)


def test_a_plan_tells_the_formats_and_their_peaks(tmp_path: Path, capsys: Capture) -> None:
    program = tmp_path / "a.tsim"
    text = (
        "hardware own from H100_SXM { compute { fp8 = 2000 TFLOPS }; attained { fp8 = 60 % } }\n"
        "model small from llama3_1_8b { FORMATS }\n"
        "workload few from sharegpt(rate = 2 req/s) { requests = 5 }\n"
        "scenario one { model = small; cluster = single(own); workload = few }\n"
    )
    program.write_text(text.replace("FORMATS", ""))
    assert main(["plan", str(program)]) == 0
    told = capsys.readouterr().out
    assert "billion parameters in bf16, context" in told
    assert "peaks     989 TFLOPS, 3.35 TB/s a device\n" in told
    program.write_text(
        text.replace("FORMATS", "weight_dtype = fp8; compute_dtype = fp8; kv_dtype = fp8")
    )
    assert main(["plan", str(program)]) == 0
    told = capsys.readouterr().out
    assert "billion parameters in bf16 (weights in fp8, compute in fp8, KV in fp8), context" in told
    peaks = "989 TFLOPS in bf16 (100 % attained), 2000 TFLOPS in fp8 (60 % attained), 3.35 TB/s"
    assert f"peaks     {peaks} a device\n" in told


def test_a_plan_tells_what_is_reached_with_weights_of_a_format(
    tmp_path: Path, capsys: Capture
) -> None:
    program = tmp_path / "a.tsim"
    program.write_text(
        "model small from qwen3_30b_a3b { expert_dtype = int4_group }\n"
        "workload few from sharegpt(rate = 2 req/s) { requests = 5 }\n"
        "scenario one { model = small; cluster = single(H100_SXM); workload = few }\n"
    )
    assert main(["plan", str(program)]) == 0
    told = capsys.readouterr().out
    assert re.search(r"\n      grouped_gemm, widened int4 +26.0% +79.0% +8.4 us +1.27\n", told)
    assert main(["plan", str(program), "--constants"]) == 0
    name = "hardware.H100_SXM.efficiency.grouped_gemm.widened.int4.compute"
    assert re.search(rf"{re.escape(name)} += 26 %", capsys.readouterr().out)
    name = name.replace("H100_SXM.", "")
    assert main(["plan", str(program), "--set", f"{name}=50 %"]) == 0
    assert re.search(r"grouped_gemm, widened int4 +50.0% +79.0%", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("model", "worker", "told"),
    [
        (
            "deepseek_v3",
            "kv = vllm_shared; parallel = tp(8)",
            "(vllm_shared, 68.62 KiB a token on each of 8 devices: 691,456 tokens)",
        ),
        (
            "gemma3_12b",
            "kv = vllm_hybrid",
            "384 KiB a token, 66.5 in the mean of 131,072: 12 requests of that length)",
        ),
        ("llama3_1_8b", "kv = vllm_shared", "(vllm_shared, 128 KiB a token: "),
    ],
)
def test_a_plan_tells_what_is_held_of_a_token(
    model: str, worker: str, told: str, capsys: Capture, tmp_path: Path
) -> None:
    path = tmp_path / "held.tsim"
    path.write_text(
        f"cluster one {{ worker gpu {{ hardware = H200; {worker} }} }}\n"
        f"scenario it {{ model = {model}; cluster = one; policy = vllm; workload = sharegpt }}\n",
        "utf-8",
    )
    assert main(["plan", str(path)]) == 0
    assert told in capsys.readouterr().out
