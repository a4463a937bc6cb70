"""Good programs, to be broken: some that have everything, the examples, pieces of the library."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SERVE = """
scenario serve {
  model    = llama2_7b
  cluster  = single(A100_80G)
  workload = sharegpt
  slo      = interactive
  expect p99(ttft) <= 2 s and attainment >= 95 %
}
"""

OWN = {
    "hardware": """
dtype fp6 { size = 0.75 B; fallback = fp16 }
link Bus { bandwidth = 25 GB/s; latency = 2 us; duplex = half; collective { sharpness = 0.75 } }
hardware Card(scale = 1) {
  compute { fp16 = scale * 300 TFLOPS; int8 = 600 TOPS }
  memory  { capacity = 48 GiB; bandwidth = 1.5 TB/s }
  power   { idle = 40 W; peak = 300 W }
  price   = 4000 USD
  host    = Bus
  efficiency {
    gemm      { compute = 70 %; overhead = 4 us; sharpness = 1.4 }
    attention { compute = 50 % }
  }
}
hardware Fast from Card(scale = 2) {
  memory.bandwidth = base.memory.bandwidth * 2
  price = 2 * base.price
}
cluster node { worker gpu * 2 { hardware = Fast; link = Bus; parallel = tp(2) } }
scenario serve { model = llama2_7b; cluster = node; workload = sharegpt }
""",
    "model": """
operator Mix(k, n) {
  let size = k * n
  weights = size
  flops   = 2 * tokens * size
  bytes   = (size + tokens * (k + n)) * dtype.size
  class   = gemm
  shards  = [column, row]
}
operator Look(heads, width) {
  kv = 2 * heads * width
  shards = [heads]
  part prefill {
    flops = 4 * heads * width * (prefill_products + prefill_squares / 2)
    when  = prefills > 0
  }
  part decode {
    bytes = 2 * contexts * heads * width * kv_dtype.size
    class = attention
    when  = decodes > 0
  }
}
model small {
  layers = 8; hidden = 1024; heads = 16; ffn = 4 * hidden; vocabulary = 32_000
  context = 4096 tokens; dtype = fp16; tied = false
  graph {
    embed: Embedding(vocabulary, hidden)
    repeat block * layers {
      look: Look(heads, head_dim)
      up:   Mix(hidden, 2 * ffn, shard = column)
      down: Mix(ffn, hidden, shard = row)
    }
    lm_head: GEMM(hidden, vocabulary, shard = column, rows = last_tokens, stored = not tied)
  }
}
model wide from small { hidden = 2048; breakpoint half after block.down when layer == 4 }
scenario serve { model = small; cluster = single(A100_80G, devices = 2); workload = sharegpt }
scenario wider { model = wide; cluster = single(A100_80G); workload = sharegpt }
""",
    "policies": """
policy reserved from continuous {
  local {
    max_tokens   = 8192 tokens
    max_requests = 256
    overhead     = 100 us + 1 us * requests
    admit r when kv.fill_with(r) <= 80 % and w.queued < 100
    admit r by r.arrived
    evict r by -r.arrived
    preempt = swap
  }
  global {
    on arrive(r) {
      dispatch r to pick(
        w by w.outstanding_tokens if r.prompt > 100 else 0 tokens for w in workers if w.prefills
      )
    }
  }
}
policy later from reserved {
  local { on token(r, w) when r.generated == 1 and not w.decodes { submit r } }
  global {
    state sent: count[worker] over 10 s
    on submit(r) {
      let v = pick(w by sent[w] for w in workers if w.decodes)
      if r.prompt > 10 { let a = 3; log a, v.id } else if true { reject r } else { sent[v] += 1 }
      dispatch r to v
    }
    on every(5 s) { for w in workers { record "queued", w.queued } }
  }
}
kvcache short from paged {
  footprint(r) = round_up(min(r.context, 4096 tokens), block) * kv_per_token
}
cost fitted {
  iteration = max(5 ms, 20 us * tokens) + (1 us * contexts / decodes if decodes > 0 else 0 s)
}
cluster node {
  worker gpu * 4 { hardware = A100_80G; kv = short; cost = fitted; runs = both }
  tier pool { capacity = 512 GiB; latency = 800 ns/block; evict by last_used }
  network = Ethernet_100G
}
scenario now {
  model = llama2_7b; cluster = replicas(A100_80G); policy = reserved; workload = sharegpt
}
scenario next { model = llama2_7b; cluster = node; policy = later; workload = sharegpt }
""",
    "workloads": """
edition "2026"
## How many in a second.
param qps = 8 req/s
param n: int = 2000
param seeds: int = 1
param sizes = [64, 128, 256] tokens
workload chat {
  requests = n
  arrivals = gamma(qps, cv = 2)
  prompt   = lognormal(mean = 220 tokens, sigma = 1.1, min = 4 tokens, max = 2048 tokens)
  output   = choice(1 token: 10 %, uniform(2..512 tokens): 50 %, quantiles([1, 9] tokens): 40 %)
  warmup   = 10 s
  correlation = 0.5 if n > 100 else 0
}
workload bursts from chat {
  arrivals = on_off(rate = qps, on = 10 s, off = 30 s, low = qps / 10)
  requests = base.requests // 2
}
workload talks from chat { sessions = 100; turns = uniform(2..7); think = exponential(mean = 10 s) }
slo eager { ttft <= 500 ms; mtpot <= 300 ms; e2e < 60 s }
scenario day {
  model = llama2_7b; cluster = single(A100_80G); workload = chat; slo = eager; seed = 3
}
scenario night {
  model = llama2_7b; cluster = single(A100_80G); workload = bursts; until = 1 h
  expect p99(ttft) <= 2 s; expect mean(e2e / output) <= 100 ms/token
  expect throughput > 1 req/s
}
study ratio {
  scenario = day
  vary n in 100..700 step 200
  maximize qps in 0.5..64 req/s while attainment >= 90 %
  table qps, p99(ttft) / p99(ttft)[n = 100]
  case small { seeds = 10 }
  case large { seeds = 11 }
  best n by -qps
  pareto by qps, p99(ttft)
  plot lines(qps, x = n, color = case)
}
""",
    "units": """
dimension length
unit metre: length { prefixes = decimal; symbol = "m" }
unit foot = 0.3048 metre
dimension speed = length / time
param far: length = 3 kmetre + 2 foot
param fast: speed = far / 2 s
param area = far ** 2
param ratio = fast / (1 metre/s)
param near = max(1 foot, min(far, 2 metre)) if ratio > 1 else 0 metre
param last = round_up_to(17, [1, 2, 4]) + round_up(17, 16) + mod(17, 5)
param more = floor(sqrt(17)) + abs(-1) ** 2 // 3
""",
}


def pieces() -> dict[str, str]:
    """Return good programs: ours, the examples, and pieces of the library with a scenario."""
    found = {f"own-{name}": text for name, text in OWN.items()}
    for path in sorted((ROOT / "examples").glob("*.tsim")):
        found[f"examples-{path.stem}"] = path.read_text("utf-8")
    for path in sorted((ROOT / "stdlib").glob("*.tsim")):
        items = re.split(r"(?<=\n)(?=##|[a-z]+ \w)", path.read_text("utf-8"))
        for start in range(0, len(items), 12):
            found[f"stdlib-{path.stem}-{start}"] = "".join(items[start : start + 12]) + SERVE
    return found


PIECES = pieces()


def first_scenario(text: str) -> str:
    """Return the name of the first scenario of a program."""
    return next(line.split()[1] for line in text.splitlines() if line.startswith("scenario "))
