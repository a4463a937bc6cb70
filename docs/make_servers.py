"""Compares models that stand on several servers with what others have measured of them.

    python docs/make_servers.py

Makes the tables *Across servers* of docs/accuracy.md. docs/accuracy/networks.csv has times of
collectives: bytes and microseconds, for `dispatch` and `combine` tokens of each device.
docs/accuracy/servers.csv has rates of whole iterations. Needs the checkout on the path.
"""

import csv
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import tsdl
from tsdl.costs import Batch, compiled
from tsdl.plan import Cost, Stage

HERE = Path(__file__).parent / "accuracy"
OPERATORS = {
    "all-reduce": "AllReduce(hidden)",
    "dispatch": "RankGather(active_experts, hidden)",
    "combine": "RankScatter(active_experts, hidden)",
}
SMALL = 2**20  # bytes
ROW = 7168 * 2  # bytes of a token of DeepSeek V3 in bf16


def rows_of(name: str) -> list[dict[str, str]]:
    """Return the rows of a file of figures."""
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cost_of(gpu: str, cluster: str, model: str, policy: str = "chunked", more: str = "") -> Cost:
    """Return the cost of an iteration on servers of eight GPUs that hold any model."""
    plan = tsdl.compile(f"""edition "2026"
hardware huge from {gpu} {{ memory.capacity = 4 TiB; link = near }}
link near from {"NVLink5" if gpu == "B200" else "NVLink3" if "A100" in gpu else "NVLink4"} {{
  most = 8 devices
}}
{more}
cluster servers {{ {cluster} }}
scenario it {{ model = {model}; cluster = servers; policy = {policy}; workload = sharegpt }}
""")
    return plan.workers[0].cost


def of_collectives() -> Iterator[str]:
    """Yield the errors of all-reduces between servers, and of the exchanges of experts."""
    groups: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for row in rows_of("networks.csv"):
        which = "all-reduce" if row["operation"] == "all-reduce" else "exchange"
        key = (which, row["network"], row["servers"], row["gpu"], row["source"])
        groups[key].append((float(row["size"]), seconds(row) / (float(row["us"]) / 1e6) - 1))
    yield "| between servers of 8 | servers | source | mean error | below 1 MiB | beyond |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (which, network, servers, gpu, source), errors in groups.items():
        if which == "all-reduce":
            mean = f"{100 * statistics.fmean(abs(error) for _, error in errors):.0f} %"
            small, large = (
                shown([error for size, error in errors if (size < SMALL) == below])
                for below in (True, False)
            )
            yield f"| {gpu}, {network} | {servers} | {source} | {mean} | {small} | {large} |"
    yield "\n| all-to-all of experts | dispatch | combine |\n| --- | --- | --- |"
    for (which, *_, servers, _, _), errors in groups.items():
        if which == "exchange":
            cells = " | ".join(shown([error]) for _, error in errors)
            yield f"| {8 * int(servers)} H800 | {cells} |"


def seconds(row: dict[str, str]) -> float:
    """Return what the library takes for a collective."""
    servers = int(row["servers"])
    model = f"model alone from deepseek_v3 {{ graph {{ it: {OPERATORS[row['operation']]} }} }}"
    wide = f"worker gpu {{ hardware = huge; parallel = tp({8 * servers}) }}"
    ranks = f"parallel = ep(1, ranks = {8 * servers}, exchange = all_to_all)"
    apart = f"node server * {servers} {{ worker gpu * 8 {{ hardware = huge; {ranks} }} }}"
    together = row["operation"] == "all-reduce"
    cluster = f"network = {row['network']}; {wide if together else apart}"
    cost = cost_of(row["gpu"], cluster, "alone", more=model)
    kernels = tuple(kernel for stage in cost.stages for kernel in stage.kernels)
    tokens = float(row["size"]) / (ROW if together else 1)
    alone = compiled(Cost("it", (Stage("", 1, kernels),), 0))
    return alone(Batch(tokens=tokens, decodes=tokens, peer_tokens=tokens))  # type: ignore[arg-type]


def shown(errors: list[float]) -> str:
    """Return a median error as text."""
    return f"{100 * statistics.median(errors):+.0f} %" if errors else "–"


def of_servers() -> Iterator[str]:
    """Yield rates of whole iterations of experts on many servers."""
    yield "| DeepSeek V3 on | iteration of each GPU | batches | measured | library | error | |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for row in rows_of("servers.csv"):
        count, length = int(row["requests"]), int(row["tokens"])
        rate, measured = rate_of(row, batches=int(row["batches"])), float(row["measured"])
        work = (
            f"{count} × {length:,} tokens"
            if row["phase"] == "prefill"
            else (f"{count} decodes at {length:,} tokens")
        )
        error = f"{100 * (rate / measured - 1):+.0f} %"
        yield (
            f"| {row['servers']} servers of 8 {row['gpu']} | {work} | {row['batches']} | "
            f"{measured:,.0f} tok/s a server | {rate:,.0f} | {error} | {row['note']} |"
        )


def rate_of(row: dict[str, str], batches: int) -> float:
    """Return the tokens a second of each server, with one batch or with two that overlap."""
    servers, count, length = (int(row[key]) for key in ("servers", "requests", "tokens"))
    ranks = f"ranks = {8 * servers}, exchange = all_to_all, redundant = {row['redundant']}"
    cluster = (
        f"network = InfiniBand_NDR; node server * {servers} {{ worker gpu * 8 {{"
        f" hardware = huge; parallel = ep(1, {ranks}) }} }}"
    )
    overlap = "overlap { when = true }" if batches > 1 else ""
    policy = (
        "policy own from sglang(budget = 16384 tokens, sequences = 512)"
        f" {{ local {{ {overlap} }} }}"
    )
    time = compiled(cost_of(row["gpu"], cluster, "deepseek_v3", "own", policy))
    batch = Batch()
    if row["phase"] == "prefill":
        for _ in range(count):
            batch.add_prefill(length, 0, last=True)
    else:
        batch.add_decodes([length] * count)
    batch.close()
    return 8 * batch.tokens / time(batch)


# What two batches gain over one, of each GPU: requests and tokens, and what was measured.
GAINS = (
    ("prefill", 4, 8, 1024, "27 to 35 %"), ("prefill", 4, 2, 4096, "27 to 35 %"),
    ("decode", 9, 32, 2050, "-27 %"), ("decode", 9, 64, 2050, "none, or less"),
    ("decode", 9, 128, 2050, "some"), ("decode", 9, 256, 2050, "25.5 %"),
)  # fmt: skip


def of_batches() -> Iterator[str]:
    """Yield what two batches that overlap gain over one."""
    yield "| two batches, iteration of each GPU | gain measured | library |\n| --- | --- | --- |"
    for phase, servers, count, length, measured in GAINS:
        sizes = {"servers": servers, "requests": count, "tokens": length, "redundant": 32}
        row = {"gpu": "H100_SXM", "phase": phase, **{key: str(size) for key, size in sizes.items()}}
        gain = rate_of(row, batches=2) / rate_of(row, batches=1) - 1
        work = f"{count} × {length:,} tokens" if phase == "prefill" else f"{count} decodes"
        yield f"| {servers} servers: {work} | {measured} | {100 * gain:+.0f} % |"


if __name__ == "__main__":
    for table in (of_collectives, of_servers, of_batches):
        print("\n".join(table()), end="\n\n")
