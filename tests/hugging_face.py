"""Configurations of Hugging Face: samples of them, what is imported of one, and plans of that.

The samples in `imports/hf/` have the values of the config.json published under their names.
"""

import json
from pathlib import Path
from typing import Any

import tsdl
from tsdl.diagnostics import Diagnostic, Severity, Sink
from tsdl.imports import FORMATS
from tsdl.plan import Plan

SAMPLES = Path(__file__).resolve().parent / "imports" / "hf"


def sample(case: str) -> dict[str, Any]:
    (file,) = (SAMPLES / case).iterdir()
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def imported(config: dict[str, Any], name: str = "config.json") -> tuple[str, list[Diagnostic]]:
    sink = Sink()
    text = FORMATS["hf"]([(name, json.dumps(config, indent=1))], [], sink)
    assert (text is None) == sink.has_errors
    return text or "", sink.sorted()


def mistake(config: dict[str, Any]) -> Diagnostic:
    text, found = imported(config)
    assert not text
    return next(d for d in found if d.severity is Severity.ERROR)


def field(text: str, name: str) -> str:
    """Return what a program sets a field to, nothing where it leaves it to its base."""
    lines = [line.partition("=") for line in text.replace(";", "\n").splitlines()]
    found = [
        value.partition("#")[0].strip(" }") for key, _, value in lines if key.split()[-1:] == [name]
    ]
    return found[0] if found else ""


def planned(text: str, model: str) -> Plan:
    lengths = "prompt = constant(90 tokens); output = constant(9 tokens)"
    workload = f"workload few {{ requests = 3; arrivals = poisson(1 req/s); {lengths} }}"
    device = "hardware own from H200 { memory.capacity = 4 TB }"
    run = f"{device}\nscenario s {{ model = {model}; cluster = single(own); workload = few }}"
    return tsdl.compile(f"{text}\n{workload}\n{run}\n")


def compressed(
    bits: int, kind: str, inputs: object = None, cache: object = None, among: int | None = None
) -> dict[str, Any]:
    """Return a configuration of compressed-tensors; `among` weights share a scale."""
    weights = {"num_bits": bits, "type": kind} | ({"group_size": among} if among else {})
    group = {"weights": weights, "input_activations": inputs}
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": group},
        "kv_cache_scheme": cache,
    }
