"""Derivation: what is inherited, replaced, bound late, and what `base` means."""

import pytest

import tsdl
from tsdl.plan import Workers

SMALL = """
workload w {
  requests = 1; arrivals = poisson(1 req/s)
  prompt = constant(8 tokens); output = constant(2 tokens)
}
"""


def workers(text: str, scenario: str) -> Workers:
    return tsdl.compile(f"{SMALL}{text}\nscenario s {{ {scenario}; workload = w }}").workers[0]


def test_a_dotted_override_reaches_into_an_inherited_block() -> None:
    found = workers(
        "hardware quarter from A100_80G { compute.fp16 = base.compute.fp16 / 4 }",
        "model = llama2_7b; cluster = single(quarter)",
    )
    assert found.peak_compute == 312e12 / 4
    assert found.peak_bandwidth == 2.039e12


def test_members_bind_late() -> None:
    plain = tsdl.compile(
        f"{SMALL}scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = w }}"
    )
    wide = tsdl.compile(
        SMALL + "model wide from llama2_7b { hidden = 5120; heads = 40 }\n"
        "scenario s { model = wide; cluster = single(A100_80G); workload = w }"
    )
    assert wide.models[0].parameters > 1.2 * plain.models[0].parameters
    # kv_heads and head_dim have defaults over the new values
    assert wide.workers[0].kv.bytes_per_token == 2 * 40 * 128 * 32 * 2


def test_base_through_several_layers() -> None:
    found = workers(
        """
        hardware one from A100_80G { memory.bandwidth = 2 * base.memory.bandwidth }
        hardware two from one { memory.bandwidth = 3 * base.memory.bandwidth }
        """,
        "model = llama2_7b; cluster = single(two)",
    )
    assert found.peak_bandwidth == 6 * 2.039e12


def test_an_own_name_in_its_definition_is_the_outer_one() -> None:
    plan = tsdl.compile(
        """
        param requests: int = 7
        workload v {
          requests = requests
          arrivals = poisson(1 req/s); prompt = constant(8 tokens); output = constant(2 tokens)
        }
        scenario s { model = llama2_7b; cluster = single(A100_80G); workload = v }
        """
    )
    assert plan.workload.requests == 7


def test_a_call_sets_parameters_first_and_fields_by_name() -> None:
    plan = tsdl.compile(
        "scenario s { model = llama2_7b; cluster = single(A100_80G); "
        "workload = sharegpt(rate = 3 req/s, requests = 11, warmup = 2 s) }"
    )
    assert plan.workload.requests == 11
    assert plan.workload.warmup == 2
    assert plan.workload.arrivals is not None
    assert dict(plan.workload.arrivals.parameters) == {"rate": 3.0}


def test_arguments_pass_through_a_base() -> None:
    plan = tsdl.compile(
        """
        workload mine(r: rate) from sharegpt(rate = 2 * r) { requests = 5 }
        scenario s { model = llama2_7b; cluster = single(A100_80G); workload = mine(4 req/s) }
        """
    )
    assert plan.workload.arrivals is not None
    assert dict(plan.workload.arrivals.parameters) == {"rate": 8.0}


def test_two_bases_are_merged_where_they_agree() -> None:
    plan = tsdl.compile(
        f"{SMALL} policy both from chunked, least_loaded {{}}\n"
        "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = w; policy = both }"
    )
    assert plan.workers[0].local.batching == "chunked"
    assert "outstanding" in str(plan.router.handlers[0].body[0].values[1])


def test_two_bases_that_disagree_are_an_error_unless_decided() -> None:
    bases = "policy a { local { max_requests = 1 } }\npolicy b { local { max_requests = 2 } }\n"
    found = tsdl.check(f"{bases}policy c from a, b {{}}")
    assert [d.code for d in found] == ["E0405"]
    assert not tsdl.check(f"{bases}policy c from a, b {{ local {{ max_requests = 3 }} }}")


def test_an_own_clause_replaces_the_inherited_one() -> None:
    plan = tsdl.compile(
        f"""{SMALL}
        policy a from continuous {{ local {{ admit r when kv.fill <= 50 % }} }}
        policy b from a {{ local {{ admit r when kv.fill <= 80 % }} }}
        scenario s {{ model = llama2_7b; cluster = single(A100_80G); workload = w; policy = b }}
        """
    )
    assert str(plan.workers[0].local.admit_when) == "kv.fill <= 0.8"


@pytest.mark.parametrize(("wrong", "code"), [
    ("model a from b {}\nmodel b from a {}", "E0205"),
    ("model a from A100_80G {}", "E0207"),
    ("hardware a from A100_80G { price = base.prize }", "E0208"),
    ("hardware a { price = base.price }", "E0208"),
])  # fmt: skip
def test_wrong_derivations(wrong: str, code: str) -> None:
    assert [d.code for d in tsdl.check(wrong)] == [code]


@pytest.mark.parametrize(("text", "price"), [
    ("hardware h from A100_80G(price = 3 USD) { price = 2 * base.price }", 6),
    ("hardware g from A100_80G(price = 3 USD) {}\nhardware h from g { price = 2 * base.price }", 6),
    ("hardware b { compute.fp16 = 1 TFLOPS; memory { bandwidth = 1 TB/s; capacity = 80 GiB } }\n"
     "hardware h from b(price = 3 USD) { price = 2 * base.price }", 6),
    ("hardware g(p: money) from A100_80G(price = p) {}\n"
     "hardware h from g(4 USD) { price = 2 * base.price }", 8),
    ("hardware g from A100_80G { price = 1 USD }\nhardware h from g(price = 3 USD) {}", 3),
    ("hardware h from A100_80G, A100_80G(price = 3 USD) {}", 3),
])  # fmt: skip
def test_an_argument_of_a_base_sets_a_field_of_it(text: str, price: float) -> None:
    assert workers(text, "model = llama2_7b; cluster = single(h)").price == price


LINK = "link a(x = 1 GB/s) { bandwidth = x }\n"


@pytest.mark.parametrize("text", [
    "link z from a(2 GB/s), a(3 GB/s) {}",
    "link b from a(2 GB/s) {}\nlink z from a, b {}",
    "link b(y: bandwidth) from a(y) {}\nlink z from b(2 GB/s), b(3 GB/s) {}",
    "link z from a(bandwidth = 2 GB/s), a(bandwidth = 3 GB/s) {}",
])  # fmt: skip
def test_bases_that_are_called_with_other_arguments_disagree(text: str) -> None:
    assert [d.code for d in tsdl.check(LINK + text)] == ["E0405"]


@pytest.mark.parametrize("text", [
    "link b from a {}\nlink c from a {}\nlink z from b, c {}",
    "link b from a(2 GB/s) {}\nlink c from b {}\nlink d from b {}\nlink z from c, d {}",
    "link b(y: bandwidth) from a(y) {}\nlink z(x: bandwidth) from a(x), b(x) {}",
])  # fmt: skip
def test_bases_that_are_called_with_the_same_arguments_agree(text: str) -> None:
    assert not tsdl.check(LINK + text)
