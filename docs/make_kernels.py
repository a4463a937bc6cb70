"""Compares the library's operators with kernels that NVIDIA has measured.

    python docs/make_kernels.py

The times are those of aiconfigurator-core (the extra `aiconfigurator`, and pyarrow). Makes the
tables *Operators of other GPUs* of docs/accuracy.md. Needs the checkout on the path.
"""

import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet

import tsdl
from tsdl.costs import Batch
from tsdl.plan import Kernel
from tsdl.pythonsource import function, python

# Hardware of the library, the system's folder, and its L2 cache in MB.
SYSTEMS = {
    "A100_80G": ("a100_sxm", 40), "H100_SXM": ("h100_sxm", 50), "H200": ("h200_sxm", 50),
    "B200": ("b200_sxm", 126), "L40S": ("l40s", 96), "RTX_PRO_6000": ("rtx_pro_6000_server", 128),
}  # fmt: skip
ENGINES = {"vllm": "vLLM", "trtllm": "TensorRT-LLM", "sglang": "SGLang"}
# What the links were fitted to, and what is beside it: link, hardware, folder, devices.
LINKS = (
    ("NVLink4", "H100_SXM", "h100_sxm/comm/vllm/0.19.0", (2, 4, 8)),
    ("NVLink4", "H200", "h200_sxm/comm/vllm/0.19.0", (2, 4, 8)),
    ("NVLink5", "B200", "b200_sxm/comm/vllm/0.19.0", (2, 4, 8)),
    ("NVLink3_graphs", "A100_80G", "a100_sxm/comm/vllm/0.14.0", (2, 4, 8)),
    ("PCIe5_host", "RTX_PRO_6000", "rtx_pro_6000_server/comm/vllm/0.19.0", (2,)),
    ("PCIe5_x16", "RTX_PRO_6000", "rtx_pro_6000_server/comm/vllm/0.24.0", (2, 4, 8)),
    ("PCIe4_x16", "L40S", "l40s/comm/vllm/0.22.0", (2, 4, 8)),
)
EXCHANGES = (
    ("NVLink4", "H100_SXM", "h100_sxm"), ("NVLink4", "H200", "h200_sxm"),
    ("NVLink5", "B200", "b200_sxm"), ("NVLink3", "A100_80G", "a100_sxm"),
)  # fmt: skip
SERVER = 8  # devices: DeepEP was measured among all of one
ROWS = ((1, 64), (65, 1024), (1025, 16384))
# Heads of 128, as many as models have and as tensor parallelism leaves of them.
HEAD = 128
SHAPES = {
    (4, 1), (8, 1), (8, 2), (12, 2), (16, 2), (16, 4), (24, 4), (32, 4), (32, 8), (32, 32), (40, 8),
    (48, 8), (64, 4), (64, 8),
}  # fmt: skip
# Layers of experts: Qwen 3 30B and 235B, Mixtral 8x7B and 8x22B, DeepSeek V3.
LAYER = ("hidden_size", "inter_size", "topk", "num_experts")
LAYERS = {
    (2048, 768, 8, 128), (4096, 1536, 8, 128), (4096, 14336, 2, 8), (6144, 16384, 2, 8),
    (7168, 2048, 8, 256),
}  # fmt: skip
# And of what was published in four bits: gpt-oss 20B and 120B; Kimi K2.
LAYERS_MXFP4 = {(2880, 2880, 4, 32), (2880, 2880, 4, 128)}
LAYERS_INT4 = LAYERS | {(7168, 2048, 8, 384)}
TOKENS = ((1, 8), (9, 128), (129, 4096), (4097, 16_384))


class Format(NamedTuple):
    """A number format: its names in the tables, bytes of a weight, and how a model says it."""

    names: tuple[str, ...]
    size: float
    model: str = ""
    layers: set[tuple[int, int, int, int]] = LAYERS


OF_GEMMS = {
    "bf16": Format(("bfloat16", "float16"), 2),
    "fp8": Format(("fp8",), 1, "weight_dtype = fp8; compute_dtype = fp8\n"),
    "nvfp4": Format(("nvfp4",), 0.5, "weight_dtype = nvfp4; compute_dtype = nvfp4\n"),
    "int8 widened": Format(("int8_wo",), 1, "weight_dtype = int8\n"),
    "int4 widened": Format(("int4_wo",), 0.5, "weight_dtype = int4_group\n"),
}
OF_EXPERTS = {
    "bf16": Format(("bfloat16", "float16"), 2),
    "fp8 in blocks": Format(("fp8_block",), 1, "expert_dtype = fp8_block; compute_dtype = fp8\n"),
    "nvfp4": Format(("nvfp4",), 0.5, "expert_dtype = nvfp4; compute_dtype = nvfp4\n"),
    "mxfp4 widened": Format(("w4a16_mxfp4",), 0.5, "expert_dtype = mxfp4\n", LAYERS_MXFP4),
    "int4 widened": Format(("int4_wo",), 0.5, "expert_dtype = int4_group\n", LAYERS_INT4),
}


def data() -> Path:
    """Return the folder of the measurements."""
    return Path(str(files("aiconfigurator_core"))) / "systems" / "data"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return found


def newest_of(folder: Path, name: str) -> Path:
    """Return the table of a name that the newest version has; folders are named by versions."""

    def version(path: Path) -> tuple[list[int], float]:
        released, _, candidate = path.parent.name.partition("rc")  # which comes before the release
        return [int(number) for number in re.findall(r"\d+", released)], float(candidate or "inf")

    return max(folder.glob(f"*/{name}"), key=version)


def kernels(hardware: str, graph: str, model: str = "", more: str = "") -> dict[str, Kernel]:
    """Return the kernels of a graph on a device, by name."""
    plan = tsdl.compile(
        f"hardware huge from {hardware} {{ memory.capacity = 4096 TiB }}\n"
        f"model asked from llama2_7b {{ {model}{graph} }}\n"
        f"cluster one {{ worker gpu {{ hardware = huge{more} }} }}\n"
        "scenario s { model = asked; cluster = one; workload = sharegpt }"
    )
    return {k.name: k for stage in plan.workers[0].cost.stages for k in stage.kernels}


def of_batch(kernel: Kernel) -> Callable[[Batch], float]:
    """Return the function that gives the seconds of a kernel for a batch."""
    names = ", ".join(Batch.__slots__)
    time: Callable[..., float] = function("an operator", names, python(kernel.time), {})
    return lambda batch: float(time(*(getattr(batch, name) for name in Batch.__slots__)))


def timed(kernel: Kernel) -> Callable[[int], float]:
    """Return the function that gives the seconds of a kernel for so many tokens."""
    time = of_batch(kernel)
    return lambda tokens: time(Batch(tokens=tokens, requests=1, prefills=1, prefill_tokens=tokens))


def gemms(
    hardware: str, folder: str, cache: int, engine: str, format_: Format
) -> list[tuple[int, float]]:
    """Return the error of each GEMM and how many rows it has; of weights beyond the cache.

    Those that stay in the cache from one run to the next are of no use: no iteration finds them.
    """
    newest = newest_of(data() / folder / "gemm" / engine, "gemm_perf.parquet")
    rows = [
        row
        for row in rows_of(newest)
        if row["gemm_dtype"] in format_.names
        and 1.5e6 * cache <= row["n"] * row["k"] * format_.size
        and max(row["n"], row["k"]) <= 1 << 16
        and min(row["n"], row["k"]) >= 1 << 10
        and row["n"] * row["k"] <= 1 << 29
        and row["m"] <= ROWS[-1][1]
    ]
    if not rows:
        return []
    shapes = {(row["k"], row["n"]) for row in rows}
    nodes = "\n".join(f"x{k}_{n}: GEMM({k}, {n})" for k, n in sorted(shapes))
    known = kernels(hardware, f"graph {{\n{nodes}\n}}", f"dtype = bf16; {format_.model}")
    times = {(k, n): timed(known[f"x{k}_{n}"]) for k, n in shapes}
    return [
        (row["m"], times[row["k"], row["n"]](row["m"]) / (row["latency"] / 1e3) - 1) for row in rows
    ]


def table() -> Iterator[str]:
    """Yield the errors of GEMMs, by device, engine, format and rows."""
    heads = " | ".join(f"{low:,} to {high:,} rows" for low, high in ROWS)
    yield f"| GEMMs on | engine | format | mean error | {heads} |\n" + "| --- " * 7 + "|"
    for hardware, (folder, cache) in SYSTEMS.items():
        for engine, name in ENGINES.items():
            for told, format_ in OF_GEMMS.items():
                errors = gemms(hardware, folder, cache, engine, format_)
                if not errors:
                    continue
                yield f"| {hardware} | {name} | {told} | {shown(errors, ROWS)} |"


def prompts(count: int, tokens: int) -> Batch:
    """Return a batch of so many whole prompts."""
    batch = Batch()
    for _ in range(count):
        batch.add_prefill(tokens, 0, last=True)
    return batch


def decodes(count: int, context: int) -> Batch:
    """Return a batch of decodes, all with the same context."""
    batch = Batch()
    batch.add_decodes([context] * count)
    return batch


def attention(hardware: str, phase: str, rows: list[dict[str, Any]]) -> list[float]:
    """Return the error of each row: of a prefill, or of a decode."""
    shapes = {(row["num_heads"], row["num_key_value_heads"]) for row in rows}
    times: dict[tuple[int, int], Callable[[Batch], float]] = {}
    for heads, kv_heads in shapes:
        graph = f"graph {{ attn: Attention({heads}, {kv_heads}, {HEAD}) }}"
        times[heads, kv_heads] = of_batch(kernels(hardware, graph)[f"attn.{phase}"])
    errors = []
    for row in rows:
        count = row["batch_size"]
        batch = (
            prompts(count, row["isl"]) if phase == "prefill" else decodes(count, row["step"] + 1)
        )
        seconds = times[row["num_heads"], row["num_key_value_heads"]](batch)
        errors.append(seconds / (row["latency"] / 1e3) - 1)
    return errors


def asked_for(row: dict[str, Any], phase: str, cache: int) -> bool:
    """Tell whether a row is one that is compared: plain attention in 16 bits.

    The KV of decodes is beyond the cache, where an iteration would find it, or next to nothing.
    """
    count, shape = row["batch_size"], (row["num_heads"], row["num_key_value_heads"])
    plain = row["head_dim"] == HEAD and not row.get("window_size")
    if not plain or "16" not in row["kv_cache_dtype"] or shape not in SHAPES:
        return False
    if phase == "prefill":
        return bool(row["isl"] >= 64 and count <= 32 and count * row["isl"] <= 1 << 15)  # noqa: PLR2004
    context = row["step"] + 1
    size = 4 * count * context * shape[1] * HEAD
    few = size < 4e6 and context >= 32  # noqa: PLR2004
    return bool(count <= 256 and context <= 1 << 15 and (few or size > 1.5e6 * cache))  # noqa: PLR2004


def attentions() -> Iterator[str]:
    """Yield the errors of attention, by device and engine."""
    yield (
        "| attention on | engine | prefills: mean error | below 10 GFLOP | beyond | "
        "decodes: mean error | below 4 MB | beyond the cache |\n" + "| --- " * 8 + "|"
    )
    for hardware, (folder, cache) in SYSTEMS.items():
        for engine, name in ENGINES.items():
            cells = [hardware, name]
            for phase, table in (("prefill", "context"), ("decode", "generation")):
                newest = newest_of(
                    data() / folder / "attention" / engine, f"{table}_attention_perf.parquet"
                )
                rows = [row for row in rows_of(newest) if asked_for(row, phase, cache)]
                errors = attention(hardware, phase, rows)
                large = [
                    4 * row["batch_size"] * (row["step"] + 1) * row["num_key_value_heads"] * HEAD
                    >= 4e6  # noqa: PLR2004
                    if phase == "decode"
                    else 2 * row["batch_size"] * row["isl"] ** 2 * row["num_heads"] * HEAD >= 1e10  # noqa: PLR2004
                    for row in rows
                ]
                cells.append(f"{100 * statistics.fmean(map(abs, errors)):.0f} %")
                for side in (False, True):
                    middle = statistics.median(
                        error
                        for error, is_large in zip(errors, large, strict=True)
                        if is_large == side
                    )
                    cells.append(f"{100 * middle:+.0f} %")
            yield f"| {' | '.join(cells)} |"


def experts() -> Iterator[str]:
    """Yield the errors of a layer's experts, all that stands around them included."""
    heads = " | ".join(f"{low:,} to {high:,} tokens" for low, high in TOKENS)
    yield f"| experts on | engine | format | mean error | {heads} |\n" + "| --- " * 8 + "|"
    for hardware, (folder, _) in SYSTEMS.items():
        for engine, name in ENGINES.items():
            newest = newest_of(data() / folder / "moe" / engine, "moe_perf.parquet")
            for told, format_ in OF_EXPERTS.items():
                rows = [
                    row
                    for row in rows_of(newest)
                    if row["moe_dtype"] in format_.names
                    and tuple(row[key] for key in LAYER) in format_.layers
                    and row["moe_ep_size"] == 1
                    and row["moe_tp_size"] <= 8  # noqa: PLR2004
                    and row["num_tokens"] <= TOKENS[-1][1]
                ]
                if not rows:
                    continue
                found = of_experts(hardware, rows, format_)
                errors = [(row["num_tokens"], error) for row, error in found]
                yield f"| {hardware} | {name} | {told} | {shown(errors, TOKENS)} |"


def of_experts(
    hardware: str, rows: list[dict[str, Any]], format_: Format
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield each row with its error."""
    times: dict[tuple[int, ...], list[Callable[[int], float]]] = {}
    for row in rows:
        hidden, inter, active, count = (row[key] for key in LAYER)
        inter //= row["moe_tp_size"]
        shape = (hidden, inter, active, count)
        if shape not in times:
            graph = (
                f"graph {{ permute: Permute({count}, {active}, {hidden})\n"
                f"up: ExpertGEMM({hidden}, {count}, {active}, {2 * inter})\n"
                f"act: ExpertSiLU({count}, {active}, {inter})\n"
                f"down: ExpertGEMM({inter}, {count}, {active}, {hidden})\n"
                f"combine: Combine({count}, {active}, {hidden}) }}"
            )
            known = kernels(hardware, graph, f"dtype = bf16; {format_.model}")
            times[shape] = [timed(kernel) for kernel in known.values()]
        seconds = sum(time(row["num_tokens"]) for time in times[shape])
        yield row, seconds / (row["latency"] / 1e3) - 1


def shown(errors: list[tuple[int, float]], ranges: tuple[tuple[int, int], ...]) -> str:
    """Return the mean of the errors, and the middle one of each range."""
    mean = statistics.fmean(abs(error) for _, error in errors)
    middles = [
        statistics.median(error for size, error in errors if low <= size <= high)
        for low, high in ranges
    ]
    return " | ".join([f"{100 * mean:.0f} %", *(f"{100 * middle:+.0f} %" for middle in middles)])


def collectives() -> Iterator[str]:
    """Yield the errors of all-reduces, by link and devices, from 8 KiB to 128 MiB."""
    yield "| all-reduce over | on | devices | mean error | below 1 MiB | beyond |"
    yield "| --- " * 6 + "|"
    for link, hardware, folder, counts in LINKS:
        errors: dict[int, list[tuple[int, float]]] = defaultdict(list)
        for row in rows_of(data() / folder / "custom_allreduce_perf.parquet"):
            size = 2 * row["message_size"]  # it counts elements of two bytes
            if row["backend"] == "vllm_graph" and 1 << 13 <= size <= 1 << 27:
                count = row["num_gpus"]
                errors[count].append((size, row["latency"] / 1e3))
        for count in counts:
            known = kernels(hardware, "", more=f"; link = {link}; parallel = tp({count})")
            seconds = timed(known["out.all_reduce"])
            found = [(size, seconds(size // (4096 * 2)) / time - 1) for size, time in errors[count]]
            mean = statistics.fmean(abs(error) for _, error in found)
            small, large = (
                statistics.median(error for size, error in found if (size < 1 << 20) == below)
                for below in (True, False)
            )
            yield (
                f"| {link} | {hardware} | {count} | {100 * mean:.0f} % | {100 * small:+.0f} % | "
                f"{100 * large:+.0f} % |"
            )


def exchanges() -> Iterator[str]:
    """Yield the errors of NCCL's exchanges, 8 KiB to 256 MiB, and of DeepEP's of few tokens."""
    yield "| exchange over | on | devices | NCCL: mean error | below 1 MiB | beyond | DeepEP |"
    yield "| --- " * 7 + "|"
    for link, hardware, system in EXCHANGES:
        nccl = newest_of(data() / system / "comm" / "nccl", "nccl_perf.parquet")
        deep = sorted((data() / system / "comm" / "sglang").glob("*/wideep_deepep_ll_perf.parquet"))
        for count in (2, 4, SERVER):
            errors = [
                (size, sending(hardware, link, count, size * (count - 1) / count) / time - 1)
                for size, time in (
                    (2 * row["message_size"], row["latency"] / 1e3)  # elements of two bytes
                    for row in rows_of(nccl)
                    if row["num_gpus"] == count
                    and row["nccl_dtype"] == "half"
                    and row["op_name"] in ("all_gather", "reduce_scatter", "alltoall")
                )
                if 1 << 13 <= size <= 1 << 28
            ]
            tokens = list(of_deepep(hardware, link, deep[-1])) if deep and count == SERVER else []
            mean = f"{100 * statistics.fmean(map(abs, tokens)):.0f} %" if tokens else "–"
            cells = shown(errors, ((0, (1 << 20) - 1), (1 << 20, 1 << 28)))
            yield f"| {link} | {hardware} | {count} | {cells} | {mean} |"


def of_deepep(hardware: str, link: str, path: Path) -> Iterator[float]:
    """Yield the errors of DeepEP's kernels for few tokens: fp8 on the way out, bf16 back."""
    for row in rows_of(path):
        if row["node_num"] == 1:
            sent = row["num_token"] * row["num_topk"] * row["hidden_size"] * (SERVER - 1) / SERVER
            for size, key in ((sent, "dispatch"), (2 * sent, "combine")):
                yield sending(hardware, link, SERVER, size) / (row[f"{key}_avg_t_us"] / 1e6) - 1


def sending(hardware: str, link: str, count: int, size: float) -> float:
    """Return the seconds of an exchange in which each of so many devices sends so many bytes."""
    known = kernels(hardware, "", more=f"; link = {link}; parallel = tp({count})")
    rows = size / ((count - 1) / count * 32_000 * 2)  # of the vocabulary in bf16
    return of_batch(known["gather"])(Batch(last_tokens=rows, tokens=rows))  # type: ignore[arg-type]


if __name__ == "__main__":
    print("\n".join(table()), end="\n\n")
    print("\n".join(attentions()), end="\n\n")
    print("\n".join(experts()), end="\n\n")
    print("\n".join(collectives()), end="\n\n")
    print("\n".join(exchanges()))
