"""No text makes the compiler fail or keeps it busy: broken programs, and hostile ones.

A text is checked as `tsdl check` does it: every stage, and every scenario lowered to a plan. It may be
told any number of mistakes, at places that exist. It may not raise, nor take long.

`pytest -m long tests/test_robustness.py` tries a hundred times as many mutations, and the largest
texts.
"""

import random
import re
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from tsdl.cli import main
from tsdl.diagnostics import Diagnostic
from tsdl.diagnostics.codes import CATALOGUE
from tsdl.diagnostics.export import FORMATS
from tsdl.diagnostics.text import render_all
from tsdl.session import Session

Capture = pytest.CaptureFixture[str]

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 2.0


class TooSlow(BaseException):
    """The compiler has used up its time. No `except Exception` may catch it."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Stop what takes more of the processor's time; a machine that is busy otherwise is no matter."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", path)


def diagnose(text: str, read: Callable[[str], str] = no_file) -> list[Diagnostic]:
    """Return all that is found in a text; see that it can be shown."""
    session = Session("it.tsim", text, read)
    program, sink = session.compile()
    if not sink.has_errors:
        session.verify(program, sink)
    found = sink.sorted()
    for diagnostic in found:
        assert diagnostic.code in CATALOGUE
        for span in (diagnostic.span, *(label.span for label in diagnostic.secondary)):
            assert span is None or 0 <= span.start <= span.end <= len(span.source.text)
    render_all(found)
    return found


def codes(text: str) -> list[str]:
    """Return the codes of all that is found in a text. Fails where that is a bug."""
    try:
        with within(SECONDS):
            return [diagnostic.code for diagnostic in diagnose(text)]
    except (Exception, TooSlow) as error:  # pytest would take minutes over a deep recursion
        place = traceback.extract_tb(error.__traceback__)[-1]
        shown = text if len(text) < 3_000 else f"{text[:1_000]} … {text[-1_000:]}"
        reason = f"{type(error).__name__}: {str(error)[:200]}\n{place.filename}:{place.lineno}"
    pytest.fail(f"{reason}\n{shown!r}", pytrace=False)


# Good programs, to be broken.

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
  efficiency { gemm { compute = 70 %; overhead = 4 us; sharpness = 1.4 }; attention { compute = 50 % } }
}
hardware Fast from Card(scale = 2) { memory.bandwidth = base.memory.bandwidth * 2; price = 2 * base.price }
cluster node { worker gpu * 2 { hardware = Fast; link = Bus; parallel = tp(2) } }
scenario serve { model = llama2_7b; cluster = node; workload = sharegpt }
""",
    "model": """
operator Mix(k, n) {
  weights = k * n
  flops   = 2 * tokens * k * n
  bytes   = (k * n + tokens * (k + n)) * dtype.size
  class   = gemm
  shards  = [column, row]
}
operator Look(heads, width) {
  kv = 2 * heads * width
  shards = [heads]
  part prefill { flops = 4 * heads * width * (prefill_products + prefill_squares / 2); when = prefills > 0 }
  part decode  { bytes = 2 * contexts * heads * width * kv_dtype.size; class = attention; when = decodes > 0 }
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
      dispatch r to pick(w by w.outstanding_tokens if r.prompt > 100 else 0 tokens for w in workers if w.prefills)
    }
  }
}
policy later from reserved {
  local { on token(r, w) when r.generated == 1 and not w.decodes { submit r } }
  global {
    state sent: count[worker] over 10 s
    on submit(r) { if r.prompt > 10 { let a = 3; log a } else if true { reject r } else { sent[w] += 1 } }
    on every(5 s) { for w in workers { record w.queued, w.running } }
  }
}
kvcache windowed_own from paged { footprint(r) = round_up(min(r.context, 4096 tokens), block) * kv_per_token }
cost fitted { iteration = max(5 ms, 20 us * tokens) + (1 us * contexts / decodes if decodes > 0 else 0 s) }
cluster node {
  worker gpu * 4 { hardware = A100_80G; kv = windowed_own; cost = fitted; runs = both }
  tier pool { capacity = 512 GiB; latency = 800 ns/block; evict by last_used }
  network = Ethernet_100G
}
scenario now   { model = llama2_7b; cluster = replicas(A100_80G); policy = reserved; workload = sharegpt }
scenario then_ { model = llama2_7b; cluster = node; policy = later; workload = sharegpt }
""",
    "workloads": """
edition "2026"
## How many in a second.
param qps = 8 req/s
param n: int = 2000
param sizes = [64, 128, 256] tokens
workload chat {
  requests = n
  arrivals = gamma(qps, cv = 2)
  prompt   = lognormal(mean = 220 tokens, sigma = 1.1, min = 4 tokens, max = 2048 tokens)
  output   = choice(1 token: 10 %, uniform(2..512 tokens): 50 %, quantiles([1, 10, 100] tokens): 40 %)
  warmup   = 10 s
  correlation = 0.5 if n > 100 else 0
}
workload bursts from chat { arrivals = on_off(rate = qps, on = 10 s, off = 30 s, low = qps / 10); requests = base.requests // 2 }
workload talks from chat { sessions = 100; turns = uniform(2..7); think = exponential(mean = 10 s) }
slo eager { ttft <= 500 ms; mtpot <= 300 ms; e2e < 60 s }
scenario day   { model = llama2_7b; cluster = single(A100_80G); workload = chat; slo = eager; seed = 3 }
scenario night { model = llama2_7b; cluster = single(A100_80G); workload = bursts; until = 1 h
                 expect p99(ttft) <= 2 s; expect mean(e2e / output) <= 100 ms/token; expect throughput > 1 req/s }
study ratio {
  scenario = day
  vary qps in 1..7 step 2 req/s
  maximize qps in 0.5..64 req/s while attainment >= 90 %
  table qps, p99(ttft)
  case small { n = 10 }
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
param last = round_up_to(17, [1, 2, 4]) + round_up(17, 16) + mod(17, 5) + floor(sqrt(17)) + abs(-1) ** 2 // 3
""",
}

TOKEN = re.compile(
    r'"[^"\n]*"|\#[^\n]*|[A-Za-z_%µ][\w^/*%µ]*|[0-9][0-9_.]*|\*\*|//|[<>=!+-]=|\.\.|\s+|.', re.DOTALL
)
# What else may come to stand where a token was.
OTHERS = """0 -1 0.5 1e30 -1e-30 true false "" "x" [] [1] 1..2 base.x if else for when by from in { } ( ) [ ] = == ,
; : . .. * ** / // - not and tokens requests r w workers 1_s 1_GB 0_s 50_% llama2_7b A100_80G fp16 sharegpt
continuous single pick random sum min max 1/0 sqrt(-1) heads ttft p99(ttft) tp(2) poisson quantiles""".split()
OTHERS = [other.replace("_s", " s").replace("_GB", " GB").replace("_%", " %") for other in OTHERS]
OTHERS += ["\n", "\t", "\r", "\0", "é", "\ud800", "\u2028", "\ufeff", '"', "'", "#", "%"]


def pieces() -> dict[str, str]:
    """Return good programs by name: examples, pieces of the library with a scenario, and our own."""
    found = {f"own-{name}": text for name, text in OWN.items()}
    for path in sorted((ROOT / "examples").glob("*.tsim")):
        found[f"examples-{path.stem}"] = path.read_text("utf-8")
    for path in sorted((ROOT / "stdlib").glob("*.tsim")):
        items = re.split(r"(?<=\n)(?=##|[a-z]+ \w)", path.read_text("utf-8"))
        for start in range(0, len(items), 12):
            found[f"stdlib-{path.stem}-{start}"] = "".join(items[start : start + 12]) + SERVE
    return found


PIECES = pieces()


def mutation(chance: random.Random, text: str) -> str:
    """Return the text with one to three things cut off, deleted, doubled, swapped or replaced."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        kind = chance.choice(("cut", "character", "token", "token", "token"))
        if kind == "cut":
            text = text[: chance.randrange(len(text) + 1)]
            continue
        parts = TOKEN.findall(text) if kind == "token" else list(text)
        solid = [index for index, part in enumerate(parts) if not part.isspace()]
        if not solid:
            return text
        here, there = chance.choice(solid), chance.choice(solid)
        match chance.choice(("delete", "double", "swap", "copy", "replace")):
            case "delete":
                parts[here] = ""
            case "double":
                parts[here] += parts[here]
            case "swap":
                parts[here], parts[there] = parts[there], parts[here]
            case "copy":
                parts[here] = parts[there]
            case _:
                parts[here] = chance.choice(OTHERS)
        text = "".join(parts)
    return text


def try_mutations(name: str, count: int) -> None:
    for number in range(count):
        text = mutation(random.Random(f"{name} {number}"), PIECES[name])
        codes(text)


@pytest.mark.parametrize("name", PIECES)
def test_a_good_program_is_good(name: str) -> None:
    assert not [code for code in codes(PIECES[name]) if code[0] == "E" and code != "E0604"]


@pytest.mark.parametrize("name", PIECES)
def test_mutations(name: str) -> None:
    try_mutations(name, 40 if name.startswith("own-") else 8)


@pytest.mark.long
@pytest.mark.parametrize("name", PIECES)
def test_many_mutations(name: str) -> None:
    try_mutations(name, 1000)


@pytest.mark.parametrize("name", [name for name in PIECES if name.startswith("own-")])
def test_every_tenth_truncation(name: str) -> None:
    text = PIECES[name]
    for end in range(0, len(text), 10):
        codes(text[:end])


@pytest.mark.long
@pytest.mark.parametrize("name", PIECES)
def test_every_truncation(name: str) -> None:
    text = PIECES[name]
    for end in range(len(text)):
        codes(text[:end])


# Hostile texts: what they are, and the codes that they are told. None: whatever it is.


def serve(**parts: str) -> str:
    fields = {"model": "llama2_7b", "cluster": "single(A100_80G)", "workload": "sharegpt"} | parts
    return "\nscenario serve { " + "; ".join(f"{k} = {v}" for k, v in fields.items()) + " }\n"


def workload(field: str) -> str:
    return f"workload own from sharegpt {{ {field} }}{serve(workload='own')}"


def model(body: str, **parts: str) -> str:
    return f"model own from llama2_7b {{ {body} }}{serve(model='own', **parts)}"


def worker(field: str, **parts: str) -> str:
    cluster = f"\ncluster node {{ worker gpu {{ hardware = A100_80G; {field} }} }}"
    return cluster + serve(cluster="node", **parts)


def chain(count: int, step: str, *, backwards: bool = False) -> str:
    lines = [step.format(i=i, j=i + 1) for i in range(count)]
    return "\n".join(lines[::-1] if backwards else lines) + "\n"


HUGE = "9" * 400
DEEP = 10_000

TEXTS: dict[str, tuple[str, list[str] | None]] = {
    # Depth.
    "parentheses": (f"param n = {'(' * DEEP}1{')' * DEEP}\n", ["E0103"]),
    "square brackets": (f"param n = {'[' * DEEP}1{']' * DEEP}\n", ["E0103"]),
    "braces": (f"cluster node {'{' * DEEP}{'}' * DEEP}\n", ["E0103"]),
    "open parentheses": (f"param n = {'(' * DEEP}\n", ["E0103"]),
    "open braces": (f"cluster node {'{ worker a ' * DEEP}\n", ["E0103"]),
    "closing brackets": ("}" * DEEP, None),
    "calls": (f"param n = f{'(1)' * DEEP}\n", ["E0103"]),
    "indices": (f"param n = f{'[1]' * DEEP}\n", ["E0103"]),
    "attributes": (f"param n = f{'.a' * DEEP}\n", ["E0103"]),
    "minus signs": (f"param n = {'-' * DEEP}1\n", ["E0103"]),
    "negations": (f"param n = {'not ' * DEEP}true\n", ["E0103"]),
    "powers": (f"param n = {'2 ** ' * DEEP}1\n", ["E0103"]),
    "choices": (f"param n = {'1 if true else ' * DEEP}1\n", ["E0103"]),
    "else if": (f"policy p {{ global {{ on fail(r) {{ {'if true { } else ' * DEEP}{{ }} }} }} }}", ["E0103"]),
    "a sum of 170 terms": (f"param n = {' + '.join('1' * 170)}{serve(workload='sharegpt(requests = n)')}", []),
    "a sum of 170 terms of the run": (
        f"cost own {{ iteration = {' + '.join(['1 us * tokens'] * 170)} }}{worker('cost = own', slo='interactive')}",
        [],
    ),
    "sums in params in sums": (
        chain(20, f"param p{{i}} = p{{j}}{' + 1' * 150}") + "param p20 = 1" + serve(workload="sharegpt(requests = p0)"),
        None,
    ),
    "50,000 terms": (f"param n = {' + '.join('1' * 50_000)}\n", ["E0103"]),
    # Length.
    "a line of 5 MB, a comment": (f"# {'x' * 5_000_000}\nparam n = 1\nparam = 3\n", ["E0402"]),
    "a line of 5 MB, a text": (f'param n = "{"x" * 5_000_000}"\n', []),
    "a line of 5 MB, a name": (f"param n = {'x' * 5_000_000}\n", ["E0201"]),
    "a line of 5 MB, a fraction": (f"param n = 0.{'1' * 5_000_000}\n", []),
    "a line of 5 MB, blanks": (f"param n = {' ' * 5_000_000}\n", ["E0101"]),
    "a line of 5 MB, quotes": ('"' * 5_000_000, None),
    "a line of 5 MB, dots": (f"param n = {'.' * 5_000_000}", ["E0101"]),
    "20,000 line ends and a mistake": ("\n" * 20_000 + "param n =", ["E0101"]),
    "20,000 comments and a mistake": ("# a comment, and no more\n" * 20_000 + "param n =", ["E0101"]),
    "2,000 doc comments": ("## A comment, and no more\n" * 2_000 + "param n = 1\n", []),
    "semicolons": (";" * 100_000, []),
    "1,000 unknown names": (chain(1_000, "param p{i} = q{j}"), None),
    "2,000 of one name": ("param n = 1\n" * 2_000, ["E0202"] * 1_999),
    "2,000 mistakes of syntax": ("param n = = 1\n" * 2_000, ["E0101"] * 50),
    # Characters.
    "nothing": ("", []),
    "a NUL": ("param n = \0", ["E0101"]),
    "NULs": ("\0" * 100_000, None),
    "a lone surrogate": ("param n = \ud800", ["E0101"]),
    "a lone surrogate in a text": ('param n = "\ud800"', []),
    "a lone surrogate in a comment": ("# \ud800", []),
    "a lone surrogate in the path of an import": ('import "\ud800.tsim"', ["E0203"]),
    "a NUL in the path of an import": ('import "\0.tsim"', ["E0203"]),
    "carriage returns": ("param n = 1\r\nparam m = 2\r\n", []),
    "a byte order mark": ("\ufeffparam n = 1", None),
    "tabs": ("param\tn\t=\t1\t#\tone\n", []),
    "form feeds": ("param n = 1\f\vparam m = 2", None),
    "other blanks": ("param\u00a0n\u2003= 1\u2028param m = 2", None),
    "emoji": ("param \U0001f600 = 1", None),
    "a text that runs backwards": ("param n = \u202e1 # \u202e", ["E0101"]),
    # Numbers.
    "10^10000 written out": (f"param n = 1{'0' * 10_000}\n", None),
    "1e400": (workload("duration = 1e400 s"), None),
    "1e400 without a unit": (workload("requests = 1e400 requests"), None),
    "1e-400": (workload("duration = 1e-400 s"), ["E0503"]),
    "a huge exponent": ("param n = 1e99999999999999999999\n", None),
    "a number of underscores": (f"param n = 1{'_' * 100_000}1\n", []),
    "many digits of a time": (workload(f"duration = {HUGE} ms"), None),
    "many digits of a count": (workload(f"requests = {HUGE}"), None),
    "many digits below zero": (workload(f"requests = -{HUGE}"), None),
    "many digits of a size": (model(f"hidden = {HUGE}"), None),
    "many digits of layers": (model(f"layers = {HUGE}"), None),
    "many digits of a context": (model(f"context = {HUGE}"), None),
    "many digits of blocks": ("kvcache own from paged { block = 1%s }" % HUGE + worker("kv = own"), None),
    "many digits of a reserve": ("kvcache own from paged { reserve = %s B }" % HUGE + worker("kv = own"), None),
    "many digits of memory": (f"hardware own from A100_80G {{ memory.capacity = {HUGE} B }}" + serve(cluster="single(own)"), None),
    "many digits of bandwidth": (f"hardware own from A100_80G {{ memory.bandwidth = {HUGE} B/s }}" + serve(cluster="single(own)"), None),
    "many digits of compute": (f"hardware own from A100_80G {{ compute.fp16 = {HUGE} FLOPS }}" + serve(cluster="single(own)"), None),
    "many digits of a price": (f"hardware own from A100_80G {{ price = {HUGE} USD }}" + serve(cluster="single(own)"), None),
    "many digits of devices": (serve(cluster=f"single(A100_80G, devices = {HUGE})"), None),
    "many digits of workers": (serve(cluster=f"replicas(A100_80G, count = {HUGE})"), None),
    "many digits of a rate": (serve(workload=f"sharegpt(rate = {HUGE} req/s)"), None),
    "many digits of quantiles": (workload(f"prompt = quantiles([1, {HUGE}] tokens)"), None),
    "many digits of a length": (workload(f"prompt = constant({HUGE} tokens)"), None),
    "many digits of a range": (workload(f"prompt = uniform({HUGE}..1 tokens)"), None),
    "many digits of a seed": (serve(seed=HUGE), None),
    "many digits of rows": (model(f"graph {{ up: GEMM(3, 4, rows = {HUGE}) }}"), None),
    "more bytes than a float holds": (f"hardware own from A100_80G {{ memory.capacity = 1e300 GB }}{serve(cluster='single(own)')}", None),
    "less bandwidth than a float divides by": (f"hardware own from A100_80G {{ memory.bandwidth = 1e-320 B/s }}{serve(cluster='single(own)')}", None),
    "a sharpness of nearly zero": (f"hardware own from A100_80G {{ efficiency.gemm.sharpness = 0.00001 }}{serve(cluster='single(own)', slo='interactive')}", None),
    "weights without end": ("operator Own(k) { weights = 1e400 }\n" + model("graph { own: Own(3) }"), None),
    "work without end": ("operator Own(k) { flops = 1e308; bytes = 1e308 }\n" + model("graph { own: Own(3) }"), None),
    "repeats without end": (model("graph { repeat block * 1e400 { norm: RMSNorm(hidden) } }"), None),
    "repeats below zero": (model("graph { repeat block * -3 { norm: RMSNorm(hidden) } }"), None),
    # Units.
    "a unit of 100,000 factors": (f"param n = 1 {'*'.join(['s'] * 100_000)}\n", None),
    "high powers of units": ("param n = 1 EB^9*EB^9*EB^9*EB^9/nJ^9/nJ^9\nparam m = n * n * n * n\n", []),
    "a unit of 1e400": ("unit age = 1e400 s\n", None),
    "a unit of 1e-400": ("unit blink = 1e-400 s\n", None),
    "a unit of many digits": (f"unit age = {HUGE} s\n" + workload("duration = 1.5 age"), None),
    "a unit of its own": ("unit age = 2 age\n", None),
    "dimensions of each other": ("dimension one = two\ndimension two = one\n", None),
    "a unit with an odd symbol": ('dimension one\nunit first: one { symbol = "" }\nunit other: one { symbol = "a/b" }\n', None),
    # What refers to itself.
    "a param of itself": (f"param n = n{serve(workload='sharegpt(requests = n)')}", ["E0501"]),
    "a parameter of itself": (f"cluster own(n: int = n) {{ worker gpu * n {{ hardware = A100_80G }} }}{serve(cluster='own')}", None),
    "parameters of each other": (f"cluster own(n: int = m, m: int = n) {{ worker gpu * n {{ hardware = A100_80G }} }}{serve(cluster='own')}", None),
    "a field of itself": (model("hidden = ffn; ffn = hidden"), ["E0501"]),
    "a field of the same declaration called anew": ("workload own(n: int = 1) from sharegpt { requests = own(n).requests }" + serve(workload="own"), None),
    "a declaration of itself": ("workload own from own { }" + serve(workload="own"), None),
    "number formats of each other": ("dtype one { size = 1 B; fallback = two }\ndtype two { size = 1 B; fallback = one }\n" + model("dtype = one"), None),
    "a link of a device of the link": ("link own { bandwidth = card.memory.bandwidth; latency = card.host.latency }\nhardware card from A100_80G { host = own }" + serve(cluster="single(card)"), ["E0501"]),
    # Chains.
    "1,000 params": (chain(1_000, "param p{j} = p{i} + 1") + "param p0 = 1\n" + serve(workload="sharegpt(requests = p1000)"), None),
    "1,000 params backwards": ("param p0 = 1\n" + chain(1_000, "param p{j} = p{i} + 1", backwards=True) + serve(workload="sharegpt(requests = p1000)"), None),
    "1,000 bases": ("workload w0 from sharegpt { }\n" + chain(1_000, "workload w{j} from w{i} {{ }}") + serve(workload="w1000"), None),
    "1,000 bases backwards": (chain(1_000, "workload w{j} from w{i} {{ }}", backwards=True) + "workload w0 from sharegpt { }" + serve(workload="w1000"), None),
    "1,000 bases in a ring": (chain(1_000, "workload w{j} from w{i} {{ }}") + "workload w0 from w1000 { }", None),
    "100 fields": ("hardware own from A100_80G { compute {\n" + chain(100, "x{j} = x{i} + 1 FLOPS") + "x0 = 1 FLOPS; fp16 = x100 } }" + serve(cluster="single(own)"), None),
    "1,000 fields": ("hardware own from A100_80G { compute {\n" + chain(1_000, "x{j} = x{i} + 1 FLOPS") + "x0 = 1 FLOPS; fp16 = x1000 } }" + serve(cluster="single(own)"), None),
    # What doubles with every line.
    "bases that double": ("workload w0 from sharegpt { }\n" + chain(30, "workload w{j} from w{i}, w{i} {{ }}") + serve(workload="w30"), None),
    "values of bases that double": ("workload w0 from sharegpt { warmup = 1 us }\n" + chain(30, "workload w{j} from w{i} {{ warmup = base.warmup + base.warmup }}") + serve(workload="w30"), None),
    "parameters that double": ("cluster own(a0: int = 1, " + ", ".join(f"a{i + 1}: int = a{i} + a{i} - a{i}" for i in range(30)) + ") { worker gpu * a30 { hardware = A100_80G } }" + serve(cluster="own"), None),
    "calls that double": ("hardware h0(n = 1) from A100_80G { price = n * 1 USD }\n" + chain(24, "hardware h{j}(n = 1) from A100_80G {{ price = h{i}(n = n).price + h{i}(n = n).price }}") + serve(cluster="single(h24)"), None),
    "costs that double": ("cost c0 { iteration = 1 us * sqrt(tokens) }\n" + chain(24, "cost c{j} {{ iteration = c{i}.iteration + c{i}.iteration }}") + worker("cost = c24"), None),
    "numbers that square": ("param p0 = 2 ** 4096\n" + chain(40, "param p{j} = p{i} * p{i}") + serve(workload="sharegpt(requests = p40)"), None),
    "powers of powers": ("param a = 2 ** 4096\nparam b = a ** 4096\nparam c = b ** 4096\n" + serve(workload="sharegpt(requests = c)"), None),
    # Formulas without a value.
    "a cost that divides by zero": ("cost own { iteration = 5 ms + 1 ms / decodes }" + worker("cost = own", slo="interactive"), None),
    "a cost with a root of less than zero": ("cost own { iteration = 5 ms * sqrt(tokens - 10_000) }" + worker("cost = own", slo="interactive"), None),
    "an operator that divides by zero": ("operator Own(k) { flops = k / decodes }\n" + model("graph { own: Own(3) }", slo="interactive"), None),
    "an overhead with a logarithm of zero": ("policy own { local { overhead = 1 ms * log2(prefills) } }" + serve(policy="own", slo="interactive"), None),
    "a footprint that grows without end": ("kvcache own from paged { footprint(r) = 1 B * 2.0 ** (r.context / 1 token) }" + worker("kv = own"), None),
    "a footprint beyond numbers": ("kvcache own from paged { footprint(r) = 1e308 B * r.context / 1 token }" + worker("kv = own"), None),
    "a footprint that divides by zero": ("kvcache own from paged { footprint(r) = 1 B / (r.prompt / 1 token - 1) }" + worker("kv = own"), None),
    "a footprint of no bytes": ("kvcache own from paged { footprint(r) = 0 B }" + worker("kv = own"), None),
    "a footprint of what comes later": ("kvcache own from paged { footprint(r) = r.generated * kv_per_token }" + worker("kv = own"), None),
    "a footprint of a number of the request": ("kvcache own from paged { footprint(r) = r.id * 1 B }" + worker("kv = own"), None),
    "no KV heads on two devices": (model("graph { attn: Attention(heads, 0, head_dim) }", cluster="single(A100_80G, devices = 2)"), None),
    "no operators": (model("graph { }"), None),
    "a percentile of nothing": ("scenario serve { model = llama2_7b; cluster = single(A100_80G); workload = sharegpt; expect p99(ttft * 0) <= 2 s }", None),
    "a generator for a list": (workload("prompt = quantiles([x for x in [1, 2]])"), None),
    "a selection for a list": (workload("prompt = quantiles([1, sum(x for x in [1, 2])])"), None),
}  # fmt: skip

# These fail today, or would fill the memory. Whoever mends one takes it off the list.
FAILING: set[str] = set()
ENDLESS: set[str] = set()


def hostile(name: str) -> object:
    if name in FAILING | ENDLESS:
        mark = pytest.mark.xfail(run=name not in ENDLESS, reason="not mended yet")
        return pytest.param(name, marks=mark)
    return name


@pytest.mark.parametrize("name", [hostile(name) for name in TEXTS])
def test_hostile_text(name: str) -> None:
    text, expected = TEXTS[name]
    found = codes(text)
    assert expected is None or found == expected


def test_files_that_import_each_other_in_a_long_row() -> None:
    files = {f"f{i}.tsim": f'import "f{i + 1}.tsim"\n' for i in range(200)} | {"f200.tsim": ""}
    with within(SECONDS):
        assert diagnose('import "f0.tsim"\n', files.__getitem__) == []


def test_a_file_that_is_imported_often() -> None:
    with within(SECONDS):
        assert diagnose('import "f.tsim"\n' * 1_000, lambda _path: "param n = 1\n") == []


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"param n = 1\r\nparam m = 2\r\n", []),
        (b"param n = 1\rparam m = 2\r", []),
        (b"\xff\xfep\0", ["E0108"]),
        (b"# \xe9", ["E0108"]),
        (b"# \xed\xa0\x80", ["E0108"]),
        (b"\0", ["E0101"]),
    ],
)
def test_bytes_of_a_file(
    data: bytes,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.tsim").write_bytes(data)
    assert main(["check", "--format", "concise", "it.tsim"]) == bool(expected)
    assert re.findall(r"\[(\w+)\]", capsys.readouterr().out) == expected


@pytest.mark.parametrize("form", [*FORMATS, "text"])
def test_every_format_shows_what_a_text_may_hold(form: str) -> None:
    text = "param \ud800 = \0\nparam n = 'x\x1b[31m\nparam \u202em = \t\U0001f600"
    shown = render_all(diagnose(text)) if form == "text" else FORMATS[form](diagnose(text))
    shown.encode("utf-8")
    assert "\x1b" not in shown
    assert "\0" not in shown


# Runs: what passes a check may not fail as a bug either.

DISPATCH = "policy own {{ global {{ on arrive(r) {{ dispatch r to {0} }} }} }}"
ADMIT = "policy own {{ local {{ admit r when {0} }} }}"

RUNS = {
    "a feature in an admission": ADMIT.format("tokens > 3"),
    "a price in an admission": ADMIT.format("w.hardware.price > 3 USD"),
    "a count in an admission": ADMIT.format("count(v for v in [w]) < 3"),
    "any in an admission": ADMIT.format("any(v.prefills for v in [w])"),
    "a sum in an admission": ADMIT.format("sum(v.queued for v in [w]) < 3"),
    "a division in an admission": ADMIT.format("1 / r.preemptions < 3"),
    "a price in a dispatch": DISPATCH.format("pick(w by w.hardware.price for w in workers)"),
    "a list in a dispatch": DISPATCH.format("pick(w by w.id for w in [random(v for v in workers)])"),
    "a choice of dispatches": DISPATCH.format("random(w for w in workers) if r.prompt > 9 else pick(w by w.id for w in workers)"),
    "a selection in a dispatch": DISPATCH.format("pick(w by sum(v.queued for v in workers) for w in workers)"),
    "a division in a dispatch": DISPATCH.format("pick(w by 1 / w.queued for w in workers)"),
    "no candidate in a dispatch": DISPATCH.format("random(w for w in workers if false)"),
    "a count in a cost": "cost own { iteration = 1 ms * count(x for x in [1, 2]) }",
    "a pick in a cost": "cost own { iteration = pick(x by x for x in [1 ms, 2 ms]) }",
    "a random choice in a cost": "cost own { iteration = random(x for x in [1 ms, 2 ms]) }",
    "a sum in a cost": "cost own { iteration = 1 ms * sum(x * tokens for x in [1, 2]) }",
    "a cost of nothing": "cost own { iteration = 0 s }",
    "a cost of next to nothing": "cost own { iteration = 1e-320 s }",
    "a cost without measure": "cost own { iteration = 1e307 s * tokens }",
    "a cost below zero": "cost own { iteration = -1 ms * tokens }",
    "a footprint below zero": "kvcache own from paged { footprint(r) = -1 B }",
    "a footprint that shrinks": "kvcache own from paged { footprint(r) = 1 GB - kv_per_token * r.context }",
    "prompts without measure": "workload own from sharegpt { requests = 5; prompt = constant(1e300 tokens) }",
    "a deviation without measure": "workload own from sharegpt { requests = 5; prompt = normal(mean = 3 tokens, deviation = 1e300 tokens) }",
    "a mean without measure": "workload own from sharegpt { requests = 5; prompt = exponential(mean = 1e300 tokens) }",
    "arrivals at once": "workload own from sharegpt { requests = 5; arrivals = poisson(1e300 req/s) }",
    "arrivals never": "workload own from sharegpt { requests = 5; arrivals = poisson(1e-300 req/s) }",
    "prompts of no tokens": "workload own from sharegpt { requests = 5; prompt = constant(0 tokens) }",
    "a sum that is expected": "expect sum(x for x in [1, 2]) == 3",
    "a rounded metric that is expected": "expect round_up_to(p99(prompt), [64 tokens, 128 tokens]) <= 128 tokens",
    "gaps and requests that are expected": "expect mean(itl - e2e) <= 3 s",
    "equal devices that are expected": "expect A100_80G == A100_80G",
}  # fmt: skip
FAILING_RUNS: set[str] = set()
ENDLESS_RUNS: set[str] = set()


def run(name: str) -> object:
    if name in FAILING_RUNS | ENDLESS_RUNS:
        mark = pytest.mark.xfail(run=name not in ENDLESS_RUNS, reason="not mended yet")
        return pytest.param(name, marks=mark)
    return name


def runnable(text: str) -> str:
    """Return a program that uses what a text declares, or that expects what it says."""
    if text.startswith("expect"):
        return serve(workload="sharegpt(requests = 5)").replace(" }\n", f"\n{text} }}\n")
    kind = text.split()[0]
    parts = {"workload": "sharegpt(requests = 5)"}
    if kind in ("policy", "workload"):
        return text + serve(**(parts | {kind: "own"}))
    return text + worker(f"{'kv' if kind == 'kvcache' else kind} = own", **parts)


@pytest.mark.parametrize("name", [run(name) for name in RUNS])
def test_a_run_is_no_bug(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("it.tsim").write_text(runnable(RUNS[name]), encoding="utf-8")
    with within(10):
        status = main(["run", "it.tsim"])
    assert status in {0, 1, 3}, capsys.readouterr().err


# The largest texts. On a machine of 2025, 100,000 declarations take half a minute.


@pytest.mark.long
@pytest.mark.parametrize(
    "text",
    [
        chain(100_000, "param p{i} = {i}"),
        chain(100_000, "workload w{i} {{ requests = {j} }}"),
        chain(50_000, "param p{j} = p{i}") + "param p0 = 1\n",
        f"param n = [{', '.join(['1'] * 500_000)}]\n",
        "hardware own { compute {\n" + chain(100_000, "x{i} = 1 FLOPS") + "} }",
        "model own { graph {\n" + chain(100_000, "x{i}: RMSNorm(5)") + "} }",
        "\n" * 1_000_000 + "param n =",
        "# a comment\n" * 300_000 + "param n =",
        chain(10_000, "param p{i} = q{j}"),
        chain(10_000, "bogus p{i} = q{j}"),
        "x" * 20_000_001,
        "{" * 10_000_000,
        '"' * 10_000_000,
    ],
    ids=lambda text: re.sub(r"\s+", " ", text[:24]),
)
def test_large_text(text: str) -> None:
    with within(60):
        diagnose(text)
