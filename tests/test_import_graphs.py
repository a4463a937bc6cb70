"""Command lines of vLLM and SGLang: which steps they capture in graphs, and where these end."""

import re

import pytest

from tests.test_import_engines import DENSE, H100_NOW, SHORT, made


@pytest.mark.parametrize(
    ("flags", "eager"),
    [
        ("", None),
        ("-O3", None),
        ("-O 2", None),
        ("-O '{\"level\": 3}'", None),
        ("-O0 --max-num-seqs 8", "true"),
        ("-O 0", "true"),
        ("-O0 -O3", None),
        ("--enforce-eager", "true"),
        ("--max-cudagraph-capture-size 64", "tokens > 64"),
        ("-cc.cudagraph_mode=NONE", "true"),
        ("--compilation-config.cudagraph_mode none", "true"),
        ('--compilation-config \'{"cudagraph_mode": "none", "mode": 3}\'', "true"),
        ("-O0 -cc.cudagraph_mode=FULL", None),
        ("-cc.cudagraph_mode=FULL_DECODE_ONLY", "prefills > 0 or tokens > 512"),
        (
            '-cc \'{"cudagraph_mode": "FULL_DECODE_ONLY"}\' --max-num-seqs 64',
            "prefills > 0 or tokens > 128",
        ),
        ("-cc '{\"cudagraph_capture_sizes\": [1, 16, 8]}'", "tokens > 16"),
        (
            '-cc \'{"cudagraph_mode": "FULL_DECODE_ONLY", "max_cudagraph_capture_size": 32}\'',
            "prefills > 0 or tokens > 32",
        ),
    ],
)
def test_which_steps_are_captured_is_read(flags: str, eager: str | None) -> None:
    text, found = made("vllm", f"vllm serve {DENSE} {flags}", *H100_NOW)
    assert text is not None
    assert not found
    assert re.findall(r"\beager = (.*?) }", text) == ([eager] if eager else [])


@pytest.mark.parametrize(
    ("version", "flags", "ends"),
    [
        ("0.10.2", "", "vllm_0_8"),
        ("0.10.2", "-O.full_cuda_graph=true", "vllm_synchronous eager"),
        ("0.10.2", "-cc.cudagraph_mode=FULL_AND_PIECEWISE", "vllm_synchronous"),
        ("0.10.2", "--async-scheduling", "vllm in_pieces"),
        ("0.10.2", "-pp 2", "vllm in_pieces"),
        ("0.12", "-cc.cudagraph_mode=PIECEWISE", "vllm_synchronous in_pieces"),
        ("0.19", "", "vllm"),
        ("0.19", "--enforce-eager", "vllm"),
    ],
)
def test_where_graphs_end_is_read(version: str, flags: str, ends: str) -> None:
    """Those of decodes end at each layer's attention before 0.11; a line says what differs."""
    line = f"vllm serve {DENSE} {flags}"
    text, found = made("vllm", line, "--hardware", "H100", "--version", version)
    assert text is not None
    assert not found
    policy, *others = ends.split(" ", 1)
    assert re.search(rf"\b{policy}\(budget", text)
    times = re.findall(r"host_time += (.*?)(?: }|  #)", text)
    assert [other in time for time, other in zip(times, others, strict=True)] == [True] * len(
        others
    )


@pytest.mark.parametrize(
    ("version", "flags", "policy", "eager"),
    [
        ("0.5.9", "", "sglang_0_4", []),
        ("0.5.9", "--enable-piecewise-cuda-graph", "sglang", []),
        ("0.5.10", "", "sglang", []),
        ("0.5.10", "--disable-prefill-cuda-graph", "sglang_0_4", []),
        ("0.5.9", "--cuda-graph-max-bs 8", "sglang_0_4", ["prefills > 0 or tokens > 8"]),
        (
            "0.5.10",
            "--cuda-graph-max-bs 8 --piecewise-cuda-graph-max-tokens 9",
            "sglang",
            ["prefills == 0 and tokens > 8 or prefills > 0 and tokens > 9"],
        ),
    ],
)
def test_which_graphs_of_sglang_are_captured_is_read(
    version: str, flags: str, policy: str, eager: list[str]
) -> None:
    line = f"sglang serve --model-path {DENSE} {flags}"
    text, found = made("sglang", line, "--hardware", "H100", "--version", version)
    assert text is not None
    assert not found
    assert re.search(rf"\b{policy}\(budget", text)
    assert re.findall(r"\beager = (.*?) }", text) == eager


@pytest.mark.parametrize(
    "config",
    [
        "'{'", "[]", "2.5", "NON", "[" * 5_000,
        *(
            f"'{config}'"
            for config in (
                '{"inductor": 1}', '{"mode": 0, "cudagraph_mode": "PIECEWISE"}',
                '{"cudagraph_mode": "NON"}', '{"cudagraph_mode": false}',
                '{"cudagraph_capture_sizes": []}', '{"cudagraph_capture_sizes": [1, true]}',
                '{"max_cudagraph_capture_size": 0}', '{"max_cudagraph_capture_size": "64"}',
            )
        ),
    ],
)  # fmt: skip
def test_a_config_that_is_not_understood_is_told(config: str) -> None:
    line = f"vllm serve {DENSE} --compilation-config={config}"
    text, found = made("vllm", line, *H100_NOW)
    assert text is not None
    assert "local {" not in text
    assert ["captured as is usual" in d.title for d in found] == [True]


def test_the_old_engine_reads_no_config() -> None:
    line = f"vllm serve {SHORT} -O0 -cc '{{\"cudagraph_capture_sizes\": [1]}}'"
    text, found = made("vllm", line, "--hardware", "H100", "--version", "0.6")
    assert text is not None
    assert "local {" not in text
    assert len(found) == 2
    text, found = made(
        "vllm", f"vllm serve {SHORT} --enforce-eager", "--hardware", "H100", "--version", "0.6"
    )
    assert text is not None
    assert "eager = true" in text
    assert not found
