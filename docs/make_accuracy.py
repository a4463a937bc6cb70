"""Measures how right the library is: makes the tables of docs/accuracy.md.

    python docs/make_accuracy.py DATA [PART…]

DATA is the folder that has `measured/` (CONTRIBUTING.md). Parts are `runs`, `h100`, `decodes`,
`tables`, `unqueued`, `calibrated`, `ablations`, `operators` and `final`, the score of the run that
nothing was built on; without one, all but that. Needs the checkout on the path (PYTHONPATH=.), and
scipy for `calibrated`.
"""

import csv
import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import tsdl
from tsdl.calibration import Calibration
from tsdl.calibration.calibration import Check
from tsdl.costs import Batch, compiled, compiled_prefix
from tsdl.measured import Request, Run
from tsdl.plan import Kernel
from tsdl.pythonsource import function, python
from tsdl.validation import Validation

HERE = Path(__file__).parent / "accuracy"
RUNS = {
    "rtx_pro_6000": "vllm-0.19-rtxpro6000-llama-3.1-8b",
    "rtx_4090": "vllm-0.19-rtx4090-llama-3.1-8b",
}
# Runs that come with the project: scenario, file of docs/accuracy/h100, title.
H100 = {
    "h100": ("llama-3.1-8b", "Llama 3.1 8B, 10 a second"),
    "h100_thrice": ("llama-3.1-8b-speed-3", "Llama 3.1 8B, 30 a second"),
    "h100_qwen": ("qwen3-30b-a3b", "Qwen 3 30B-A3B, 10 a second"),
}
SIZES = ((1, 8), (9, 32), (33, 64), (65, 96), (97, 128))  # of batches of decodes
# What is left out, as a program that says so; each is run in place of `rtx_pro_6000`.
ABLATIONS = {
    "nothing": "scenario x from rtx_pro_6000 {}",
    "prefix caching": "scenario x from rtx_pro_6000 { cluster = one(RTX_PRO_6000, vllm_blocks) }",
    "scheduling ahead of results": "policy p from vllm {\n"
    "  local { max_requests = 128; scheduling = synchronous }\n}\n"
    "scenario x from rtx_pro_6000 { policy = p }",
    "time between kernels, steps without a graph": "policy p from vllm {\n"
    "  local { max_requests = 128; gap = 0 s; overhead = 0 s }\n}\n"
    "scenario x from rtx_pro_6000 { policy = p }",
    "groups of heads that are not packed": "hardware h from RTX_PRO_6000 {\n"
    "  attention.rereads = 0 %\n}\n"
    "scenario x from rtx_pro_6000 { cluster = one(h, vllm_shared) }",
    "waves of tiles": "hardware h from RTX_PRO_6000 { attention.tile = 1 }\n"
    "scenario x from rtx_pro_6000 { cluster = one(h, vllm_shared) }",
    # One unit that works on as many rows as all of them: waves stay, and nobody ends alone.
    "the longest context, which ends alone": "hardware h from RTX_PRO_6000 {\n"
    "  attention.tile = 12_032; multiprocessors = 1\n}\n"
    "scenario x from rtx_pro_6000 { cluster = one(h, vllm_shared) }",
    "lm_head, sampler": "model m from llama3_1_8b { vocabulary = 1 }\n"
    "scenario x from rtx_pro_6000 { model = m }",
    "kernels measured on this device (those of `gpu` instead)": "hardware h from gpu {\n"
    "  compute { bf16 = 503.8 TFLOPS }\n"
    "  memory { capacity = 94.97 GiB; bandwidth = 1.792 TB/s }\n"
    "  multiprocessors = 188; attention.tile = 64\n}\n"
    "scenario x from rtx_pro_6000 { cluster = one(h, vllm_shared) }",
}
UNQUEUED = 120  # requests that come before the queue is longer than what a step takes
OPERATORS = {
    "qkv": "attn_pre_proj", "out": "attn_post_proj", "gate_up": "mlp_up_proj",
    "down": "mlp_down_proj",
}  # fmt: skip


def measured(data: Path, scenario: str) -> Path:
    """Return the file of a measured run."""
    if scenario.removesuffix("_told") in H100:
        return HERE / "h100" / f"{H100[scenario.removesuffix('_told')][0]}.jsonl"
    return data / "measured" / RUNS[scenario] / "requests.jsonl"


def found(data: Path, scenario: str, more: str = "", skip_first: int = 1) -> Validation:
    """Return a scenario of docs/accuracy/runs.tsim, or one that `more` adds, beside its run."""
    text = (HERE / "runs.tsim").read_text("utf-8")
    name = "x" if more else scenario
    plan = tsdl.compile(f"{text}\n{more}\n", scenario=name, params=offered(data))
    return tsdl.validate(plan, measured(data, scenario), skip_first=skip_first)


def offered(data: Path) -> dict[str, str]:
    """Return the param of runs.tsim: where the requests' token ids are."""
    return {"offered": str(data / "measured" / "sharegpt-llama-3.1-8b-300-sps10.jsonl")}


def line(title: str, result: Validation) -> str:
    """Return a row of a table: errors of means, of a percentile, and of the throughput."""
    errors = {(row.metric, row.statistic): row.error for row in result.rows}
    wanted = [
        ("ttft", "mean"),
        ("tpot", "mean"),
        ("e2e", "mean"),
        ("e2e", "p99"),
        ("token_throughput", ""),
    ]
    cells = [errors[key] for key in wanted]
    return f"| {title} | " + " | ".join(f"{100 * cell:+.1f} %" for cell in cells) + " |"


HEAD = """| {} | TTFT mean | TPOT mean | E2E mean | E2E p99 | output tokens/s |
| --- | --- | --- | --- | --- | --- |"""


def runs(data: Path) -> Iterator[str]:
    """Yield the errors of the run that the library was built beside."""
    yield HEAD.format("by prediction alone, first request excluded")
    yield line("RTX PRO 6000", found(data, "rtx_pro_6000"))


def h100(data: Path) -> Iterator[str]:
    """Yield the errors of the runs on an H100, on which nothing was fitted either."""
    yield HEAD.format("by prediction alone, first request excluded")
    for scenario, (_, title) in H100.items():
        yield line(title, found(data, scenario))
    yield ""
    yield HEAD.format("told that its host takes 86 us to launch a kernel")
    for scenario, (_, title) in H100.items():
        yield line(title, found(data, f"{scenario}_told"))


def decodes(_data: Path) -> Iterator[str]:
    """Yield how long iterations of decodes take on the H100, beside what the library says."""
    yield "| iterations of decodes on H100 | " + " | ".join(f"{a} to {b}" for a, b in SIZES) + " |"
    yield "| --- " * (len(SIZES) + 1) + "|"
    measured = {"llama3_1_8b": "llama-3.1-8b", "qwen3_30b_a3b": "qwen3-30b-a3b"}
    for what in ("", ", kernels alone"):
        for model, name in measured.items():
            errors = errors_of_decodes(model, f"{name}-decodes.csv", overhead=not what)
            cells = " | ".join(f"{100 * error:+.1f} %" for error in errors)
            yield f"| {model}{what} | {cells} |"


def errors_of_decodes(model: str, file: str, *, overhead: bool) -> list[float]:
    """Return the mean error for each size of a batch, each measured step counting as much."""
    plan = tsdl.compile(
        "cluster one { worker gpu { hardware = H100_SXM; kv = vllm_shared } }\n"
        f"scenario s {{ model = {model}; cluster = one; workload = sharegpt\n"
        "  policy = vllm(sequences = 128) }"
    )
    cost = plan.workers[0].cost
    time = compiled(cost) if overhead else compiled_prefix(cost, None, None)
    errors: dict[tuple[int, int], list[tuple[float, int]]] = defaultdict(list)
    for row in rows_of(HERE / "h100" / file):
        count, contexts = int(row["decodes"]), int(row["contexts"])
        batch = Batch(
            tokens=count, requests=count, last_tokens=count, decodes=count, contexts=contexts,
            context_blocks=contexts // 16 + count // 2, longest_context=int(row["longest"]),
        )  # fmt: skip
        error = time(batch) / float(row["seconds"]) - 1
        size = next(size for size in SIZES if size[0] <= count <= size[1])
        errors[size].append((error, int(row["steps"])))
    return [statistics.fmean(*zip(*errors[size], strict=True)) for size in SIZES]


def tabled(data: Path) -> str:
    """Return the program in which the profile that comes with the run has all times."""
    folder = data / "measured" / RUNS["rtx_pro_6000"] / "profile"
    return (
        f'cost profiled from llmservingsim(imbalance = 5.43 %) {{ folder = "{folder}" }}\n'
        "cluster tabled {\n"
        "  worker gpu { hardware = RTX_PRO_6000; kv = vllm_shared; cost = profiled }\n}\n"
        "scenario x from rtx_pro_6000 { cluster = tabled }"
    )


def tables(data: Path) -> Iterator[str]:
    """Yield the same with the times of the profile that comes with the run."""
    yield HEAD.format("RTX PRO 6000, from its tables")
    yield line("", found(data, "rtx_pro_6000", tabled(data)))


def unqueued(data: Path) -> Iterator[str]:
    """Yield how long those wait for a first token who hardly wait for a slot."""
    yield f"| TTFT of the first {UNQUEUED} | measured | mean | median |\n| --- | --- | --- | --- |"
    at_once = (
        "policy p from vllm { local { max_requests = 128; front_end = 0 s } }\n"
        "scenario x from rtx_pro_6000 { policy = p }"
    )
    rows = {
        "RTX PRO 6000": "", "from its tables": tabled(data), "without handing tokens out": at_once
    }  # fmt: skip
    for title, more in rows.items():
        result = found(data, "rtx_pro_6000", more)
        both = (side.values["ttft"][1:UNQUEUED] for side in (result.measured, result.simulated))
        theirs, ours = (side.tolist() for side in both)
        errors = [of(ours) / of(theirs) - 1 for of in (statistics.fmean, statistics.median)]
        cells = " | ".join(f"{100 * error:+.1f} %" for error in errors)
        yield f"| {title} | {1e3 * statistics.fmean(theirs):.0f} ms | {cells} |"


def calibrated(data: Path) -> Iterator[str]:
    """Yield the errors of what was held out, and of the H100's other runs with what was fitted."""
    yield "| held out, RTX PRO 6000 | TPOT mean | E2E mean | TTFT mean | requests/s |"
    yield "| --- | --- | --- | --- | --- |"
    checks = held_out(fitted(data, "rtx_pro_6000", measured(data, "rtx_pro_6000")))
    for title, after in (("before", False), ("calibrated", True)):
        chosen = [checks[name] for name in ("tpot", "e2e", "ttft", "throughput")]
        yield f"| {title} | {percent([c.after if after else c.before for c in chosen])} |"
    yield "\n| calibrated on the first run, its first 70 % | TTFT mean | TPOT mean | E2E mean |"
    yield "| --- | --- | --- | --- |"
    yield from on_others(data, "", "_told", measured)
    yield from on_others(data, "not told: ", "", measured)
    yield from on_others(data, "by the user's clock: ", "", by_the_user)


def on_others(
    data: Path, title: str, suffix: str, run_of: Callable[[Path, str], Path | Run]
) -> Iterator[str]:
    """Yield the errors on the H100's runs of what is fitted to the first part of the first."""
    first, *others = H100
    result = fitted(data, f"{first}{suffix}", run_of(data, f"{first}{suffix}"))
    errors = [held_out(result)[name].after for name in ("ttft", "tpot", "e2e")]
    yield f"| {title}its last 30 %, held out | {percent(errors)} |"
    for other in others:
        name = f"{other}{suffix}"
        plan = tsdl.compile(
            HERE / "runs.tsim", scenario=name, params=offered(data), constants=result.values
        )
        beside = tsdl.validate(plan, run_of(data, name), skip_first=1)
        means = {row.metric: row.error for row in beside.rows if row.statistic == "mean"}
        cells = percent([means[metric] for metric in ("ttft", "tpot", "e2e")])
        yield f"| {title}{H100[other][1]} | {cells} |"


def by_the_user(data: Path, scenario: str) -> Run:
    """Return a run on the H100 with the times of the user's clock."""
    lines = measured(data, scenario).read_text("utf-8").splitlines()
    rows = [json.loads(row) for row in lines]
    requests = [
        Request(
            row["sent"] - rows[0]["sent"], row["input_toks"], row["output_toks"],
            ttft=row["first"] - row["sent"], e2e=row["last"] - row["sent"],
            tpot=(row["last"] - row["first"]) / (row["output_toks"] - 1),
        )
        for row in rows
    ]  # fmt: skip
    return Run(f"{scenario}, by the user's clock", "jsonl", tuple(requests), 1.0)


def fitted(data: Path, scenario: str, run: Path | Run) -> Calibration:
    """Fit what is usually fitted to the earlier part of a run."""
    return tsdl.calibrate(HERE / "runs.tsim", [run], scenario=scenario, params=offered(data))


def held_out(result: Calibration) -> dict[str, Check]:
    """Return what a calibration says of the part of its run that it did not see."""
    return {check.statistic: check for check in result.runs[0].checks if check.part == "held out"}


def percent(errors: list[float]) -> str:
    """Return the cells of a row."""
    return " | ".join(f"{100 * error:+.1f} %" for error in errors)


def final(data: Path) -> Iterator[str]:
    """Yield the errors of the run that nothing was built on."""
    yield HEAD.format("by prediction alone, first request excluded")
    yield line("RTX 4090", found(data, "rtx_4090"))


def ablations(data: Path) -> Iterator[str]:
    """Yield what each effect weighs on the RTX PRO 6000 run: the errors without it."""
    yield HEAD.format("left out")
    for title, more in ABLATIONS.items():
        yield line(title, found(data, "rtx_pro_6000", more))


# -- the A100's operators ----------------------------------------------------------------------


def kernels(model: str, devices: int) -> dict[str, Kernel]:
    """Return the kernels of a model on so many A100, by name."""
    plan = tsdl.compile(
        f"hardware huge from A100_80G {{ memory.capacity = 4 TiB }}\n"
        f"scenario s {{ model = {model}; cluster = single(huge, {devices}); workload = sharegpt }}"
    )
    stages = plan.workers[0].cost.stages
    return {kernel.name: kernel for stage in stages for kernel in stage.kernels}


def seconds(kernel: Kernel, tokens: int) -> float:
    """Return the seconds of a kernel for so many tokens of prompts."""
    batch = Batch(tokens=tokens, requests=1, prefills=1, prefill_tokens=tokens)
    values = {name: getattr(batch, name) for name in Batch.__slots__}
    return float(function("an operator", ", ".join(values), python(kernel.time), {})(**values))


def operators(data: Path) -> Iterator[str]:
    """Yield the errors of GEMMs and of all-reduces on A100, against microsoft/vidur's tables."""
    folder = data / "measured" / "operators-a100"
    yield "| GEMMs of | rows | median error | mean error |\n| --- | --- | --- | --- |"
    for name in ("llama-2-7b", "llama-2-70b"):
        errors = []
        known = {n: kernels(name.replace("-2-", "2_"), n) for n in (1, 2, 4, 8)}
        for row in rows_of(folder / f"{name}-mlp.csv"):
            there = known[int(row["num_tensor_parallel_workers"])]
            for node, column in OPERATORS.items():
                time = float(row[f"time_stats.{column}.median"] or "nan") / 1e3
                if time > 0:
                    errors.append(abs(seconds(there[node], int(row["num_tokens"])) / time - 1))
        mean = f"{100 * statistics.fmean(errors):.1f} %"
        yield f"| {name} | {len(errors)} | {middle(errors)} | {mean} |"
    yield "\n| all-reduce among | above 2 MiB | below |\n| --- | --- | --- |"
    large: dict[int, list[float]] = defaultdict(list)
    small: dict[int, list[float]] = defaultdict(list)
    known = {n: kernels("llama2_7b", n) for n in (2, 4, 8)}
    for row in rows_of(folder / "dgx-all_reduce.csv"):
        count, size = int(row["num_workers"]), int(row["size"])
        inside = row["devices_per_node"] == row["num_workers"]  # all in one server
        if count in known and inside and row["rank"] == "0":
            tokens = size / (4096 * 2)
            time = float(row["time_stats.all_reduce.median"]) / 1e3
            error = abs(seconds(known[count]["out.all_reduce"], tokens) / time - 1)  # type: ignore[arg-type]
            (large if size > 2 << 20 else small)[count].append(error)
    for count in known:
        yield f"| {count} A100 | {middle(large[count])} | {middle(small[count])} |"


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file."""
    yield from csv.DictReader(path.read_text("utf-8").splitlines())


def middle(errors: list[float]) -> str:
    """Return the median of errors as text."""
    return f"{100 * statistics.median(errors):.1f} %"


PARTS = {
    "runs": runs,
    "h100": h100,
    "decodes": decodes,
    "tables": tables,
    "unqueued": unqueued,
    "calibrated": calibrated,
    "ablations": ablations,
    "operators": operators,
    "final": final,
}

if __name__ == "__main__":
    folder, *parts = sys.argv[1:] or sys.exit(__doc__)
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not (Path(folder) / "measured").is_dir():
        sys.exit(f"{folder} has no folder `measured`")
    for part in parts or [name for name in PARTS if name != "final"]:
        print("\n".join(PARTS[part](Path(folder))), end="\n\n")
