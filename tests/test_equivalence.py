"""Every row of docs/tokensim.md: its form in TSDL stands in a scenario that compiles, and runs."""

import re
from pathlib import Path

import pytest

import tsdl
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "tokensim.md"
ROW = re.compile(r"^\| (.+?) \| `(.+?)` \| ?(.*?) ?\|$", re.MULTILINE)
ROWS = [
    row for row in ROW.findall(DOCUMENT.read_text("utf-8")) if "`" in row[0] or "pool" in row[0]
]

# Every key of Figure 2 of the paper, and every flag of both READMEs.
FIGURE_2 = (
    "on_arrive", "scatter", "transmit", "on_finish", "intra_first", "policy", "before_sched",
    "memory", "max_batched_tokens", "block_size", "gpu_utilization", "preemption_mode",
    "run_prefill", "run_decode", "on_first_fin", "on_st", "connection", "network", "hook_after",
    "quantity", "hardware", "num_layers", "ops", "workers",
)  # fmt: skip
FLAGS = (
    "--qps", "--batching", "--distribution", "--block_size", "--swap_policy", "--model",
    "--hardware", "--duration", "--xpu", "--n-xpus-per-node", "--tp", "--arrival-rate",
    "--warm-up", "--output", "--disaggregated", "--prefill-xpu", "--prefill-n-xpus",
    "--prefill-tp", "--decode-xpu", "--decode-n-xpus", "--decode-tp", "--transfer-bandwidth",
    "--transfer-latency", "--config",
)  # fmt: skip

# What a form may be part of; the first that fits is taken.
PLACES = {
    "declaration": "{form}",
    "cluster": "cluster own {{ {form}; worker other {{ hardware = A100_80G }} }}",
    "node": "cluster own {{ {form} }}",
    "network": "cluster own {{ {form}; worker gpu * 2 {{ hardware = A100_80G }} }}",
    "worker": "cluster own {{ worker gpu * 2 {{ {form}; {hardware} }} }}",
    "kvcache": "kvcache odd from paged {{ {form} }}\n"
    "cluster own {{ worker gpu {{ hardware = A100_80G; kv = odd }} }}",
    "link": "link odd {{ {form}; {bandwidth} }}\n"
    "cluster own {{ worker gpu {{ hardware = A100_80G; link = odd; parallel = tp(2) }} }}",
    "local": "policy own from continuous, handing_over {{ local {{ {form} }} }}",
    "global": "policy own from continuous, handing_over {{ global {{ {form} }} }}",
    "submit": "policy own from continuous, handing_over {{ global {{ on submit(r) {{ {form}; "
    "dispatch r to random(w for w in workers if near or w.decodes) }} }} }}",
    "workload": "workload own from sharegpt {{ {form} }}",
    "trace": "workload own {{ {form} }}",
    "lengths": "workload own {{ requests = 9; arrivals = poisson(1 req/s); {form} }}",
    "model": "model own from llama2_7b {{ {form} }}",
    "graph": "model own from llama2_7b {{ graph {{ {form}; attn: Attention(heads, kv_heads, head_dim) }} }}",
    "scenario": "{form}",
}


def program(place: str, form: str) -> str:
    """Return a scenario in which the form stands at a place."""
    hardware = "" if "hardware =" in form else "hardware = A100_80G"
    bandwidth = "" if "bandwidth =" in form else "bandwidth = 100 GB/s"
    text = PLACES[place].format(form=form, hardware=hardware, bandwidth=bandwidth)
    fields = {
        "model": "llama2_7b",
        "cluster": "with_pool",
        "policy": "continuous",
        "workload": "short",
    }
    for kind in ("cluster", "policy", "workload", "model"):
        declared = re.search(rf"\b{kind} (\w+)(?: from| \{{)", text)
        if declared and place != "scenario":
            fields[kind] = declared[1]
    if fields["cluster"] != "with_pool" and "runs = " in text:
        rest = "decode" if "runs = prefill" in text else "prefill"
        text = re.sub(
            r"\}\s*$", f"; worker rest {{ hardware = A100_80G; runs = {rest} }} }}", text, count=1
        )
        fields["policy"] = "disaggregated"
    members = [
        f"{key} = {value}" for key, value in fields.items() if not form.startswith(f"{key} =")
    ]
    if place == "scenario":
        members.append(text)
        text = ""
    if place == "declaration" and (link := re.match(r"link (\w+)", form)):
        members = [m for m in members if not m.startswith("cluster")]
        members.append("cluster = own")
        text += f"\ncluster own {{ worker gpu {{ hardware = A100_80G; link = {link[1]} }} }}"
    short = "workload short from sharegpt { requests = 10 }"
    pool = "cluster with_pool { worker gpu { hardware = A100_80G; parallel = tp(4) }; tier pool { capacity = 9 GiB } }"
    return "\n".join((short, pool, text, f"scenario shown {{ {'; '.join(members)} }}"))


def fits(text: str) -> bool:
    return not [d for d in tsdl.check(text) if d.severity == "error" and d.code != "E0604"]


def test_the_table_is_whole() -> None:
    text = DOCUMENT.read_text("utf-8")
    for key in FIGURE_2:
        assert re.search(rf"^\| .*`{key}\b", text, re.MULTILINE), key
    for flag in FLAGS:
        assert re.search(rf"^\| .*`{flag}`", text, re.MULTILINE), flag


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_row_is_true(row: tuple[str, str, str], tmp_path: Path) -> None:
    """The form compiles somewhere; where it is no file of the user's, the scenario runs."""
    form = row[1].replace("\\|", "|")
    place = next((p for p in PLACES if fits(program(p, form))), None)
    assert place is not None, f"{form!r} stands nowhere"
    if "trace =" in form or "lengths =" in form:
        return
    result = tsdl.compile(program(place, form)).run()
    assert result.summary["requests"]["arrived"] > 0
