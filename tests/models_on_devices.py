"""Plans of models on devices that hold any, batches for them, and what their kernels do."""

import tsdl
from tests.summed_batches import batch_of
from tsdl.costs import Batch, compiled
from tsdl.plan import Cost, Kernel, Stage, Workers


def plan_of(model: str, parallel: str = "tp(1)", own: str = "", **fields: object) -> tsdl.Plan:
    """Return a plan on devices whose memory holds any model."""
    worker = {"hardware": "huge", "link": "NVLink4", **fields}
    text = f"""edition "2026"
hardware huge from H100_SXM {{ memory.capacity = 4 TiB }}
{own}
cluster one {{ worker gpu * 8 {{
  {"; ".join(f"{key} = {value}" for key, value in worker.items())}; parallel = {parallel}
}} }}
workload some {{
  requests = 20; arrivals = poisson(9 req/s)
  prompt = uniform(5..90 tokens); output = uniform(1..9 tokens)
}}
scenario priced {{ model = {model}; cluster = one; workload = some }}
"""
    return tsdl.compile(text)


def worker_of(model: str, parallel: str = "tp(1)", own: str = "", **fields: object) -> Workers:
    return plan_of(model, parallel, own, **fields).workers[0]


def decodes(count: int, context: int) -> Batch:
    return batch_of(contexts=[context] * count)


def prompt(tokens: int, cached: int = 0) -> Batch:
    return batch_of([(tokens, cached, True)])


def kernel(cost: Cost, name: str, stage: str = "block") -> Kernel:
    [found] = [k for s in cost.stages if s.name == stage for k in s.kernels if k.name == name]
    return found


def amount(value: object, batch: Batch) -> float:
    """Return the number of a kernel's formula (flops, bytes, wire) for a batch."""
    return compiled(Cost("test", (Stage("", 1, (Kernel("", "", 0, 0, 0, 0, value),)),), 0))(batch)  # type: ignore[arg-type]
