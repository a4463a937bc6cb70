"""Devices that share a model and stand apart: what goes by the link, and what by the network."""

import math

import numpy as np
import pytest

import tsdl
from tests.models_on_devices import amount, decodes, kernel, prompt
from tsdl.plan import Kernel, Workers

MODELS = {
    "dense": "llama3_8b",
    "sparse": "qwen3_30b_a3b",
    "small": "eighths",
    "grouped": "deepseek_v3",
}
# A domain of four: 100 GB/s within, 10 GB/s for each device beyond it.
LINKS = """
link near { bandwidth = 100 GB/s; most = 4 devices
  collective { latency = 2 us; bandwidth = 50 %; sharpness = 1 } }
link far  { bandwidth = 10 GB/s
  collective { latency = 30 us; bandwidth = 80 %; sharpness = 1
    latency_factor = devices * ranks / 8 } }
"""
SMALL = "model eighths from qwen3_30b_a3b { compute_dtype = fp8 }"
LAUNCH = 2.5e-6


def workers_of(cluster: str, model: str = "dense") -> Workers:
    plan = tsdl.compile(f"""edition "2026"
hardware huge from H100_SXM {{ memory.capacity = 4 TiB; link = near }}
{LINKS}
{SMALL}
cluster apart {{ network = far; {cluster} }}
scenario s {{ model = {MODELS[model]}; cluster = apart; policy = continuous; workload = sharegpt }}
""")
    return plan.workers[0]


def seconds(part: Kernel, tokens: int) -> float:
    batch = decodes(tokens, 9)
    batch.peer_tokens = tokens
    return amount(part.time, batch)


def sent(part: Kernel, tokens: int) -> tuple[float, float]:
    batch = decodes(tokens, 9)
    batch.peer_tokens = tokens
    return amount(part.wire, batch), amount(part.remote, batch)


def test_an_all_reduce_beyond_a_domain_takes_the_ports_of_all_its_devices() -> None:
    """A ring in each domain of four; each device adds a quarter to that of the other domain."""
    cost = workers_of("worker gpu { hardware = huge; parallel = tp(8) }").cost
    part = kernel(cost, "out.all_reduce")
    data = 512 * 4096 * 2
    assert sent(part, 512) == (2 * 3 / 4 * data, data / 4)
    # Both at once: the network is what takes longer.
    expected = 30e-6 + data / 4 / (0.8 * 10e9) + LAUNCH
    assert math.isclose(seconds(part, 512), expected, rel_tol=1e-12)


def test_within_a_domain_nothing_goes_over_the_network() -> None:
    cost = workers_of("worker gpu { hardware = huge; parallel = tp(4) }").cost
    part = kernel(cost, "down.all_reduce")
    wire = 2 * 3 / 4 * 512 * 4096 * 2
    assert sent(part, 512) == (wire, 0)
    assert math.isclose(seconds(part, 512), 2e-6 + wire / 50e9 + LAUNCH, rel_tol=1e-12)


@pytest.mark.parametrize(("devices", "reached"), [(2, 30e9), (4, 90e9), (8, 90e9)])
def test_where_each_has_a_way_to_each_other_few_have_few_ways(devices: int, reached: float) -> None:
    """Of eight in two domains, too, each has three ways within its own."""
    text = f"""edition "2026"
{LINKS}
hardware huge from H100_SXM {{ memory.capacity = 4 TiB }}
link paired from near {{ pair = 30 GB/s }}
link instant from far {{ bandwidth = 1 PB/s; collective {{ latency = 0 s }} }}
cluster apart {{
  network = instant; worker gpu {{ hardware = huge; link = paired; parallel = tp({devices}) }}
}}
scenario s {{ model = llama3_8b; cluster = apart; policy = continuous; workload = sharegpt }}
"""
    part = kernel(tsdl.compile(text).workers[0].cost, "out.all_reduce")
    near = min(devices, 4)
    wire = 2 * (near - 1) / near * 512 * 4096 * 2
    expected = 2e-6 + wire / (0.5 * reached) + LAUNCH
    assert math.isclose(seconds(part, 512), expected, rel_tol=1e-12)


def test_a_link_that_is_slower_than_the_network_decides() -> None:
    slow = "worker gpu { hardware = huge; link = crawling; parallel = tp(8) }"
    text = f"""edition "2026"
{LINKS}
hardware huge from H100_SXM {{ memory.capacity = 4 TiB }}
link crawling from near {{ bandwidth = 1 GB/s }}
cluster apart {{ network = far; {slow} }}
scenario s {{ model = llama3_8b; cluster = apart; policy = continuous; workload = sharegpt }}
"""
    part = kernel(tsdl.compile(text).workers[0].cost, "out.all_reduce")
    wire = 2 * 3 / 4 * 512 * 4096 * 2
    assert math.isclose(seconds(part, 512), 2e-6 + wire / 0.5e9 + LAUNCH, rel_tol=1e-12)


@pytest.mark.parametrize(("ports", "share"), [(2, 0.25), (8, 1), (16, 2)])
def test_devices_share_the_ports_of_their_node(ports: int, share: float) -> None:
    node = f"node host {{ ports = {ports}; worker gpu {{ hardware = huge; parallel = tp(8) }} }}"
    part = kernel(workers_of(node).cost, "out.all_reduce")
    data = 512 * 4096 * 2
    between, within = 30e-6 + data / 4 / (0.8 * 10e9 * share), 2e-6 + 1.5 * data / 50e9
    expected = max(between, within) + LAUNCH
    assert math.isclose(seconds(part, 512), expected, rel_tol=1e-12)


@pytest.mark.parametrize(
    ("cluster", "ranks", "domains"),
    [
        ("node host * 2 { worker rank * 4 { PARALLEL } }", 4, 1),  # each node has its own
        ("node host * 2 { worker rank * 4 { PARALLEL } }", 8, 2),
        ("node host * 4 { worker rank * 2 { PARALLEL } }", 8, 4),
        ("node host { worker rank * 8 { PARALLEL } }", 8, 2),  # the link connects four
        ("node host * 2 { worker rank * 3 { PARALLEL } }", 2, 2),  # the second pair is apart
        ("worker rank * 8 { PARALLEL }", 8, 8),  # each is a node of its own
    ],
)
def test_ranks_tell_each_other_over_as_many_domains_as_they_stand_in(
    cluster: str, ranks: int, domains: int
) -> None:
    parallel = f"hardware = huge; parallel = ep(1, ranks = {ranks})"
    cost = workers_of(cluster.replace("PARALLEL", parallel), "sparse").cost
    data = (ranks - 1) * 16 * 2048 * 2
    beyond = domains / ranks if domains > 1 else 0
    for name in ("ranks_in.gather", "ranks_out.gather"):
        assert sent(kernel(cost, name), 16) == (data * (1 - beyond), data * beyond)


def test_ranks_of_several_devices_have_their_own_devices_near() -> None:
    node = "node host * 2 { worker rank * 2 { hardware = huge; parallel = ep(2, ranks = 4) } }"
    cost = workers_of(node, "sparse").cost
    assert sent(kernel(cost, "out.all_reduce"), 16) == (16 * 2048 * 2, 0)
    data = 3 * 16 * 2048 * 2
    assert sent(kernel(cost, "ranks_in.gather"), 16) == (data / 2, data / 2)


SPREAD = (
    "node host * 2 { worker rank * 4 {"
    " hardware = huge; parallel = ep(1, ranks = 8, exchange = all_to_all) } }"
)


@pytest.mark.parametrize("way", ["in", "out"])
def test_tokens_of_decodes_go_to_the_devices_of_their_experts(way: str) -> None:
    """Of eight experts of a token, on eight devices each, half are in the other domain."""
    cost = workers_of(SPREAD, "sparse").cost
    rows = 16 * 8 * 2048 * 2
    few, gather = (kernel(cost, f"ranks_{way}.{part}") for part in ("few", "gather"))
    assert sent(few, 16) == (rows * (1 / 2 - 1 / 8), rows / 2)
    assert seconds(gather, 16) == 0


def test_tokens_of_prefills_go_once_to_each_domain_and_device() -> None:
    """Eight choices among eight devices hit 8 (1 − (7/8)^8); one of two domains but in 2^-8."""
    cost = workers_of(SPREAD, "sparse").cost
    batch = prompt(16)
    batch.peer_tokens = 16
    part = kernel(cost, "ranks_in.many")
    size = 16 * 2048 * 2
    assert math.isclose(amount(part.remote, batch), size * (1 - 1 / 2**8), rel_tol=1e-12)
    hit = 8 * (1 - (7 / 8) ** 8)
    # Those of its own domain, and what comes there from the other, but to where it has come.
    assert math.isclose(
        amount(part.wire, batch), size * hit * (3 / 8 + 1 / 2 * 3 / 4), rel_tol=1e-12
    )


@pytest.mark.parametrize("nodes", [1, 2, 4, 8])
def test_tokens_whose_experts_are_in_few_groups_go_to_fewer_domains(nodes: int) -> None:
    """As tokens that are drawn: four of eight groups, of whose 128 experts eight, on 2n domains."""
    ranks, domains = 8 * nodes, 2 * nodes
    spread = f"hardware = huge; parallel = ep(1, ranks = {ranks}, exchange = all_to_all)"
    node = f"node host * {nodes} {{ worker rank * 8 {{ {spread} }} }}"
    batch = prompt(16)
    batch.peer_tokens = 16
    part = kernel(workers_of(node, "grouped").cost, "ranks_out.many")
    of_domains = amount(part.remote, batch) / (16 * 7168 * 2) / (domains - 1)

    random = np.random.default_rng(1)
    share = of_devices = 0.0
    for _ in range(4000):
        groups = random.choice(8, 4, replace=False)
        of_these = (groups[:, None] * 32 + np.arange(32)).ravel()
        experts = random.choice(of_these, 8, replace=False)
        share += len(set(experts * domains // 256)) / domains / 4000
        of_devices += len(set(experts * ranks // 256)) / ranks / 4000
    assert math.isclose(of_domains, share, rel_tol=0.05)
    # To others of its own domain, and where a token has come to, to others there.
    near = 1 / domains - 1 / ranks + (1 - 1 / domains) * (1 - domains / ranks)
    wire = amount(part.wire, batch) / (16 * 7168 * 2) / ranks / near
    assert math.isclose(wire, of_devices, rel_tol=0.05)


def test_ranks_of_more_devices_than_a_domain_have_stand_in_all_of_theirs() -> None:
    """Two ranks of eight, in four domains of four: three quarters go to others."""
    node = (
        "node host * 2 { worker rank {"
        " hardware = huge; parallel = ep(8, ranks = 2, exchange = all_to_all) } }"
    )
    part = kernel(workers_of(node, "sparse").cost, "ranks_in.few")
    rows = 16 / 8 * 8 * 2048 * 2
    assert sent(part, 16) == (rows * (1 / 4 - 1 / 16), rows * 3 / 4)


def test_tokens_go_out_in_the_format_that_experts_compute_in_and_come_back_in_the_models() -> None:
    cost = workers_of(SPREAD, "small").cost
    out, back = (sent(kernel(cost, f"ranks_{way}.few"), 16)[1] for way in ("in", "out"))
    assert back == 2 * out


def test_a_pipeline_sends_by_the_network_where_the_next_stage_stands_in_another_domain() -> None:
    worker = workers_of("worker gpu { hardware = huge; parallel = tp(2, stages = 4) }")
    sends = [kernel(cost, "send", "") for cost in worker.pipeline[:-1]]
    data = 2 * 16 * 4096 * 2 / 2
    assert [sent(part, 16) for part in sends] == [(data, 0), (0, data), (data, 0)]
    # Two devices of a stage: their all-reduces stay near.
    assert sent(kernel(worker.pipeline[1], "out.all_reduce"), 16) == (16 * 4096 * 2, 0)
