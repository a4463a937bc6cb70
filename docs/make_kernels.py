"""Compares the library's GEMMs and all-reduces with kernels that NVIDIA has measured.

    python docs/make_kernels.py

The times are those of aiconfigurator-core (the extra `aiconfigurator`, and pyarrow). Makes the
tables *Operators of other GPUs* of docs/accuracy.md. Needs the checkout on the path.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

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
    ("PCIe5_x16", "RTX_PRO_6000", "rtx_pro_6000_server/comm/vllm/0.24.0", (2,)),
    ("PCIe4_x16", "L40S", "l40s/comm/vllm/0.22.0", (2,)),
)
ROWS = ((1, 64), (65, 1024), (1025, 16384))


def data() -> Path:
    """Return the folder of the measurements."""
    return Path(str(files("aiconfigurator_core"))) / "systems" / "data"


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    found: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return found


def kernels(hardware: str, graph: str, model: str = "", more: str = "") -> dict[str, Kernel]:
    """Return the kernels of a graph on a device, by name."""
    plan = tsdl.compile(
        f"hardware huge from {hardware} {{ memory.capacity = 4096 TiB }}\n"
        f"model asked from llama2_7b {{ {model}{graph} }}\n"
        f"cluster one {{ worker gpu {{ hardware = huge{more} }} }}\n"
        "scenario s { model = asked; cluster = one; workload = sharegpt }"
    )
    return {k.name: k for stage in plan.workers[0].cost.stages for k in stage.kernels}


def timed(kernel: Kernel) -> Callable[[int], float]:
    """Return the function that gives the seconds of a kernel for so many tokens."""
    names = ", ".join(Batch.__slots__)
    time: Callable[..., float] = function("an operator", names, python(kernel.time), {})

    def seconds(tokens: int) -> float:
        batch = Batch(tokens=tokens, requests=1, prefills=1, prefill_tokens=tokens)
        return float(time(*(getattr(batch, name) for name in Batch.__slots__)))

    return seconds


def gemms(
    hardware: str, folder: str, cache: int, engine: str, size: int
) -> list[tuple[int, float]]:
    """Return the error of each GEMM and how many rows it has; of weights beyond the cache.

    Those that stay in the cache from one run to the next are of no use: no iteration finds them.
    """
    found = sorted((data() / folder / "gemm" / engine).glob("*/gemm_perf.parquet"))
    if not found:
        return []
    formats = ("fp8",) if size == 1 else ("bfloat16", "float16")
    rows = [
        row
        for row in rows_of(found[-1])
        if row["gemm_dtype"] in formats
        and 1.5e6 * cache <= row["n"] * row["k"] * size
        and max(row["n"], row["k"]) <= 1 << 16
        and min(row["n"], row["k"]) >= 1 << 10
        and row["n"] * row["k"] <= 1 << 29
        and row["m"] <= ROWS[-1][1]
    ]
    if not rows:
        return []
    shapes = {(row["k"], row["n"]) for row in rows}
    nodes = "\n".join(f"x{k}_{n}: GEMM({k}, {n})" for k, n in sorted(shapes))
    formats_of_model = "weight_dtype = fp8; compute_dtype = fp8\n" if size == 1 else ""
    known = kernels(hardware, f"graph {{\n{nodes}\n}}", formats_of_model)
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
            for size, format_ in ((2, "bf16"), (1, "fp8")):
                errors = gemms(hardware, folder, cache, engine, size)
                if not errors:
                    continue
                mean = statistics.fmean(abs(error) for _, error in errors)
                middles = [
                    statistics.median(error for m, error in errors if low <= m <= high)
                    for low, high in ROWS
                ]
                cells = " | ".join(f"{100 * middle:+.0f} %" for middle in middles)
                yield f"| {hardware} | {name} | {format_} | {100 * mean:.0f} % | {cells} |"


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


if __name__ == "__main__":
    print("\n".join(table()), end="\n\n")
    print("\n".join(collectives()))
