"""Hostile texts: what they are, and the codes that they are told. None: whatever it is."""

from tests.programs_around import (
    cache,
    cost,
    count,
    device,
    footprint,
    model,
    operator,
    serve,
    worker,
    workers,
    workload,
)

DEEP = 10_000  # of LALR's stack, not of Python's
HUGE = "9" * 400
WIDE = 5_000_000
TREE = "E0103"
Text = tuple[str, list[str] | None]


def chain(length: int, step: str, *, backwards: bool = False) -> str:
    lines = [step.format(i=i, j=i + 1) for i in range(length)]
    return "\n".join(lines[::-1] if backwards else lines) + "\n"


def doubling(length: int, step: str) -> str:
    return ", ".join([step.format(j=0, value=1), *(
        step.format(j=i + 1, value=f"a{i} + a{i} - a{i}") for i in range(length)
    )])  # fmt: skip


def along(front: str, behind: str) -> str:
    asked = f"{front * 40}mean(ttft){behind * 40}"
    study = f"study t {{ scenario = serve; vary n in [1, 2]; table {asked} }}"
    return f"param n: int = 1\n{serve(workload='sharegpt(requests = n)')}\n{study}\n"


DEPTHS: dict[str, Text] = {
    "parentheses": (f"param n = {'(' * DEEP}1{')' * DEEP}\n", [TREE]),
    "square brackets": (f"param n = {'[' * DEEP}1{']' * DEEP}\n", [TREE]),
    "braces": (f"cluster node {'{' * DEEP}{'}' * DEEP}\n", [TREE]),
    "open parentheses": (f"param n = {'(' * DEEP}\n", [TREE]),
    "open braces": (f"cluster node {'{ worker a ' * DEEP}\n", [TREE]),
    "closing brackets": ("}" * DEEP, None),
    "calls": (f"param n = f{'(1)' * DEEP}\n", [TREE]),
    "indices": (f"param n = f{'[1]' * DEEP}\n", [TREE]),
    "attributes": (f"param n = f{'.a' * DEEP}\n", [TREE]),
    "fields of a number": (f"param b = 1\nparam n = b{'.x' * 50}\n", ["E0307"]),
    "blocks of a device": (f"param n = A100_80G{'.memory' * 50}\n", ["E0307"]),
    "values along an axis": (along("max(", " over n)"), []),
    "values of other points": (along("", "[n = 1]"), []),
    "minus signs": (f"param n = {'-' * DEEP}1\n", [TREE]),
    "negations": (f"param n = {'not ' * DEEP}true\n", [TREE]),
    "powers": (f"param n = {'2 ** ' * DEEP}1\n", [TREE]),
    "choices": (f"param n = {'1 if true else ' * DEEP}1\n", [TREE]),
    "else if": (
        f"policy own {{ global {{ on fail(r) {{ {'if true { } else ' * DEEP}{{ }} }} }} }}",
        [TREE],
    ),
    "a sum of 170": (f"param n = {' + '.join('1' * 170)}" + count("n"), []),
    "a sum of 170 of the run": (cost(" + ".join(["1 us * tokens"] * 170)), []),
    "sums of params of sums": (
        chain(20, f"param p{{i}} = p{{j}}{' + 1' * 150}") + "param p20 = 1" + count("p0"),
        None,
    ),
    "a sum of 50,000": (f"param n = {' + '.join('1' * 50_000)}\n", [TREE]),
}

LENGTHS: dict[str, Text] = {
    "a comment": (f"# {'x' * WIDE}\nparam n = 1\n", []),
    "a comment and a mistake": (f"# {'x' * WIDE}\nparam n =\n", ["E0101"]),
    "a text": (f'param n = "{"x" * WIDE}"\n', []),
    "a name": (f"param n = {'x' * WIDE}\n", ["E0201"]),
    "a fraction": (f"param n = 0.{'1' * WIDE}\n", []),
    "blanks": (f"param n = {' ' * WIDE}\n", ["E0101"]),
    "quotes": ('"' * WIDE, None),
    "dots": (f"param n = {'.' * WIDE}", ["E0101"]),
    "line ends and a mistake": ("\n" * 20_000 + "param n =", ["E0101"]),
    "comments and a mistake": ("# no more than this\n" * 20_000 + "param n =", ["E0101"]),
    "doc comments": ("## no more than this\n" * 2_000 + "param n = 1\n", []),
    "semicolons": (";" * 50_000, []),
    "unknown names": (chain(500, "param p{i} = q{j}"), ["E0201"] * 500),
    "one name": ("param n = 1\n" * 2_000, ["E0202"] * 1_999),
    "mistakes of syntax": ("param n = = 1\n" * 2_000, ["E0101"] * 50),
}

CHARACTERS: dict[str, Text] = {
    "nothing": ("", []),
    "a NUL": ("param n = \0", ["E0101"]),
    "NULs": ("\0" * 100_000, None),
    "a lone surrogate": ("param n = \ud800", ["E0101"]),
    "a lone surrogate in a text": ('param n = "\ud800"', []),
    "a lone surrogate in a comment": ("# \ud800", []),
    "a lone surrogate in a path": ('import "\ud800.tsim"', ["E0203"]),
    "a NUL in a path": ('import "\0.tsim"', ["E0203"]),
    "carriage returns": ("param n = 1\r\nparam m = 2\r\n", []),
    "a byte order mark": ("\ufeffparam n = 1", []),
    "a byte order mark in the midst": ("param n = \ufeff1", ["E0101"]),
    "tabs": ("param\tn\t=\t1\t#\tone\n", []),
    "form feeds": ("param n = 1\f\vparam m = 2", None),
    "other blanks": ("param\u00a0n\u2003= 1\u2028param m = 2", None),
    "emoji": ("param \U0001f600 = 1", None),
    "what runs backwards": ("param n = \u202e1 # \u202e", ["E0101"]),
}

NUMBERS: dict[str, Text] = {
    "10^10000": (f"param n = 1{'0' * 10_000}\n", None),
    "1e400": (workload("duration = 1e400 s"), None),
    "1e400 requests": (workload("requests = 1e400 requests"), None),
    "1e400 of a type": ("param n: int = 1e400" + count("n"), None),
    "1e-400": (workload("duration = 1e-400 s"), None),
    "a huge exponent": ("param n = 1e99999999999999999999\n", None),
    "underscores": (f"param n = 1{'_' * 100_000}1\n", []),
    "time": (workload(f"duration = {HUGE} ms"), None),
    "requests": (workload(f"requests = {HUGE}"), None),
    "requests below zero": (workload(f"requests = -{HUGE}"), None),
    "size": (model(f"hidden = {HUGE}"), None),
    "layers": (model(f"layers = {HUGE}"), None),
    "context": (model(f"context = {HUGE}"), None),
    "repeats": (model("graph { repeat block * 1e400 { norm: RMSNorm(hidden) } }"), None),
    "repeats below zero": (model("graph { repeat block * -3 { norm: RMSNorm(hidden) } }"), None),
    "rows": (model(f"graph {{ up: GEMM(3, 4, rows = {HUGE}) }}"), None),
    "weights": (operator("weights = 1e400"), None),
    "work": (operator("flops = 1e308; bytes = 1e308"), None),
    "blocks": (cache(f"blocks = {HUGE}"), None),
    "tokens of a block": (cache(f"block = {HUGE}"), None),
    "reserve": (cache(f"reserve = {HUGE} B"), None),
    "swap space": (cache("swap_space = 1e308 GB"), None),
    "memory": (device(f"memory.capacity = {HUGE} B"), None),
    "memory of a float": (device("memory.capacity = 1e300 GB"), None),
    "bandwidth": (device(f"memory.bandwidth = {HUGE} B/s"), None),
    "bandwidth of nearly zero": (device("memory.bandwidth = 1e-320 B/s"), None),
    "compute": (device(f"compute.fp16 = {HUGE} FLOPS"), None),
    "price": (device(f"price = {HUGE} USD"), None),
    "sharpness of nearly zero": (
        device("efficiency.gemm.sharpness = 0.00001", slo="interactive"),
        None,
    ),
    "devices": (serve(cluster=f"single(A100_80G, devices = {HUGE})"), None),
    "workers": (serve(cluster=f"replicas(A100_80G, count = {HUGE})"), None),
    "rate": (serve(workload=f"sharegpt(rate = {HUGE} req/s)"), None),
    "quantiles": (workload(f"prompt = quantiles([1, {HUGE}] tokens)"), None),
    "length": (workload(f"prompt = constant({HUGE} tokens)"), None),
    "range": (workload(f"prompt = uniform(1..{HUGE} tokens)"), None),
    "range backwards": (workload(f"prompt = uniform({HUGE}..1 tokens)"), None),
    "weight": (workload(f"prompt = choice(1 token: {HUGE}, 2 tokens: 1)"), None),
    "seed": (serve(seed=HUGE), None),
    "until": (serve(until=f"{HUGE} s"), None),
}

UNITS: dict[str, Text] = {
    "100,000 factors": (f"param n = 1 {'*'.join(['s'] * 100_000)}\n", None),
    "powers": ("param n = 1 EB^9*EB^9*EB^9*EB^9/nJ^9/nJ^9\nparam m = n * n * n * n\n", []),
    "1e400": ("unit age = 1e400 s\n", None),
    "1e-400": ("unit blink = 1e-400 s\n", None),
    "many digits": (f"unit age = {HUGE} s\n" + workload("duration = 1.5 age"), None),
    "of itself": ("unit age = 2 age\n", None),
    "dimensions of each other": ("dimension one = two\ndimension two = one\n", None),
    "odd symbols": (
        'dimension one\nunit first: one { symbol = "" }\nunit other: one { symbol = "a/b" }\n',
        None,
    ),
}

RINGS: dict[str, Text] = {
    "a param of itself": ("param n = n" + count("n"), None),
    "a parameter of itself": (workers("n: int = n", "n"), None),
    "parameters of each other": (workers("n: int = m, m: int = n", "n"), None),
    "fields of each other": (model("hidden = ffn; ffn = hidden"), ["E0501"]),
    "a call of itself": (
        "workload own(n: int = 1) from sharegpt { requests = own(n).requests }"
        + serve(workload="own"),
        None,
    ),
    "a base of itself": ("workload own from own { }" + serve(workload="own"), None),
    "number formats": (
        "dtype one { size = 1 B; fallback = two }\ndtype two { size = 1 B; fallback = one }\n"
        + model("dtype = one"),
        None,
    ),
    "a link of a device of the link": (
        "link bus { bandwidth = own.memory.bandwidth; latency = own.host.latency }\n"
        + device("host = bus"),
        ["E0501"],
    ),
}

CHAINS: dict[str, Text] = {
    "params": ("param p0 = 1\n" + chain(1_000, "param p{j} = p{i} + 1") + count("p1000"), None),
    "params backwards": (
        chain(1_000, "param p{j} = p{i} + 1", backwards=True) + "param p0 = 1\n" + count("p1000"),
        None,
    ),
    "bases": (
        "workload w0 from sharegpt { }\n"
        + chain(1_000, "workload w{j} from w{i} {{ }}")
        + serve(workload="w1000"),
        None,
    ),
    "bases backwards": (
        chain(1_000, "workload w{j} from w{i} {{ }}", backwards=True)
        + "workload w0 from sharegpt { }"
        + serve(workload="w1000"),
        None,
    ),
    "bases in a ring": (
        chain(1_000, "workload w{j} from w{i} {{ }}") + "workload w0 from w1000 { }",
        None,
    ),
    "fields": (
        device(
            "compute {\n" + chain(1_000, "x{j} = x{i} + 1 FLOPS") + "x0 = 1 FLOPS; fp16 = x1000 }"
        ),
        None,
    ),
}

# What doubles with each line.
DOUBLES: dict[str, Text] = {
    "bases": (
        "workload w0 from sharegpt { }\n"
        + chain(30, "workload w{j} from w{i}, w{i} {{ }}")
        + serve(workload="w30"),
        None,
    ),
    "values of bases": (
        "workload w0 from sharegpt { warmup = 1 us }\n"
        + chain(30, "workload w{j} from w{i} {{ warmup = base.warmup + base.warmup }}")
        + serve(workload="w30"),
        None,
    ),
    "parameters": (workers(doubling(30, "a{j}: int = {value}"), "a30"), None),
    "calls": (
        "hardware h0(n = 1) from A100_80G { price = n * 1 USD }\n"
        + chain(24, "hardware h{j} from A100_80G {{ price = h{i}().price + h{i}().price }}")
        + serve(cluster="single(h24)"),
        None,
    ),
    "formulas": (
        "cost c0 { iteration = 1 us * sqrt(tokens) }\n"
        + chain(24, "cost c{j} {{ iteration = c{i}.iteration + c{i}.iteration }}")
        + worker("cost = c24"),
        None,
    ),
    "digits": (
        "param p0 = 2 ** 4096\n" + chain(40, "param p{j} = p{i} * p{i}") + count("p40"),
        None,
    ),
    "exponents": (
        "param a = 2 ** 4096\nparam b = a ** 4096\nparam c = b ** 4096\n" + count("c"),
        None,
    ),
}

FORMULAS: dict[str, Text] = {
    "a cost that divides by zero": (cost("5 ms + 1 ms / decodes"), None),
    "a cost with a root of less than zero": (cost("5 ms * sqrt(tokens - 10_000)"), None),
    "an operator that divides by zero": (operator("flops = k / decodes"), None),
    "an overhead with a logarithm of zero": (
        "policy own { local { overhead = 1 ms * log2(prefills) } }"
        + serve(policy="own", slo="interactive"),
        None,
    ),
    "a footprint without measure": (footprint("1 B * 2.0 ** (r.context / 1 token)"), None),
    "a footprint beyond numbers": (footprint("1e308 B * r.context / 1 token"), None),
    "a footprint that divides by zero": (footprint("1 B / (r.prompt / 1 token - 1)"), None),
    "a footprint of nothing": (footprint("0 B"), None),
    "a footprint of what comes later": (footprint("r.generated * kv_per_token"), None),
    "a footprint of a number": (footprint("r.id * 1 B"), None),
    "no KV heads on two devices": (
        model(
            "graph { attn: Attention(heads, 0, head_dim) }",
            cluster="single(A100_80G, devices = 2)",
        ),
        None,
    ),
    "no operators": (model("graph { }"), None),
    "a percentile of nothing": (serve().replace(" }", "; expect p99(ttft * 0) <= 2 s }"), None),
    "a generator in a list": (workload("prompt = quantiles([x for x in [1, 2]])"), None),
    "a selection in a list": (workload("prompt = quantiles([1, sum(x for x in [1, 2])])"), None),
}

HOSTILE = {
    f"{group}: {name}": text
    for group, texts in {
        "depth": DEPTHS,
        "5 MB or many": LENGTHS,
        "characters": CHARACTERS,
        "huge": NUMBERS,
        "units": UNITS,
        "ring": RINGS,
        "1,000": CHAINS,
        "doubling": DOUBLES,
        "formula": FORMULAS,
    }.items()
    for name, text in texts.items()
}
