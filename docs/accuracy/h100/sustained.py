"""Measures what a GPU draws, and how fast it stays, under loads like prefills and decodes.

    python sustained.py OUT [small] [alone] [turns] [reads] [fp8]

OUT gets a JSON object: milliseconds, watts and MHz of each load over time. The loads are the GEMMs
of Llama 3.1 8B with random weights, layer by layer (so that no weight is found in the cache),
captured in a graph; copies between host and device; and the kernels of a sampler. Needs PyTorch,
nvidia-ml-py and a device. It reads the device's clocks and power, and sets nothing.
"""

import json
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pynvml
import torch

LAYERS = 32
SHAPES = ((4096, 6144), (4096, 4096), (4096, 28672), (14336, 4096))  # inputs, outputs of each GEMM
VOCABULARY = 128_256
LARGE = (8192, 2048)  # tokens
SECONDS = 12.0  # of each sustained load with so many
TURNS_SECONDS = 8.0  # of each load in turns
REST = 3.0  # before each, so that it meets a cool device
# Tokens of prompts, after so many decodes of a size, and after a pause (s): in turns.
TURNS = (
    (2048, 1, 64, 0), (2048, 5, 64, 0), (2048, 20, 64, 0), (2048, 60, 64, 0),
    (2048, 20, 16, 0), (2048, 60, 16, 0), (512, 5, 64, 0), (512, 20, 64, 0),
    (2048, 0, 1, 0.04), (2048, 0, 1, 0.1), (2048, 0, 1, 0.4), (2048, 10, 16, 0.1),
)  # fmt: skip


class Meter(threading.Thread):
    """Notes power (W), clock (MHz) and temperature (C) of the first device every 20 ms."""

    def __init__(self) -> None:
        """Begin with nothing noted."""
        super().__init__(daemon=True)
        pynvml.nvmlInit()
        self.device = pynvml.nvmlDeviceGetHandleByIndex(0)
        self.rows: list[tuple[float, float, int, int, int]] = []

    def run(self) -> None:
        """Note until the program ends."""
        while True:
            watts = pynvml.nvmlDeviceGetPowerUsage(self.device) / 1000
            clock = pynvml.nvmlDeviceGetClockInfo(self.device, pynvml.NVML_CLOCK_SM)
            memory = pynvml.nvmlDeviceGetClockInfo(self.device, pynvml.NVML_CLOCK_MEM)
            heat = pynvml.nvmlDeviceGetTemperature(self.device, pynvml.NVML_TEMPERATURE_GPU)
            self.rows.append((time.monotonic(), watts, clock, memory, heat))
            time.sleep(0.02)

    def energy(self) -> float:
        """Return the joules that the device has drawn since its driver began."""
        return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self.device)) / 1000

    def between(self, begin: float, end: float) -> dict[str, float]:
        """Return means over a span of the monotonic clock."""
        rows = [row for row in self.rows if begin <= row[0] <= end]
        names = ("watts", "clock", "memory_clock", "heat")
        return {
            name: round(statistics.fmean(row[place] for row in rows), 1) if rows else -1
            for place, name in enumerate(names, 1)
        }


WEIGHTS: list[list[torch.Tensor]] = []  # of each layer, in bf16
WEIGHTS_FP8: list[list[torch.Tensor]] = []
KEPT: list[Callable[[], None]] = []  # what graphs read and write has to stay


def captured(work: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Return a graph of some work, after it has run without."""
    KEPT.append(work)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(2):
            work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph


def sustained(meter: Meter, graph: torch.cuda.CUDAGraph, seconds: float) -> dict[str, Any]:
    """Replay a graph for so long; return how long a replay took over time, and what was drawn."""
    torch.cuda.synchronize()
    time.sleep(REST)
    events = []
    begin, joules = time.monotonic(), meter.energy()
    while time.monotonic() - begin < seconds:
        pairs = []
        for _ in range(4):
            first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            first.record()
            graph.replay()
            last.record()
            pairs.append((first, last))
        torch.cuda.synchronize()
        events += [(time.monotonic() - begin, first.elapsed_time(last)) for first, last in pairs]
    end = time.monotonic()
    drawn = (meter.energy() - joules) / (end - begin)
    spans = [(0, 0.1), (0.1, 0.3), (0.3, 1), (1, 3), (3, 6), (6, 9), (9, 12)]
    return {
        "first_ms": [round(ms, 4) for _, ms in events[:4]],
        "ms": {
            f"{low}-{high}": round(statistics.median(found), 4)
            for low, high in spans
            if (found := [ms for at, ms in events if low <= at < high])
        },
        "power": {
            f"{low}-{high}": meter.between(begin + low, begin + high)
            for low, high in spans
            if high <= seconds
        },
        "mean_watts_by_energy": round(drawn, 1),
        "replays": len(events),
    }


def gemms(tokens: int) -> Callable[[], None]:
    """Return the GEMMs of all layers for so many tokens, in bf16."""
    inputs = {
        rows: torch.randn(tokens, rows, device="cuda", dtype=torch.bfloat16)
        for rows in {rows for rows, _ in SHAPES}
    }
    outputs = {
        columns: torch.empty(tokens, columns, device="cuda", dtype=torch.bfloat16)
        for columns in {columns for _, columns in SHAPES}
    }

    def work() -> None:
        for layer in WEIGHTS:
            for (rows, columns), weight in zip(SHAPES, layer, strict=True):
                torch.mm(inputs[rows], weight.t(), out=outputs[columns])

    return work


def gemms_fp8(tokens: int) -> Callable[[], None]:
    """Return the same in fp8, with a scale for each tensor."""
    kind = torch.float8_e4m3fn
    one = torch.tensor(1.0, device="cuda")
    inputs = {
        rows: torch.randn(tokens, rows, device="cuda").to(kind) for rows in {r for r, _ in SHAPES}
    }
    if not WEIGHTS_FP8:
        WEIGHTS_FP8.extend([weight.to(kind) for weight in layer] for layer in WEIGHTS)

    def work() -> None:
        for layer in WEIGHTS_FP8:
            for (rows, _), weight in zip(SHAPES, layer, strict=True):
                torch._scaled_mm(  # noqa: SLF001 (PyTorch has no other name for it)
                    inputs[rows], weight.t(), one, one, out_dtype=torch.bfloat16
                )

    return work


def reading(bytes_: int) -> Callable[[], None]:
    """Return reductions over buffers beyond the cache: reads of memory, and nothing else."""
    buffers = [torch.randn(bytes_ // 4 // 8, device="cuda") for _ in range(8)]
    outputs = torch.empty(8, device="cuda")

    def work() -> None:
        for place, buffer in enumerate(buffers):
            torch.sum(buffer, dim=0, out=outputs[place])

    return work


def in_turns(
    meter: Meter,
    prompts: torch.cuda.CUDAGraph,
    decodes: torch.cuda.CUDAGraph,
    of: int,
    pause: float = 0.0,
) -> dict[str, Any]:
    """Return the ms of `prompts` that come once in `of` of `decodes`, after a pause (s) each."""
    torch.cuda.synchronize()
    time.sleep(REST)
    begin, found, others = time.monotonic(), [], []
    while time.monotonic() - begin < TURNS_SECONDS:
        time.sleep(pause)
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(3)]
        marks[0].record()
        for _ in range(of):
            decodes.replay()
        marks[1].record()
        prompts.replay()
        marks[2].record()
        torch.cuda.synchronize()
        others.append(marks[0].elapsed_time(marks[1]) / max(of, 1))
        found.append(marks[1].elapsed_time(marks[2]))
    end = time.monotonic()
    late = slice(len(found) // 2, None)
    return {
        "prompts_ms": round(statistics.median(found[late]), 3),
        "decodes_ms": round(statistics.median(others[late]), 4),
        "power": meter.between(begin + 4, end),
        "turns": len(found),
    }


def timed(work: Callable[[], Any], times: int = 20) -> float:
    """Return the median microseconds of some work on the device."""
    work()
    found = []
    for _ in range(times):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        work()
        last.record()
        torch.cuda.synchronize()
        found.append(first.elapsed_time(last) * 1000)
    return float(round(statistics.median(found), 2))


def copies() -> dict[str, Any]:
    """Return GB/s between pinned memory of the host and the device, by size and number."""
    found: dict[str, Any] = {}
    for size, many in ((1 << 30, 1), (64 << 20, 8), (2 << 20, 128), (64 << 10, 1024)):
        host = torch.empty(size * many, dtype=torch.uint8, pin_memory=True)
        device = torch.empty(size * many, dtype=torch.uint8, device="cuda")
        pairs = list(zip(host.split(size), device.split(size), strict=True))

        def to_device(pairs: Any = pairs) -> None:
            for one, other in pairs:
                other.copy_(one, non_blocking=True)

        def to_host(pairs: Any = pairs) -> None:
            for one, other in pairs:
                one.copy_(other, non_blocking=True)

        for name, work in (("to_device", to_device), ("to_host", to_host)):
            found[f"{name} {many} x {size}"] = round(size * many / timed(work, 5) / 1000, 2)
    return found


def small() -> dict[str, Any]:
    """Return microseconds of small kernels in a graph, of launches without, and of a sampler."""
    one = torch.zeros(1, device="cuda")

    def adds() -> None:
        for _ in range(1000):
            one.add_(1)

    found: dict[str, Any] = {"tiny kernel in a graph": timed(captured(adds).replay) / 1000}
    found["tiny kernel launched"] = timed(adds) / 1000
    hidden = torch.randn(16, 4096, device="cuda", dtype=torch.bfloat16)

    def norms() -> None:
        for _ in range(500):
            torch.nn.functional.rms_norm(hidden, (4096,))

    found["norm of 16 tokens in a graph"] = timed(captured(norms).replay) / 500
    for many in (1, 16, 64, 128, 256):
        logits = torch.randn(many, VOCABULARY, device="cuda", dtype=torch.bfloat16)

        def greedy(x: torch.Tensor = logits) -> torch.Tensor:
            return x.float().argmax(-1)

        found[f"greedy {many}"] = timed(greedy)

        def sampled(x: Any = logits) -> Any:
            chances = torch.softmax(x.float() / 0.7, -1)
            return chances.div_(torch.empty_like(chances).exponential_()).argmax(-1)

        found[f"sampled {many}"] = timed(sampled)
        head = torch.randn(VOCABULARY, 4096, device="cuda", dtype=torch.bfloat16)
        asked = torch.randn(many, 4096, device="cuda", dtype=torch.bfloat16)

        def heads(a: torch.Tensor = asked, h: torch.Tensor = head) -> torch.Tensor:
            return a @ h.t()

        found[f"lm_head {many}"] = timed(heads)
        del head
    return found


def main() -> None:
    """Run all loads, each after a rest."""
    meter = Meter()
    begin = time.monotonic()
    meter.start()
    time.sleep(2)
    result: dict[str, Any] = {"bare": meter.between(begin, begin + 2)}
    for _ in range(LAYERS):
        drawn = [torch.randn(c, r, device="cuda", dtype=torch.bfloat16) for r, c in SHAPES]
        WEIGHTS.append([weight / 64 for weight in drawn])
    torch.cuda.synchronize()
    time.sleep(3)
    now = time.monotonic()
    result["loaded, at rest"] = meter.between(now - 2, now)
    out, parts = Path(sys.argv[1]), sys.argv[2:] or ["small", "alone", "turns", "reads", "fp8"]

    def keep(name: str, value: Any) -> None:
        result[name] = value
        print(name, json.dumps(value), flush=True)
        out.write_text(json.dumps(result, indent=1), encoding="utf-8")

    keep("name", pynvml.nvmlDeviceGetName(meter.device))
    keep("limit", pynvml.nvmlDeviceGetPowerManagementLimit(meter.device) / 1000)
    if "small" in parts:
        keep("copies", copies())
        keep("small", small())
    graphs = {}
    for tokens in (8192, 2048, 512, 256, 128, 64, 16, 1):
        graphs[tokens] = captured(gemms(tokens))
    if "alone" in parts:
        for tokens, graph in graphs.items():
            keep(f"bf16 {tokens}", sustained(meter, graph, SECONDS if tokens in LARGE else 5))
    if "turns" in parts:
        for tokens, of, many, pause in TURNS:
            found = in_turns(meter, graphs[tokens], graphs[many], of, pause)
            keep(f"{tokens} after {of} of {many}, {pause:g} s", found)
    if "reads" in parts:
        keep("reads", sustained(meter, captured(reading(16 << 30)), 5))
    if "fp8" in parts:
        for tokens in (8192, 2048, 512, 128, 64):
            seconds = SECONDS if tokens in LARGE else 5
            keep(f"fp8 {tokens}", sustained(meter, captured(gemms_fp8(tokens)), seconds))


if __name__ == "__main__":
    main()
