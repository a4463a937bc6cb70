"""Whether a plan draws anything at random, and what a study with several seeds says of it."""

from pathlib import Path

import pytest

import tsdl
from tsdl.chance import is_certain
from tsdl.studies.text import describe

PROGRAM = """
policy thrown from continuous {{
  global {{ on arrive(r) {{ dispatch r to random(w for w in workers) }} }}
}}
param qps = 4 req/s
cluster two {{ worker gpu * 2 {{ hardware = A100_80G }} }}
workload here {{ requests = 30; {} }}
scenario one {{ model = llama2_7b; cluster = two; policy = {}; workload = here }}
study s {{ scenario = one; vary qps in [2, 4] req/s; replicate 3; table mean(e2e) }}
"""
EVEN = "arrivals = uniform(qps); prompt = constant(64 tokens); output = constant(16 tokens)"


@pytest.mark.parametrize(
    ("workload", "policy", "certain"),
    [
        (EVEN, "continuous", True),
        (EVEN.replace("uniform(qps)", "burst(5, every = 1 s)"), "continuous", True),
        (EVEN + "; priority = constant(3)", "continuous", True),
        (EVEN, "thrown", False),
        (EVEN.replace("uniform", "poisson"), "continuous", False),
        (EVEN.replace("constant(64", "uniform(3 tokens..64"), "continuous", False),
        (EVEN.replace("constant(16 tokens)", "choice(16 tokens: 50 %, 8 tokens: 50 %)"),
         "continuous", False),
        (EVEN + "; prefixes = 3; prefix = constant(16 tokens)", "continuous", False),
    ],
)  # fmt: skip
def test_it_is_told_whether_the_seed_matters(workload: str, policy: str, certain: bool) -> None:
    text = PROGRAM.format(workload, policy)
    plan = tsdl.compile(text)
    assert is_certain(plan) is certain
    runs = [{**plan.run(seed).summary, "seed": 0} for seed in (1, 2)]
    if certain:
        assert runs[0] == runs[1]
    assert ("W0512" in [d.code for d in tsdl.check(text)]) is certain
    told = describe(tsdl.study(text, jobs=1))
    assert ("3 seeds give the same run 3 times" in told) is (runs[0] == runs[1])


def test_a_file_that_is_replayed_is_certain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_text("arrived_at,num_prefill_tokens,num_decode_tokens\n0,10,4\n1,20,3\n")
    text = """
workload w {{ trace = "t.csv"; {} }}
scenario one {{ model = llama2_7b; cluster = single(A100_80G); workload = w }}
"""
    assert is_certain(tsdl.compile(text.format("")))
    assert not is_certain(tsdl.compile(text.format("priority = uniform(1..9)")))


def test_one_seed_is_no_reason_for_a_warning() -> None:
    text = PROGRAM.format(EVEN, "continuous").replace("replicate 3; ", "")
    assert "W0512" not in [d.code for d in tsdl.check(text)]
    assert "seeds give" not in describe(tsdl.study(text, jobs=1))


def test_a_total_that_cannot_be_known_is_told_of_a_study() -> None:
    text = (
        PROGRAM.format(EVEN.replace("uniform", "poisson"), "continuous").replace(
            "hardware = A100_80G", "hardware = bare"
        )
        + """
hardware bare {
  compute { fp16 = 300 TFLOPS }
  memory  { capacity = 80 GiB; bandwidth = 2 TB/s }
}
study t from s { expect cost <= 1 USD where qps > 1 req/s }
study u { scenario = one; maximize qps in 1..2 req/s while energy <= 1 kWh; table mean(e2e) }
"""
    )
    found = [d for d in tsdl.check(text) if d.code == "W0511"]
    assert [d.title for d in found] == ["`cost` cannot be known", "`energy` cannot be known"]
    assert found[1].notes == ("a condition of a total that is not known does not hold",)


@pytest.mark.parametrize(
    ("asks", "code"),
    [
        ("table 1 / (n - 1)", "E0504"),
        ("table mean(e2e); expect 1 / (n - 1) > 0 or finished > 1", "E0504"),
        ("maximize qps in 1..2 req/s while 1 / (n - 1) > 0; table mean(e2e)", "E0504"),
        ("table mean(e2e); expect unset * mean(e2e) > 1 s", None),  # only `-p` gives its value
        ("table mean(e2e) / n; expect mean(e2e) / n > 0 s", None),
    ],
)
def test_what_has_no_value_at_a_point_is_told(asks: str, code: str | None) -> None:
    text = (
        PROGRAM.format(EVEN, "continuous")
        + f"""
param n: int = 1
param unset: number
study t {{
  scenario = one
  vary n in [1, 2]
  {asks.replace("; ", chr(10))}
}}
"""
    )
    found = [d.code for d in tsdl.check(text) if d.code.startswith("E")]
    assert found == ([code] if code else [])
