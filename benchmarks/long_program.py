"""A long program as people write them: teams with their devices, models, policies and scenarios."""

_TEAM = """\
# ------------------------------------------------------------------------------------------------
# Team {n}: what it rents, what it serves, and what it promises.

## What the team expects in the busiest hour.
param qps_{n} = {rate} req/s
param nodes_{n}: int = {nodes}

hardware A100_team_{n} from A100_80G {{
  memory.bandwidth = {bandwidth} TB/s          # measured
  price            = {price}_000 USD
  power {{ idle = 60 W; peak = 400 W }}
  efficiency.gemm.compute = {efficiency} %
}}

link fabric_{n} from Ethernet_100G {{ bandwidth = {speed} Gbit/s; latency = 5 us }}

## Twelve layers of their own making.
model own_{n} {{
  layers = {layers}; hidden = 4096; heads = 32; kv_heads = 8; ffn = 11_008; vocabulary = 32_000
  context = 8192 tokens
  dtype   = bf16
  graph {{
    embed: Embedding(vocabulary, hidden)
    repeat block * layers {{
      norm1:   RMSNorm(hidden)
      qkv:     GEMM(hidden, (heads + 2 * kv_heads) * head_dim, shard = column)
      rotary:  Rotary(heads, kv_heads, head_dim)
      attn:    Attention(heads, kv_heads, head_dim)
      out:     GEMM(heads * head_dim, hidden, shard = row)
      norm2:   RMSNorm(hidden)
      gate_up: GEMM(hidden, 2 * ffn, shard = column)
      act:     SiLU(ffn)
      down:    GEMM(ffn, hidden, shard = row)
      add:     Residual(hidden)
    }}
    norm:    RMSNorm(hidden)
    lm_head: GEMM(hidden, vocabulary, shard = column, rows = last_tokens)
    sample:  Sampler(vocabulary, rows = last_tokens)
  }}
}}

## Short prompts first; who waits long goes to where the least is to be done.
policy ours_{n} from chunked {{
  local {{
    max_requests = {slots}
    admit r when kv.fill_with(r) <= 90 % or w.running == 0 by r.prompt, r.arrived
    evict r by -r.arrived
  }}
  global {{
    state sent: count[worker] over 10 s
    on arrive(r) {{
      let chosen = pick(w by w.outstanding_tokens + sent[w] for w in workers if w.prefills)
      sent[chosen] += 1
      dispatch r to chosen
    }}
  }}
}}

cluster racks_{n} {{
  network = fabric_{n}
  node server * nodes_{n} {{ worker gpu * 2 {{ hardware = A100_team_{n} }} }}
}}

workload chat_{n} {{
  requests = {requests}
  arrivals = poisson(qps_{n})
  prompt   = lognormal(mean = {prompt} tokens, sigma = 0.8, max = 4000 tokens)
  output   = choice(20 tokens: 30 %, uniform(50..400 tokens): 70 %)
}}

slo promise_{n} {{ ttft <= {ttft} s; tpot <= 100 ms }}

scenario team_{n} {{
  model    = own_{n}
  cluster  = racks_{n}
  policy   = ours_{n}
  workload = chat_{n}
  slo      = promise_{n}
  expect p99(ttft) <= {ttft} s
  expect attainment >= 95 %
  expect mean(tpot) <= 80 ms
}}
"""


_HEAD = """\
edition "2026"
# What the teams of the house rent and serve. One section for each team; whoever changes a section
# checks the file before others see it.
"""


def long_program(lines: int = 1000) -> str:
    """Return a program of so many lines, to the last whole section, that has no mistake."""
    teams = lines // _TEAM.count("\n")
    return _HEAD + "\n".join(_section(number) for number in range(1, teams + 1))


def _section(number: int) -> str:
    return _TEAM.format(
        n=number,
        rate=4 + number % 5,
        nodes=1 + number % 4,
        bandwidth=1.6 + number / 100,
        price=10 + number % 9,
        efficiency=60 + number % 30,
        speed=100 * (1 + number % 4),
        layers=8 + number % 8,
        slots=64 + 16 * (number % 8),
        requests=1000 + 100 * number,
        prompt=200 + 50 * (number % 7),
        ttft=1 + number % 3,
    )
