"""Compares the library with results that others have published: tables of docs/accuracy.md.

    python docs/make_published.py [GPU…]
    python docs/make_published.py held_out [GPU…]
    python docs/make_published.py recurrent [GPU…]

Each row of docs/accuracy/published.csv is one figure: where it stands, what was run, what had to be
assumed. Those of held_out.csv and recurrent.csv were looked for once the library stood, and written
down before they were predicted; their column `error` is what came out then. With names of GPUs each
row of theirs is shown. Needs the checkout on the path.
"""

import csv
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tsdl
from tsdl.runtime.arrivals import generate
from tsdl.runtime.result import Result

HERE = Path(__file__).parent / "accuracy"
# Of these measures more is better: an error above 0 is a simulation that is too fast.
RATES = ("output tok/s", "total tok/s")
NEAR = 0.2


def program(row: dict[str, str], lengths: Path) -> str:
    """Return the program of a row; `lengths` is where its lengths of ShareGPT are."""
    model, policy, memory = row["model"], row["policy"], row["memory"]
    lines = ['edition "2026"']
    if row["changes"]:
        lines.append(f"model served from {model} {{ {row['changes']} }}")
        model = "served"
    if "{" in memory:
        lines.append(f"kvcache cache from {memory}")
        memory = "cache"
    if row["scheduler"]:
        lines.append(f"policy scheduler from {policy} {{ local {{ {row['scheduler']} }} }}")
        policy = "scheduler"
    devices, parallel = row["devices"], ""
    if devices.startswith("pp"):
        parallel = f"; parallel = tp(1, stages = {devices[2:]})"
    elif devices != "1":
        parallel = f"; parallel = tp({devices})"
    workload = row["workload"].replace("{lengths}", lengths.as_posix())
    worker = f"hardware = {row['gpu']}; kv = {memory}{parallel}"
    return "\n".join([
        *lines,
        f"workload offered {{ {workload} }}",
        f"cluster servers {{ worker gpu {{ {worker} }} }}",
        "scenario it {",
        f"  model = {model}; cluster = servers; policy = {policy}; workload = offered",
        "}\n",
    ])  # fmt: skip


def sharegpt(count: int, prompt: float, output: float, path: Path) -> None:
    """Write lengths of ShareGPT as benchmarks draw them, with the means that a source tells.

    They are those of the library's workload that pass the filter of vLLM's benchmark (prompts of
    4 to 1,024 tokens, answers of 4 and more, 2,048 in all), scaled to the means.
    """
    drawn = tsdl.compile(
        f"workload w from sharegpt {{ requests = {16 * count} }}\n"
        "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w }"
    )
    pairs = [
        (int(p), int(o))
        for p, o in zip(*_lengths(drawn), strict=True)
        if 4 <= p <= 1024 and o >= 4 and p + o <= 2048  # noqa: PLR2004
    ]
    pairs = random.Random(1).sample(pairs, count)
    longer = prompt * count / sum(p for p, _ in pairs), output * count / sum(o for _, o in pairs)
    with path.open("w", encoding="utf-8") as file:
        file.write("arrived_at,num_prefill_tokens,num_decode_tokens\n")
        for p, o in pairs:
            file.write(f"0,{max(4, round(p * longer[0]))},{max(2, round(o * longer[1]))}\n")


def _lengths(plan: tsdl.Plan) -> tuple[list[int], list[int]]:
    found = generate(plan.workload, plan.seed)
    return found.prompt.tolist(), found.output.tolist()


def simulated(measure: str, result: Result) -> float:
    """Return what a result says of a measure, in its unit."""
    summary: dict[str, Any] = result.summary
    if measure == "latency s":
        return float(summary["makespan"])
    if measure == "output tok/s":
        return float(summary["token_throughput"])
    if measure == "total tok/s":
        tokens = sum(summary["tokens"][which]["mean"] for which in ("prompt", "output"))
        return float(summary["requests"]["finished"] * tokens / summary["makespan"])
    metric, statistic, _ = measure.split()
    return float(1000 * summary["latency"][metric.lower()][statistic])


def errors(name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Yield each row of a file, and by how much the simulation is too slow (below 0: too fast)."""
    with tempfile.TemporaryDirectory() as folder:
        with (HERE / name).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            lengths = Path(folder) / f"{row['lengths'].replace(' ', '_')}.csv"
            if row["lengths"] and not lengths.exists():
                count, prompt, output = row["lengths"].split()
                sharegpt(int(count), float(prompt), float(output), lengths)
            result = tsdl.compile(program(row, lengths)).run(seed=1)
            error = simulated(row["measure"], result) / float(row["measured"]) - 1
            yield row, -error if row["measure"] in RATES else error


def held_out(name: str, shown: list[str]) -> None:
    """Print the table of figures that were held out: what came out then, and what does now."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row, error in errors(f"{name}.csv"):
        then = float(row["error"])
        for group in ("all", *groups_of(name, row)):
            groups[group].append((then, error))
        if row["gpu"] in shown:
            print(f"{100 * then:+7.1f} % {100 * error:+7.1f} %  {row['measure']:13} {row['name']}")
    print(
        "| figures | | median error | too slow by | within 20 % | now | too slow by | within 20 % |"
    )
    print("| --- " * 8 + "|")
    for group, found in sorted(groups.items()):
        cells = [group, str(len(found))]
        for errors_ in zip(*found, strict=True):
            cells.append(f"{100 * statistics.median(map(abs, errors_)):.0f} %")
            cells.append(f"{100 * statistics.median(errors_):+.0f} %")
            cells.append(str(sum(abs(error) <= NEAR for error in errors_)))
        print(f"| {' | '.join(cells)} |")


def groups_of(name: str, row: dict[str, str]) -> tuple[str, ...]:
    """Return the groups of a row: by engine where layers are recurrent, else by model; measures."""
    measure = row["measure"].split()[0]
    kinds = {"TPOT": "TPOT, ITL", "ITL": "TPOT, ITL", "TTFT": "TTFT"}
    kind = kinds.get(measure, "throughput, E2E")
    if name == "recurrent":
        engine = row["engine"].split()[0]
        return engine, f"{engine}: {kind}"
    if row["model"].startswith("gpt_oss"):
        return ("gpt-oss",)
    return ("DeepSeek R1",) if "deepseek" in row["model"] else ("others", f"others: {kind}")


def main(shown: list[str]) -> None:
    """Print the table; with names of GPUs, each of their rows."""
    if shown[:1] in (["held_out"], ["recurrent"]):
        held_out(shown[0], shown[1:])
        return
    groups: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row, error in errors("published.csv"):
        groups[row["gpu"], row["engine"].split()[0]].append(error)
        if row["gpu"] in shown:
            print(f"{100 * error:+7.1f} %  {row['measure']:13} {row['name']}")
    print("| GPU, engine | figures | median error | too slow by | within 20 % |")
    print("| --- | --- | --- | --- | --- |")
    every = [error for group in groups.values() for error in group]
    for (gpu, engine), group in (*sorted(groups.items()), (("all", ""), every)):
        name = f"{gpu}, {engine}" if engine else gpu
        middle = 100 * statistics.median(map(abs, group))
        slow = 100 * statistics.median(group)
        near = sum(abs(error) <= NEAR for error in group)
        print(f"| {name} | {len(group)} | {middle:.0f} % | {slow:+.0f} % | {near} |")


if __name__ == "__main__":
    main(sys.argv[1:])
