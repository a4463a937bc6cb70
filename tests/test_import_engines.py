"""Command lines of vLLM and SGLang: each row of docs/engines.md, defaults by version, mistakes."""

import random
import re

import pytest

from tests.conftest import ROOT
from tests.test_imports import errors
from tsdl.diagnostics import Diagnostic, Sink
from tsdl.diagnostics.text import render_all
from tsdl.imports import COMMANDS, FORMATS
from tsdl.parse import parse
from tsdl.source import Source
from tsdl.writing import tokens

DOCUMENT = ROOT / "docs" / "engines.md"
ROW = re.compile(r"^\| `(.+?)` \| `(.+?)` \|.*\|$", re.MULTILINE)
STARTS = {
    "vllm": "vllm serve", "sglang": "python -m sglang.launch_server --model-path",
    "trtllm": "trtllm-serve",
}  # fmt: skip
DENSE, SPARSE = "meta-llama/Llama-3.1-8B-Instruct", "mistralai/Mixtral-8x7B-Instruct-v0.1"
MIXED = "Qwen/Qwen3-Next-80B-A3B-Instruct --tp 4"  # with recurrent layers
SHORT = "meta-llama/Meta-Llama-3-8B-Instruct"  # of so short a context that V0 cuts no prompt


H100_NOW = ("--hardware", "H100", "--version", "0.19")


def made(
    form: str, command: str, *flags: str, options: str = ""
) -> tuple[str | None, list[Diagnostic]]:
    sink = Sink()
    files = [("<command>", command), *([("more.yaml", options)] if options else [])]
    text = FORMATS[form](files, flags or ("--hardware", "H100"), sink)
    assert (text is None) == sink.has_errors
    return text, sink.sorted()


def rows() -> list[tuple[str, str, str, str]]:
    """Return engine, version, flags and the TSDL of each row."""
    text = DOCUMENT.read_text("utf-8").split("\n## vLLM\n")[1]
    vllm, sglang, trtllm = re.split(r"\n## (?:SGLang|TensorRT-LLM)\n", text)
    new, old = vllm.split("Before 0.8")
    parts = (
        ("vllm", "0.19", new), ("vllm", "0.6", old), ("sglang", "0.5.16", sglang),
        ("trtllm", "", trtllm),
    )  # fmt: skip
    return [(form, version, *row) for form, version, text in parts for row in ROW.findall(text)]


@pytest.mark.parametrize(("form", "version", "flags", "wanted"), rows())
def test_row_of_the_document(form: str, version: str, flags: str, wanted: str) -> None:
    experts = any(
        what in flags for what in ("expert", "ep-size", "ep_size", "dp-attention", "all2all")
    )
    options, flags = ("", flags) if flags.startswith("-") else (flags, "")
    own = ("--hardware", "H100", *(("--version", version) if version else ()))
    dense = SHORT if version == "0.6" else MIXED if "--mamba" in flags else DENSE
    command = f"{STARTS[form]} {SPARSE if experts else dense} {flags}"
    text, found = made(form, command, *own, options=options)
    assert text is not None, render_all(found)
    assert not found, render_all(found)
    tight = re.sub(r" +", " ", text)
    assert wanted in tight, text
    without, _ = made(form, f"{STARTS[form]} {dense}", *own)
    default = "prefix-caching" in flags and version == "0.19" and "--no" not in flags
    assert default or wanted not in re.sub(r" +", " ", without or "")
    assert not errors(text), text


def test_the_document_has_all_that_is_read() -> None:
    assert len(rows()) > 40


@pytest.mark.parametrize(
    ("hardware", "version", "policy"),
    [
        ("H100", "0.19", "vllm(budget = 8192 tokens, sequences = 1024)"),
        ("A100_80G", "0.19", "vllm(budget = 2048 tokens, sequences = 256)"),
        ("RTX_4090", "v0.10.2", "vllm_0_8(budget = 2048 tokens, sequences = 256)"),
        ("RTX_4090", "0.11", "vllm_synchronous(budget = 2048 tokens, sequences = 256)"),
        ("H100", "0.8", "vllm_0_8(budget = 8192 tokens, sequences = 256)"),
        ("H100", "0.5.3", "vllm_0_6(budget = 131_072 tokens, sequences = 256)"),
    ],
)
def test_defaults_are_those_of_a_version(hardware: str, version: str, policy: str) -> None:
    text, found = made("vllm", f"vllm serve {DENSE}", "--hardware", hardware, "--version", version)
    assert text is not None, render_all(found)
    assert policy in text
    assert "local {" not in text  # the policy of the library is all of it


@pytest.mark.parametrize(
    ("version", "command", "hardware", "budget", "chunked"),
    [
        ("0.6.3", "meta-llama/Llama-2-7b-chat-hf", "H100", 4096, False),
        ("0.6.3", SHORT, "H100", 8192, False),
        ("0.6.3", "lmsys/longchat --max-model-len 1k", "H100", 2048, False),  # by --model
        ("0.6.3", SPARSE, "H100", 32_768, False),  # not above it
        ("0.5.3", DENSE, "H100", 131_072, False),
        ("0.5.4", DENSE, "H100", 512, True),
        ("0.6", DENSE, "H100", 512, True),
        ("v0.6.4.post1", DENSE, "H100", 512, True),
        ("0.6.5", DENSE, "H100", 2048, True),
        ("0.7.3", DENSE, "A100_80G", 2048, True),
        ("0.6.3", f"{DENSE} --max-model-len 4096", "H100", 4096, False),
        ("0.6.3", f"{DENSE} --max-model-len 32768", "H100", 32_768, False),
        ("0.6.3", f"{DENSE} --max-model-len 40000", "H100", 512, True),
        ("0.6.3", f"{DENSE} --max-num-batched-tokens 4096", "H100", 4096, True),
        ("0.6.3", f"{DENSE} --no-enable-chunked-prefill", "H100", 131_072, False),
        ("0.6.3", f"{DENSE} --enable-lora", "H100", 131_072, False),
        ("0.6.3", f"{DENSE} --speculative-model [ngram]", "H100", 131_072, False),
        ("0.6.1", f"{DENSE} --enable-prefix-caching", "H100", 131_072, False),
        ("0.6.2", f"{DENSE} --enable-prefix-caching", "H100", 512, True),
        ("0.6.3", DENSE, "MI300X", 131_072, False),
        ("0.6.6", "deepseek-ai/DeepSeek-V3", "H200", 2048, True),  # as any attention
        ("0.7.2", "deepseek-ai/DeepSeek-V3", "H200", 163_840, False),  # MLA
        ("0.7", "google/gemma-3-27b-it", "H100", 131_072, False),  # windows
        ("0.7", "mistralai/Mistral-Small-3.1-24B-Instruct-2503", "H100", 131_072, False),  # images
    ],
)
def test_the_old_engine_cuts_prompts_of_long_contexts(
    version: str, command: str, hardware: str, budget: int, *, chunked: bool
) -> None:
    flags = ["--hardware", hardware, "--version", version]
    flags += ["--model", "llama3_8b"] if "longchat" in command else []
    text, found = made("vllm", f"vllm serve {command}", *flags)
    assert text is not None, render_all(found)
    assert f"vllm_0_6(budget = {tokens(budget)}," in text
    assert ("batching = chunked" in text) == chunked
    assert not errors(text), text


@pytest.mark.parametrize(
    ("version", "flags", "synchronous"),
    [
        ("0.3.2", "", True),
        ("0.3.6", "--enable-overlap-schedule", False),
        ("0.3.6", "--enable-overlap-schedule --pp-size 2", True),
        ("0.4", "", False),
        ("0.5", "--enable-overlap-schedule", False),
        ("0.5", "--disable-overlap-schedule", True),
    ],
)
def test_sglang_overlaps_scheduling_from_0_4_on(
    version: str, flags: str, *, synchronous: bool
) -> None:
    line = f"{STARTS['sglang']} {DENSE} {flags}"
    text, found = made("sglang", line, "--hardware", "H100", "--version", version)
    assert text is not None
    assert not found, render_all(found)
    assert ("scheduling = synchronous" in text) == synchronous
    assert ("overhead   = 48 us * requests" in text) == (synchronous and "--pp" not in flags)
    assert not errors(text), text


def test_a_flag_without_a_counterpart_is_warned_of() -> None:
    command = f"vllm serve {DENSE} --port 80 --enable-lora --num-scheduler-steps 8 --colour red"
    _, found = made("vllm", command)
    assert [d.code for d in found] == ["W0606"] * 3
    assert [d.title.split("`")[1] for d in found] == [
        "--enable-lora", "--num-scheduler-steps", "--colour",
    ]  # fmt: skip


def test_the_last_of_a_flag_given_twice_counts() -> None:
    text, _ = made("vllm", f"vllm serve {DENSE} --max-num-seqs 8 --max_num_seqs=16")
    assert text is not None
    assert "sequences = 16)" in text


@pytest.mark.parametrize(
    ("flags", "policy"),
    [
        ("--max-num-seqs 8 # and not --max-num-seqs 4", "budget = 8192 tokens, sequences = 8"),
        ("# --max-num-seqs 4 \\\n --max-num-seqs 8", "budget = 8192 tokens, sequences = 8"),
        ("--served-model-name a#b --max-num-seqs '8'", "budget = 8192 tokens, sequences = 8"),
        ("--enable-chunked-prefill", "budget = 512 tokens, sequences = 256"),
        ("--enable-chunked-prefill True", "budget = 512 tokens, sequences = 256"),
        ("--enable-chunked-prefill False", "budget = 8192 tokens, sequences = 256"),
        ("--enable-chunked-prefill=false", "budget = 8192 tokens, sequences = 256"),
    ],
)
def test_words_are_those_of_a_shell_and_of_the_engine(flags: str, policy: str) -> None:
    for command in (f"{SHORT} {flags}", f"{flags}\n --model {SHORT}"):
        text, found = made(
            "vllm", f"vllm serve {command}", "--hardware", "H100", "--version", "0.6"
        )
        assert text is not None, render_all(found)
        assert f"({policy})" in text
        assert not found, render_all(found)


WORDS = [
    "--", "-", "'", '"', "\\", "=", "--=", "--no-", "-tp", "1e999", "-1", "nan", "{}", "\0",
    "$(x)", "&&", "#", "\n", "--max-num-seqs", "--block-size", "--model", "🦙", "--dp", "9" * 40,
    "--ep-size", "--mem-fraction-static", "0", "--chunked-prefill-size", "--quantization",
    "--dtype", "true", "-cc", "-O", "-O0", "-O9", "-cc.level", "--compilation-config",
    "'{\"cudagraph_mode\": \"NONE\"}'", "'{\"level\": 1e99}'", "[" * 9_000, "[]", "null",
]  # fmt: skip


@pytest.mark.parametrize("form", COMMANDS)
def test_no_command_line_raises(form: str) -> None:
    draw = random.Random(7)
    for _ in range(300):
        words = [draw.choice(WORDS) for _ in range(draw.randint(0, 8))]
        text, found = made(form, f"{STARTS[form]} {draw.choice([DENSE, SPARSE])} {' '.join(words)}")
        render_all(found)
        assert {d.code for d in found} <= {"E0606", "W0606"}
        sink = Sink()
        parse(Source("out.tsim", text or ""), sink)
        assert not sink.found, render_all(sink.found)


def test_a_word_that_belongs_to_no_flag_is_told() -> None:
    _, found = made("vllm", f"vllm serve {DENSE} --seed 1 stray --served-model-name a b")
    assert [(d.code, d.title) for d in found] == [
        ("W0606", "`stray` belongs to no flag, and is not read")
    ]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("-tp 16 --nnodes 2", "network = InfiniBand_NDR  # no flag says"),
        ("-tp 16 --nnodes 2", "  worker gpu { hardware = H100_SXM; parallel = tp(16);"),
        ("-tp 8 -dp 4 --nnodes 2", "  node server * 2 {\n    worker gpu * 2 { hardware = H100_SXM"),
        ("-dp 16 --data-parallel-size-local 8", "  node server * 2 {\n    worker gpu * 8 {"),
        ("-tp 8 -dp 3 --nnodes 6", "  worker gpu * 3 {"),  # each stands on two of them
        ("-tp 8 -dp 4 --nnodes 1", "  worker gpu * 4 {"),
    ],
)
def test_several_servers_have_a_network_between_them(flags: str, expected: str) -> None:
    text, found = made("vllm", f"vllm serve {DENSE} {flags}", "--hardware", "H100")
    assert text is not None
    assert expected in text
    assert not found
    assert ("network" in text) == ("nnodes 1" not in flags)
    hdr, _ = made("vllm", f"vllm serve {DENSE} {flags}", "--hardware", "H100", "--network", "HDR")
    assert hdr is not None
    assert ("network = InfiniBand_HDR" in hdr) == ("nnodes 1" not in flags)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ("-dp 20 --data-parallel-size-local 8", "unlike numbers of engines"),
        ("-dp 12 --data-parallel-size-local 8", ""),
        ("-dp 8 --enable-expert-parallel --all2all-backend deep_epp", "taken as an all-gather"),
    ],
)
def test_what_servers_and_backends_cannot_be_is_told(flags: str, told: str) -> None:
    _, found = made("vllm", f"vllm serve {SPARSE} {flags}", "--hardware", "H100")
    assert [told in d.title for d in found] == [True] * bool(told)


def test_experts_are_exchanged_as_flags_and_the_environment_say() -> None:
    line = f"vllm serve {SPARSE} -dp 8"
    for start, flags, expected in (
        ("", "--all2all-backend deepep_low_latency", "tp(1, ranks = 8)"),  # no expert is whole
        ("VLLM_ALL2ALL_BACKEND=pplx ", "-ep", "ep(1, ranks = 8, exchange = all_to_all)"),
        ('export VLLM_ALL2ALL_BACKEND="pplx"; ', "-ep", "ep(1, ranks = 8, exchange = all_to_all)"),
        ("", "-ep --eplb-config '{\"num_redundant_experts\": 8}'", "ranks = 8, redundant = 8)"),
    ):
        text, _ = made("vllm", f"{start}{line} {flags}", "--hardware", "H100")
        assert text is not None
        assert expected in text


@pytest.mark.parametrize(
    ("engine", "line", "expected"),
    [
        ("vllm", "-dp 8 -ep --all2all-backend deepep_low_latency --enable-dbo "
         "--dbo-prefill-token-threshold 12 --dbo-decode-token-threshold 4",
         "overlap { when = least_peer_tokens >= (12 if peer_prefills > 0 else 4) }"),
        ("vllm", "-dp 8 -ep --enable-dbo", ""),  # rings have all tokens on every rank
        ("vllm", "-dp 8 -ep --all2all-backend pplx --dbo-decode-token-threshold 4", None),
        ("sglang", "--tp 8 --dp 8 --enable-dp-attention --moe-a2a-backend deepep "
         "--enable-two-batch-overlap",
         "overlap { when = peer_tokens > 1 }"),
        ("sglang", "--tp 8 --enable-two-batch-overlap", ""),
    ],
)  # fmt: skip
def test_batches_are_divided_where_tokens_go_to_their_experts(
    engine: str, line: str, expected: str | None
) -> None:
    start = {"vllm": "vllm serve", "sglang": "python -m sglang.launch_server --model"}[engine]
    text, found = made(engine, f"{start} {SPARSE} {line}", "--hardware", "H100")
    assert text is not None
    assert ("overlap {" in text) == bool(expected)
    assert expected is None or expected in text
    assert [d.code for d in found] == (["W0606"] if expected == "" else [])


def test_a_budget_that_whole_prompts_do_not_fit_is_told() -> None:
    flags = "--no-enable-chunked-prefill --max-model-len 4096"
    text, found = made("vllm", f"vllm serve {DENSE} {flags}", "--hardware", "H100")
    assert text is not None
    assert not found
    assert "vllm(budget = 8192 tokens, sequences = 1024)" in text
    text, (told,) = made(
        "vllm", f"vllm serve {DENSE} {flags} --max-num-batched-tokens 2048", "--hardware", "H100"
    )
    assert text is not None
    assert "batching = mixed" in text
    assert "vLLM does not start with less than the context, 4096" in told.title


def test_the_old_engine_is_known() -> None:
    text, _ = made(
        "vllm", f"VLLM_USE_V1=0 vllm serve {DENSE}", "--hardware", "H100", "--version", "0.9"
    )
    assert text is not None
    assert "vllm_0_6(" in text


@pytest.mark.parametrize(
    ("hardware", "budget", "used"),
    [
        ("TPU_v5e", 2048, 82), ("TPU_v4", 2048, 91), ("FPGA_U280", 2048, 64),
        ("CPU_server", 16_384, 97), ("V100_16G", 2048, 82), ("L4", 2048, 87),
        ("H100", 8192, 88), ("H100_PCIe", 8192, 88),
        ("A100_80G", 8192, 88), ("A100_PCIe", 8192, 88),
    ],
)  # fmt: skip
def test_defaults_are_those_of_a_device_s_memory(hardware: str, budget: int, used: int) -> None:
    line = f"{STARTS['sglang']} {DENSE}"
    text, _ = made("sglang", line, "--hardware", hardware)
    assert text is not None
    assert f"budget = {tokens(budget)}" in text
    assert f"utilization = {used} %" in text
    text, _ = made("vllm", f"vllm serve {DENSE}", "--hardware", hardware, "--version", "0.19")
    assert text is not None
    assert ("sequences = 1024" in text) == (used in (88, 97) and "A100" not in hardware)


@pytest.mark.parametrize(
    "hardware", ["RTX_4090", "H100", "MI300X", "GH200-480GB", "B300", "MI355X", "RTX 3090"]
)
def test_devices_are_linked_as_the_library_says(hardware: str) -> None:
    text, _ = made("vllm", f"vllm serve {DENSE} -tp 2", "--hardware", hardware)
    assert text is not None
    assert "link" not in text


@pytest.mark.parametrize(
    ("flags", "link", "other"),
    [
        ("--hardware H100_PCIe", "PCIe5_x16", "PCIe5_host"),
        ("--hardware A100_PCIe", "PCIe4_x16", "PCIe4_host"),
        ("--hardware L40S", "PCIe4_x16", "PCIe4_host"),
        ("--hardware A10G", "PCIe4_x16", "PCIe4_host"),
        ("--hardware A6000", "PCIe4_x16", "PCIe4_host"),
        ("--hardware B300 --link PCIe", "PCIe5_x16", "PCIe5_host"),
        ("--hardware A100_PCIe --link PCIe", "PCIe4_x16", "PCIe4_host"),
        ("--hardware A100_PCIe --link PCIe4_x16", "PCIe4_x16", None),  # as it is said
        ("--hardware A100_PCIe --link PCIe4_host", "PCIe4_host", None),
        ("--hardware A100_80G --link NVLink2", "NVLink2", None),
        ("--hardware A100_PCIe --link NVLink", "NVLink3", None),  # bridges between cards
    ],
)
def test_the_other_link_of_cards_is_named(flags: str, link: str, other: str | None) -> None:
    text, found = made("vllm", f"vllm serve {DENSE} -tp 2", *flags.split())
    assert text is not None
    assert not found
    assert f"link = {link};" in text
    told = f"# cards that reach each other's memory; where they do not, {other}\n"
    assert (told in text) == bool(other)
    assert ("  # " in text.partition("cluster servers")[2].partition("}")[0]) == bool(other)
    assert not errors(text), text
    alone, _ = made("vllm", f"vllm serve {DENSE}", *flags.split()[:2])
    assert alone is not None
    assert "link" not in alone


@pytest.mark.parametrize(
    ("form", "flags", "told"),
    [
        ("vllm", f"{DENSE} --kv-offloading-size 64 --data-parallel-size 2", "memory|its own"),
        ("vllm", "Qwen/Qwen3-Next-80B-A3B-Instruct -tp 4 --kv-offloading-size 64", "recurrent"),
        ("sglang", f"{DENSE} --enable-hierarchical-cache --hicache-ratio 3", "--hicache-size"),
    ],
)
def test_memory_of_the_host_is_left_out_with_a_reason(form: str, flags: str, told: str) -> None:
    text, found = made(form, f"{STARTS[form]} {flags}")
    assert text is not None
    assert "tier" not in text
    (warning,) = (d for d in found if re.search(told, d.title))
    assert warning.code == "W0606"


def test_memory_of_the_host_is_that_of_all_devices() -> None:
    text, found = made(
        "sglang", f"{STARTS['sglang']} {DENSE} --tp 4 --enable-hierarchical-cache --hicache-size 50"
    )
    assert not found
    assert text is not None
    assert "tier host { capacity = 200 GB; share = prefix }" in re.sub(r" +", " ", text)
    assert "offloading {}" in text
    assert not errors(text)
