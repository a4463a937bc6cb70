"""Compares layers of the library with those that NVIDIA has measured: latent, sparse, recurrent.

    PYTHONPATH=. python docs/make_layers.py

Makes the tables of *Operators of other GPUs* in docs/accuracy.md that make_kernels.py, whose needs
it shares, does not. Needs the checkout on the path.
"""

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import tsdl
from docs.make_kernels import (
    ENGINES,
    HEAD,
    SYSTEMS,
    data,
    decodes,
    kernels,
    newest_of,
    of_batch,
    prompts,
    rows_of,
    shown,
)
from tsdl.costs import Batch

SCANNED, MOST_PROMPTS = ((16, 128), (129, 1024), (1025, 16384)), 32
FEW_HEADS = 16  # of all decodes together
# Models with sparse attention: of each the name there, and how its GEMMs were measured, heads.
SPARSE = {
    "deepseek_v3_2": ("DeepSeek-V3.2", "fp8_block", 128),
    "glm5": ("GLM-5", "bfloat16", 64),
}


def times_of(plan: tsdl.Plan) -> list[Callable[[Batch], float]]:
    """Return the seconds of kernels for a batch: those of a layer, up to its second norm."""
    block = max(plan.workers[0].cost.stages, key=lambda stage: len(stage.kernels)).kernels
    names = [kernel.name for kernel in block]
    own = block[: names.index("norm2")]
    return [of_batch(kernel) for kernel in own if "all_reduce" not in kernel.name]


def latent() -> Iterator[str]:
    """Yield the errors of latent attention with its GEMMs: DeepSeek V3's on 8 devices, decodes."""
    yield "| latent attention on | engine | mean error | up to 16 decodes | more |"
    yield "| --- " * 5 + "|"
    for hardware in ("H100_SXM", "H200"):
        for engine, policy in (("vllm", "vllm"), ("trtllm", "tensorrt_llm")):
            plan = tsdl.compile(
                f"hardware huge from {hardware} {{ memory.capacity = 4096 TiB }}\n"
                "cluster one { worker gpu { hardware = huge; parallel = tp(8) } }\n"
                "scenario s { model = deepseek_v3; cluster = one; workload = sharegpt\n"
                f"  policy = {policy} }}"
            )
            times = times_of(plan)
            folder = data() / SYSTEMS[hardware][0] / "mla" / engine
            errors = []
            for row in rows_of(newest_of(folder, "mla_generation_module_perf.parquet")):
                count, context = row["batch_size"], row["step"] + 1
                plain = row["gemm_type"] == "fp8_block" and row["kv_cache_dtype"] == "bfloat16"
                if plain and row["num_heads"] == 16 and count <= 256 and 256 <= context <= 8193:  # noqa: PLR2004
                    seconds = sum(time(decodes(count, context)) for time in times)
                    errors.append((count, seconds / (row["latency"] / 1e3) - 1))
            counts = ((1, 16), (17, 256))
            yield f"| {hardware} | {ENGINES[engine]} | {shown(errors, counts)} |"


def sparse() -> Iterator[str]:
    """Yield the errors of sparse attention with its GEMMs: on 8 devices, decodes and prompts."""
    yield (
        "| sparse attention of | on | engine | decodes: mean error | up to 16 | more "
        "| prompts beyond 2,048 tokens |"
    )
    yield "| --- " * 7 + "|"
    for model, (name, gemms, heads) in SPARSE.items():
        for hardware in ("H100_SXM", "H200", "B200"):
            for engine in ("vllm", "sglang"):
                own = "" if engine == "vllm" else "dense_context = 2048 tokens"
                plan = tsdl.compile(
                    f"hardware huge from {hardware} {{ memory.capacity = 4096 TiB }}\n"
                    f"model served from {model} {{ {own} }}\n"
                    "cluster one { worker gpu { hardware = huge; parallel = tp(8) } }\n"
                    "scenario s { model = served; cluster = one; workload = sharegpt\n"
                    f"  policy = {engine} }}"
                )
                folder = data() / SYSTEMS[hardware][0] / "sparse_attention" / engine
                cells = _sparse(plan, folder, (name, gemms, heads // 8))
                if cells:
                    yield f"| {name} | {hardware} | {ENGINES[engine]} | {cells} |"


def _sparse(plan: tsdl.Plan, folder: Path, wanted: tuple[str, str, int]) -> str:
    """Return what stands in a line of the table; nothing where nothing was measured."""
    times, found = times_of(plan), []
    for phase in ("generation", "context"):
        table = newest_of(folder, f"dsa_{phase}_module_perf.parquet")
        errors = []
        for row in rows_of(table):
            count, tokens, past = row["batch_size"], row["isl"], row["step"]
            own = row["model"].partition("/")[2], row["gemm_type"], row["num_heads"]
            whole = row["op_name"].endswith("_module") and row["kv_cache_dtype"] == "bfloat16"
            if own != wanted or not whole:
                continue
            if phase == "generation" and count <= 256 and 256 <= past <= 1 << 17:  # noqa: PLR2004
                batch = decodes(count, past + 1)
            elif phase == "context" and not past and 2048 < tokens <= count * tokens <= 1 << 14:  # noqa: PLR2004
                batch = prompts(count, tokens)
            else:
                continue
            seconds = sum(time(batch) for time in times)
            errors.append((count, seconds / (row["latency"] / 1e3) - 1))
        found.append(errors)
    if not all(found):
        return ""
    middle = statistics.median(error for _, error in found[1])
    return f"{shown(found[0], ((1, 16), (17, 256)))} | {100 * middle:+.0f} %"


def recurrences() -> Iterator[str]:
    """Yield the errors of gated delta rules: scans of prompts, decodes, convolutions.

    Of prompts up to 32 of them and 16 to 16,384 tokens; of decodes those whose states are beyond
    the cache, or few: what is between stays there from one run of the measurement to the next.
    """
    heads = " | ".join(f"{low:,} to {high:,} tokens" for low, high in SCANNED)
    yield f"| delta rules on | engine | scans: mean error | {heads} | decodes | convolutions |"
    yield "| --- " * 8 + "|"
    for hardware, (folder, cache) in SYSTEMS.items():
        for engine in ("vllm", "sglang"):  # TensorRT-LLM's states take half of the bytes there
            for path in data().glob(f"{folder}/linear_attention/{engine}/*/gdn_perf.parquet"):
                scans, *others = recurrent(hardware, cache, path)
                if scans:  # the table of A100 has none
                    means = (f"{100 * statistics.fmean(map(abs, each)):.0f} %" for each in others)
                    cells = [hardware, ENGINES[engine], shown(scans, SCANNED), *means]
                    yield f"| {' | '.join(cells)} |"


def recurrent(
    hardware: str, cache: int, path: Path
) -> tuple[list[tuple[int, float]], list[float], list[float]]:
    """Return the errors of scans, with their tokens, of decodes, and of convolutions."""
    scans, steps, convolved = [], [], []
    times: dict[tuple[int, int], dict[str, Callable[[Batch], float]]] = {}
    for row in rows_of(path):
        shape = (row["num_v_heads"], row["num_k_heads"])
        if shape not in times:
            node = f"mixer: GatedDeltaNet({shape[0]}, {shape[1]}, {HEAD}, {HEAD}, {row['d_conv']})"
            known = kernels(hardware, f"graph {{ {node} }}", "dtype = bf16; ")
            times[shape] = {key.split(".")[1]: of_batch(found) for key, found in known.items()}
        count, tokens, measured = row["batch_size"], row["num_tokens"], row["latency"] / 1e3
        state = count * shape[0] * HEAD * HEAD * 4
        if row["phase"] == "generation":
            batch = decodes(count, 1)
            if row["kernel_source"].startswith("causal_conv1d"):
                convolved.append(times[shape]["convolve"](batch) / measured - 1)
            elif state > 2e6 * cache or count * shape[0] <= FEW_HEADS:
                steps.append(times[shape]["decode"](batch) / measured - 1)
        elif tokens <= SCANNED[-1][1]:
            batch = prompts(count, row["seq_len"])
            if row["kernel_source"].startswith("causal_conv1d"):
                convolved.append(times[shape]["convolve"](batch) / measured - 1)
            elif count <= MOST_PROMPTS and tokens >= SCANNED[0][0]:
                scans.append((tokens, times[shape]["prefill"](batch) / measured - 1))
    return scans, steps, convolved


if __name__ == "__main__":
    print("\n".join(latent()), end="\n\n")
    print("\n".join(sparse()), end="\n\n")
    print("\n".join(recurrences()))
