"""A cost in Python: attention by a function, all else by the roofline (SPEC.md, section 7.7).

    python examples/python_cost.py

The function stands for whatever knows better: a regression over measurements, another simulator.
"""

import tsdl

SCENARIOS = """
## Attention as the program below says.
cost learned {
  operator attn { extern = "attention"; reads = [prefill_products, prefill_squares, contexts] }
}

workload chat from sharegpt(rate = 4 req/s) { requests = 500 }
cluster by_roofline { worker gpu { hardware = A100_80G } }
cluster by_function { worker gpu { hardware = A100_80G; cost = learned } }
scenario roofline { model = llama2_7b; cluster = by_roofline; policy = chunked; workload = chat }
scenario function { model = llama2_7b; cluster = by_function; policy = chunked; workload = chat }
"""

LAUNCH = 12e-6  # seconds, made up
REACHED = 0.6  # of the peaks of an A100, which stdlib/hardware_nvidia.tsim has; made up
FLOPS = 4 * 4096  # of a layer of Llama-2-7B, for each token and one that it sees
KV = 2 * 4096 * 2  # bytes of a layer, for each token of a context


def attention(prefill_products: int, prefill_squares: int, contexts: int) -> float:
    """Return the seconds that the attention of one layer takes."""
    flops = FLOPS * (prefill_products + prefill_squares / 2)
    return LAUNCH + (flops / 312e12 + KV * contexts / 2.039e12) / REACHED


if __name__ == "__main__":
    for name in ("roofline", "function"):
        plan = tsdl.compile(SCENARIOS, scenario=name, externs={"attention": attention})
        latency = plan.run().summary["latency"]
        shown = (f"{m} {1e3 * latency[m]['mean']:.2f} ms" for m in ("ttft", "tpot", "e2e"))
        print(f"{name} (rung {plan.rungs[0].name}): mean {', '.join(shown)}")
