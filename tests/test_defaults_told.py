"""`tsdl check --explain-defaults`: what a scenario and all that it uses leave to defaults."""

from pathlib import Path

from tests.command_line import Capture
from tsdl.cli import main

PROGRAM = """
hardware chip {
  compute { fp16 = 300 TFLOPS }
  memory  { capacity = 80 GiB; bandwidth = 2 TB/s }
  efficiency { gemm { compute = 80 % } }
  link = cable
}
link cable { bandwidth = 50 GB/s; collective.latency = 2 us }
scenario s { model = llama2_7b; cluster = single(chip, devices = 2); workload = sharegpt }
scenario t { model = llama2_7b; cluster = single(chip, devices = 2); workload = sharegpt }
"""


def test_all_that_a_scenario_uses_is_told_once(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "it.tsim"
    path.write_text(PROGRAM, "utf-8")
    assert main(["check", str(path), "--explain-defaults"]) == 0
    out = capsys.readouterr().out
    first = out[out.index("scenario s") : out.index("scenario t")]
    for heading in ("  hardware chip\n", "  link cable\n", "  kv paged\n", "  policy continuous\n"):
        assert first.count(heading) == 1
    chip = first[first.index("  hardware chip\n") : first.index("  link cable\n")]
    assert "    multiprocessors = 100  # " in chip
    assert "      gemm\n        bandwidth = 80 %  # " in chip
    assert "compute = 75 %" not in chip[chip.index("gemm") : chip.index("gemm") + 60]
    collective = first[first.index("  link cable\n") :].partition("    collective\n")[2]
    assert collective.startswith("      bandwidth = 70 %  # ")  # its latency is set
