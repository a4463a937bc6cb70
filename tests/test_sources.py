"""Other models of times as tables: the points that are asked, the cost that reads the answers.

Against aiconfigurator-core and GenZ themselves the tests run where these are installed.
"""

import csv
import io
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import tsdl
from tsdl.cli import main
from tsdl.costs import Batch, compiled
from tsdl.sources import Bounds, tabulate
from tsdl.sources.grid import COLUMNS, doubled, halved

SMALL = Bounds(256, 8, 512)


class Made:
    """Times that are made up: bilinear between the points of a table, so that it has them all."""

    def decodes(self, sequences: int, context: int) -> float:
        """Return seconds."""
        return 5e-3 + 1e-5 * sequences + 1e-8 * sequences * context

    def others(self, tokens: int) -> float:
        """Return seconds."""
        return 4e-3 + 2e-5 * tokens

    def prefill(self, tokens: int, past: int) -> float:
        """Return seconds: a launch, and the more the longer."""
        return 1e-4 + 1e-7 * tokens + 1e-9 * tokens * past

    def attention(self, sequences: int, context: int) -> float:
        """Return seconds."""
        return 2e-4 + 3e-8 * sequences * context


def cost_of(folder: Path, text: str) -> Any:  # noqa: ANN401 (a function of a batch)
    (folder / "times.csv").write_text(text, encoding="utf-8")
    (folder / "main.tsim").write_text(
        """
cost asked from tabulated("times.csv") {}
cluster one { worker gpu { hardware = H100_SXM; cost = asked } }
workload few from sharegpt(rate = 2 req/s) { requests = 30 }
scenario it { model = llama3_1_8b; cluster = one; policy = chunked; workload = few }
""",
        encoding="utf-8",
    )
    assert tsdl.check(folder / "main.tsim") == []
    return compiled(tsdl.compile(folder / "main.tsim").workers[0].cost)


def batch_of(prefills: list[tuple[int, int]], contexts: list[int]) -> Batch:
    batch = Batch()
    for tokens, past in prefills:
        batch.add_prefill(tokens, past, last=True)
    batch.add_decodes(contexts)
    return batch


# -- the table ---------------------------------------------------------------------------------


def test_points_are_doubled_or_halved() -> None:
    assert doubled(16, 100) == [16, 32, 64, 100]
    assert doubled(16, 16) == doubled(16, 3) == [16]
    assert halved([1, 2, 4, 8, 10]) == [1, 2, 3, 4, 6, 8, 9, 10]


def test_every_point_is_asked_and_written_once() -> None:
    found = tabulate(Made(), SMALL)
    rows = list(csv.DictReader(io.StringIO(found.text)))
    assert tuple(rows[0]) == COLUMNS
    points = [tuple(row[column] for column in COLUMNS[:-1]) for row in rows]
    assert len(set(points)) == len(points) == found.points
    assert (found.holes, found.reason) == (0, "")
    assert {row["part"] for row in rows} == {"decodes", "attention", "others", "prefill"}
    row = next(r for r in rows if (r["part"], r["tokens"], r["past"]) == ("prefill", "64", "128"))
    assert float(row["time_us"]) == pytest.approx(1e6 * Made().prefill(64, 128))
    assert tabulate(Made(), SMALL).text == found.text


def test_the_cost_is_the_sum_of_what_was_asked(tmp_path: Path) -> None:
    made = Made()
    time = cost_of(tmp_path, tabulate(made, SMALL).text)
    assert time(batch_of([], [100, 300])) == pytest.approx(made.decodes(2, 200))
    assert time(batch_of([(100, 0)], [])) == pytest.approx(made.others(100) + made.prefill(100, 0))
    mixed = made.others(103) + made.prefill(100, 200) + made.attention(3, 200)
    assert time(batch_of([(100, 200)], [100, 200, 300])) == pytest.approx(mixed)


def test_further_prefills_have_no_launch_of_their_own(tmp_path: Path) -> None:
    """Two that are alike: the second takes what it takes beyond one of 16 tokens."""
    made = Made()
    time = cost_of(tmp_path, tabulate(made, SMALL).text)
    two = made.others(200) + 2 * made.prefill(100, 50) - made.prefill(16, 0)
    assert time(batch_of([(100, 50), (100, 50)], [])) == pytest.approx(two)
    assert time(batch_of([(7, 0)], [])) == pytest.approx(made.others(7) + made.prefill(16, 0))


def test_what_has_no_time_is_a_hole(tmp_path: Path) -> None:
    class Partial(Made):
        def decodes(self, sequences: int, context: int) -> float:
            if sequences * context > 1000:
                raise tsdl.NoTime(f"no room for {sequences} of {context}")
            return super().decodes(sequences, context)

    found = tabulate(Partial(), SMALL)
    assert found.holes > 0
    assert found.points + found.holes == tabulate(Made(), SMALL).points
    assert found.reason == "no room for 2 of 512"
    assert tsdl.tabulate(Partial(), tokens=256, requests=8, context=512) == found.text


def test_a_part_without_any_time_is_refused() -> None:
    class Silent(Made):
        def prefill(self, tokens: int, past: int) -> float:
            raise tsdl.NoTime(f"nothing for {tokens} after {past}")

    with pytest.raises(ValueError, match="no times of prefill: nothing for 16 after 0"):
        tsdl.tabulate(Silent())


def test_beyond_the_table_is_warned_of(tmp_path: Path) -> None:
    cost_of(tmp_path, tabulate(Made(), SMALL).text)
    result = tsdl.compile(tmp_path / "main.tsim").run()
    assert {warning.code for warning in result.warnings} == {"W0901"}


# -- the command -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "package"), [("aiconfigurator", "aiconfigurator-core"), ("genz", "genz-llm")]
)
def test_a_source_that_is_not_installed_is_told(
    source: str,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    output = str(tmp_path / "x.tsim")
    given = ["tabulate", source, "--model", "a", "--system", "b", "-o", output]
    assert main(given) == 2
    extra = f"pip install 'tsdl[{source}]'"
    assert capsys.readouterr().err == f"tsdl: {package} is not installed: {extra}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["times.csv", "times"])
def test_a_table_has_a_program_beside_it(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tabulate", "genz", "--model", "a", "--system", "b", "-o", output]) == 2
    assert "is no name of a .tsim file" in capsys.readouterr().err


# -- the real ones -----------------------------------------------------------------------------


def written(given: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:  # noqa: ANN401
    """Run the command in a small grid; return the cost that it wrote, as a function."""
    bounds = ["--max-tokens", "512", "--max-requests", "16", "--max-context", "2048"]
    assert main(["tabulate", *given, *bounds, "-o", str(folder / "asked.tsim")]) == 0
    assert capsys.readouterr() == ("", "")
    assert "cost asked from tabulated" in (folder / "asked.tsim").read_text("utf-8")
    return cost_of(folder, (folder / "asked.csv").read_text("utf-8"))


def unknown(given: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["tabulate", *given, "-o", str(folder / "none.tsim")]) == 2
    return capsys.readouterr().err


def test_aiconfigurator_is_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Points have its times, to the bit of a microsecond; between them its kernels have steps."""
    reason = "needs aiconfigurator-core: pip install 'tsdl[aiconfigurator]'"
    pytest.importorskip("aiconfigurator_core", reason=reason)
    from aiconfigurator_core.sdk.engine import EngineHandle

    model, system = "meta-llama/Meta-Llama-3.1-8B", "h100_sxm"
    given = ["aiconfigurator", "--model", model, "--system", system]
    time = written(given, tmp_path, capsys)
    engine = EngineHandle.compile(model, system, "vllm")
    steps = engine.decode_step_latency(12, 1024, 0) / 1e3
    assert time(batch_of([], [1024] * 12)) == pytest.approx(steps)
    first = engine.predict_prefill_latency(1, 384) / 1e3
    assert time(batch_of([(384, 0)], [])) == pytest.approx(first)
    second = engine.predict_prefill_latency(1, 256 + 384, 256) / 1e3
    assert time(batch_of([(384, 256)], [])) == pytest.approx(second)
    prefill, decodes = batch_of([(300, 0)], []), batch_of([], [700] * 11)
    assert time(prefill) == pytest.approx(engine.predict_prefill_latency(1, 300) / 1e3, rel=0.05)
    steps = engine.decode_step_latency(11, 700, 0) / 1e3
    assert time(decodes) == pytest.approx(steps, rel=0.05)
    mixed = engine.mixed_step_latency(384, 12, 384, 0) / 1e3  # where contexts are prompts
    assert time(batch_of([(384, 0)], [384] * 12)) == pytest.approx(mixed, rel=0.02)
    told = unknown(["aiconfigurator", "--model", model, "--system", "h1"], tmp_path, capsys)
    assert "has nothing for" in told
    other = ["--model", "deepseek-ai/DeepSeek-V3", "--system", "h200_sxm", "--backend", "sglang"]
    told = unknown(["aiconfigurator", *other, "--ep", "8"], tmp_path, capsys)
    assert "ep 8 has no times of attention, others, prefill: " in told


def test_several_prefills_are_as_aiconfigurator_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "needs aiconfigurator-core: pip install 'tsdl[aiconfigurator]'"
    pytest.importorskip("aiconfigurator_core", reason=reason)
    from aiconfigurator_core.sdk.engine import EngineHandle

    model, system = "meta-llama/Meta-Llama-3.1-8B", "h100_sxm"
    time = written(["aiconfigurator", "--model", model, "--system", system], tmp_path, capsys)
    engine = EngineHandle.compile(model, system, "vllm")
    for count, tokens in ((2, 256), (4, 128), (4, 96)):
        theirs = engine.predict_prefill_latency(count, tokens) / 1e3
        assert time(batch_of([(tokens, 0)] * count, [])) == pytest.approx(theirs, rel=0.02)


@pytest.mark.parametrize("devices", [1, 2])
def test_genz_is_asked(devices: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An iteration is a sum of operators: its points have its times, whatever is mixed there."""
    package = pytest.importorskip("GenZ", reason="needs genz-llm: pip install 'tsdl[genz]'")
    model, system = "meta-llama/Llama-3.1-8B", "H100_GPU"
    given = ["genz", "--model", model, "--system", system, "--efficiency", "80%"]
    time = written([*given, "--tp", str(devices)], tmp_path, capsys)
    shared = {
        "model": model, "system_name": system, "system_eff": 0.8, "bits": "bf16",
        "tensor_parallel": devices, "parallelism_heirarchy": f"TP{{{devices}}}_EP{{1}}_PP{{1}}",
    }  # fmt: skip

    def chunked(prefills: list[tuple[int, int]], contexts: list[int]) -> float:
        found = package.chunked_moddeling(
            prefill_kv_sizes=prefills, decode_kv_sizes=contexts, **shared
        )
        return float(found["Latency"]) / 1e3

    decodes = package.decode_moddeling(
        batch_size=12, Bb=1, input_tokens=1024, output_tokens=0, **shared
    )["Latency"]
    assert time(batch_of([], [1024] * 12)) == pytest.approx(decodes / 1e3)
    assert time(batch_of([(384, 0)], [])) == pytest.approx(chunked([(0, 384)], []))
    assert time(batch_of([(384, 256)], [])) == pytest.approx(chunked([(256, 384)], []))
    assert time(batch_of([(378, 256)], [1024] * 6)) == pytest.approx(
        chunked([(256, 378)], [1024] * 6), rel=0.01
    )
    unknown_model = unknown(["genz", "--model", "nobody", "--system", system], tmp_path, capsys)
    assert "has no nobody on H100_GPU" in unknown_model
