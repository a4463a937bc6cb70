"""The fluid network against cases worked out by hand: who is there when, to the last bit."""

import random
from fractions import Fraction
from functools import partial
from itertools import pairwise

import pytest

import tsdl
from tests.invariants import rates_are_fair
from tests.watched_runs import watched
from tsdl.plan import Channel
from tsdl.runtime.clock import Clock
from tsdl.runtime.network import Flow, Network, Port, line, rates
from tsdl.runtime.system import System
from tsdl.runtime.times import IterationTimes
from tsdl.runtime.worker import Worker

Sent = tuple[float, int, tuple[Port, ...]]  # when, how many bytes, over which ports


def port(bandwidth: float = 100.0, latency: float = 0.0, *, fifo: bool = False) -> Port:
    return Port("port", bandwidth, latency, fifo)


def arrivals(*sent: Sent, extra: float = 0.0) -> list[float]:
    """Send all that; return when each was there."""
    clock = Clock()
    network = Network(clock)
    there = [-1.0] * len(sent)

    def begin(index: int) -> None:
        _, size, ports = sent[index]

        def done() -> None:
            there[index] = clock.now
            rates_are_fair(network)

        network.send(size, ports, extra, done)

    for index, (time, _, _) in enumerate(sent):
        clock.call(time, 1.0, partial(begin, index))
    clock.run()
    assert network.quiet
    return there


# -- one port ----------------------------------------------------------------------------------


def test_a_transfer_alone_has_the_whole_port() -> None:
    assert arrivals((0.0, 1000, (port(),))) == [10.0]
    assert arrivals((3.0, 1000, (port(),))) == [13.0]


def test_the_first_byte_takes_the_greatest_latency_on_the_way() -> None:
    slow, quick = port(latency=0.5), port(latency=0.25)
    assert arrivals((0.0, 1000, (slow, quick))) == [10.5]
    assert arrivals((0.0, 1000, (slow, quick)), extra=2.0) == [12.5]


def test_nothing_takes_no_more_than_its_latency() -> None:
    assert arrivals((1.0, 0, (port(latency=0.5),))) == [1.5]
    assert arrivals((1.0, 1000, ()), extra=0.25) == [1.25]


def test_latency_of_one_does_not_hold_up_another() -> None:
    """While the first byte is on its way nothing flows, and the port is another's."""
    shared = port(latency=5.0)
    alone = arrivals((0.0, 500, (shared,)))
    assert alone == [10.0]
    assert arrivals((0.0, 500, (shared,)), (5.0, 500, (shared,))) == [10.0, 15.0]


def test_two_at_once_share_a_fair_port() -> None:
    shared = port()
    assert arrivals((0.0, 1000, (shared,)), (0.0, 1000, (shared,))) == [20.0, 20.0]


def test_one_that_ends_frees_its_share() -> None:
    shared = port()
    assert arrivals((0.0, 500, (shared,)), (0.0, 1000, (shared,))) == [10.0, 15.0]


def test_one_that_begins_later_takes_its_share_from_then_on() -> None:
    shared = port()
    assert arrivals((0.0, 1000, (shared,)), (5.0, 1000, (shared,))) == [15.0, 20.0]


def test_three_share_a_fair_port() -> None:
    shared = port(300.0)
    sent: list[Sent] = [(0.0, 300, (shared,)), (0.0, 600, (shared,)), (0.0, 1500, (shared,))]
    # 100 each; from 3 s on 150 each; from 5 s on 300, with 900 left
    assert arrivals(*sent) == [3.0, 5.0, 8.0]


def test_first_come_first_served() -> None:
    shared = port(fifo=True)
    assert arrivals((0.0, 1000, (shared,)), (0.0, 500, (shared,))) == [10.0, 15.0]
    assert arrivals((1.0, 1000, (shared,)), (0.0, 500, (shared,))) == [15.0, 5.0]


def test_first_is_who_began_to_flow_first() -> None:
    """One that was sent first over a slower way begins later, and waits."""
    shared, far = port(fifo=True), port(1e9, latency=2.0)
    assert arrivals((0.0, 1000, (far, shared)), (1.0, 1000, (shared,))) == [21.0, 11.0]


def test_who_waits_its_turn_at_one_port_leaves_the_other_to_others() -> None:
    first, other = port(fifo=True), port()
    sent: list[Sent] = [(0.0, 1000, (first,)), (0.0, 1000, (first, other)), (0.0, 1000, (other,))]
    assert arrivals(*sent) == [10.0, 20.0, 10.0]


# -- several ports -----------------------------------------------------------------------------


def test_the_narrowest_port_counts() -> None:
    assert arrivals((0.0, 1000, (port(100.0), port(25.0), port(50.0)))) == [40.0]


def test_what_one_cannot_use_is_for_the_other() -> None:
    """Max-min: the second is held at 25 elsewhere, and the first has the 75 that are left."""
    shared, narrow = port(100.0), port(25.0)
    sent: list[Sent] = [(0.0, 750, (shared,)), (0.0, 500, (shared, narrow))]
    # at 10 s the first is there; the second goes on at 25
    assert arrivals(*sent) == [10.0, 20.0]


def test_who_is_sent_together_begins_with_one_event() -> None:
    clock, shared = Clock(), port()
    there: list[str] = []
    network = Network(clock)
    for name in ("first", "second"):
        network.send(1000, (shared,), 0.0, partial(there.append, name))
    assert len(clock._queue) == 1
    clock.run()
    assert (clock.now, there) == (20.0, ["first", "second"])


def test_a_chain_of_ports() -> None:
    """A long flow over both, and a short one on each: 50, 50 and 150."""
    one, two = port(100.0), port(200.0)
    flows = [(one, two), (one,), (two,)]
    assert rates([Flow(f, lambda: None, 1.0, 0.0) for f in flows]) == [50.0, 50.0, 150.0]


def test_a_port_that_is_on_the_way_twice_counts_once() -> None:
    twice = port()
    assert arrivals((0.0, 1000, (twice, twice))) == [10.0]


def test_both_directions_of_a_half_duplex_link_are_one_port() -> None:
    for duplex, ends in (("half", [20.0, 20.0]), ("full", [10.0, 10.0])):
        both = line("link", Channel("link", 100.0, 0.0, duplex, "fair"))
        assert arrivals((0.0, 1000, (both.out,)), (0.0, 1000, (both.into,))) == ends


def test_rates_are_those_of_growing_alike_until_a_port_is_full() -> None:
    chance = random.Random(3)
    for _ in range(200):
        ports = [port(float(chance.randint(1, 9) * 12)) for _ in range(chance.randint(1, 5))]
        ways = [
            tuple(chance.sample(ports, chance.randint(1, len(ports))))
            for _ in range(chance.randint(1, 7))
        ]
        found = rates([Flow(way, lambda: None, 1.0, 0.0) for way in ways])
        assert found == pytest.approx([float(rate) for rate in grown(ways)], rel=1e-12)


def grown(ways: list[tuple[Port, ...]]) -> list[Fraction]:
    """Return max-min fair rates by their definition, exactly."""
    rate = [Fraction(0)] * len(ways)
    growing = set(range(len(ways)))
    ports = list({id(p): p for way in ways for p in way}.values())
    while growing:
        steps = []
        for one in ports:
            users = [i for i, way in enumerate(ways) if one in way]
            live = [i for i in users if i in growing]
            if live:
                left = Fraction(one.bandwidth) - sum(rate[i] for i in users)
                steps.append((left / len(live), one))
        step = min(s for s, _ in steps)
        for i in growing:
            rate[i] += step
        full = [one for s, one in steps if s == step]
        growing = {i for i in growing if not any(one in ways[i] for one in full)}
    return rate


def test_a_network_is_the_same_each_time() -> None:
    chance = random.Random(4)
    sent: list[Sent] = []
    ports = [port(chance.uniform(1, 100), chance.random(), fifo=i == 0) for i in range(5)]
    for _ in range(200):
        way = tuple(chance.sample(ports, chance.randint(1, 4)))
        sent.append((chance.uniform(0, 50), chance.randint(0, 1000), way))
    first = arrivals(*sent)
    assert first == arrivals(*sent)
    assert all(end >= 0 for end in first)


def test_no_byte_is_faster_than_the_port() -> None:
    """Whatever arrives when, a port moves no more than its bandwidth."""
    chance = random.Random(5)
    shared = port(1000.0)
    sent: list[Sent] = [
        (chance.uniform(0, 1), chance.randint(1, 500), (shared,)) for _ in range(100)
    ]
    ends = arrivals(*sent)
    begun = min(time for time, _, _ in sent)
    for end in ends:
        moved = sum(size for (_, size, _), e in zip(sent, ends, strict=True) if e <= end)
        assert moved <= 1000.0 * (end - begun) * (1 + 1e-9)
    busy = sum(size for _, size, _ in sent) / 1000.0
    assert max(ends) >= busy
    assert all(a <= b for a, b in pairwise(sorted(ends)))


# -- clusters ----------------------------------------------------------------------------------

CLUSTER = """edition "2026"
link device {{ bandwidth = 1 GB/s }}
link rack_link {{ bandwidth = 3 GB/s; latency = 1 ms; duplex = {duplex} }}
cluster racks {{
  network = rack_link
  node rack * 3 {{ {ports}
    worker left  {{ hardware = A100_80G; link = device; parallel = tp(2) }}
    worker right {{ hardware = A100_80G; link = device }}
  }}
}}
workload some {{
  requests = 1; arrivals = burst(); prompt = constant(1 tokens); output = constant(1 tokens)
}}
scenario it {{ model = llama2_7b; cluster = racks; workload = some }}
"""


def racks(duplex: str = "full", ports: str = "", more: str = "") -> System:
    text = CLUSTER.format(duplex=duplex, ports=ports)
    plan = tsdl.compile(text.replace("bandwidth = 1 GB/s", f"bandwidth = 1 GB/s{more}"))
    return System(
        plan,
        Clock(),
        lambda index, group, node: Worker(
            index, plan.workers[group], node, IterationTimes(plan.workers[group])
        ),
    )


def test_workers_of_a_node_reach_each_other_by_their_ports() -> None:
    system = racks()
    left, right = system.workers[:2]
    assert system.route(left, right) == (system.ports[0].out, system.ports[1].into)
    assert [p.bandwidth for p in system.route(left, right)] == [2e9, 1e9]


@pytest.mark.parametrize("duplex", ["full", "half"])
def test_two_of_a_node_have_what_their_devices_have_between_them(duplex: str) -> None:
    system = racks(more=f"; pair = 0.25 GB/s; duplex = {duplex}")
    left, right, other = system.workers[:3]
    way, back = system.route(left, right), system.route(right, left)
    assert way[0] is system.ports[0].out
    assert way[2] is system.ports[1].into
    assert [port.bandwidth for port in way] == [2e9, 2 * 0.25e9, 1e9]
    assert way is not back
    assert (way[1] is back[1]) == (duplex == "half")
    assert system.route(left, right)[1] is way[1]
    assert len(system.route(left, other)) == 6  # over the network no two have a way of their own


def test_transfers_reach_a_share_of_a_link() -> None:
    system = racks(more="; transfer = 80 %; pair = 0.5 GB/s")
    way = system.route(*system.workers[:2])
    assert [port.bandwidth for port in way] == pytest.approx([1.6e9, 2 * 0.4e9, 0.8e9])


def test_other_nodes_are_reached_through_both_gates() -> None:
    system = racks()
    assert [w.node for w in system.workers] == [0, 0, 1, 1, 2, 2]
    one, other = system.workers[0], system.workers[5]
    gates = system.gates
    way = system.route(one, other)
    own, others = system.rails[0], system.rails[5]
    assert own
    assert others
    assert way == (
        system.ports[0].out, own.out, gates[0].out,
        gates[2].into, others.into, system.ports[5].into,
    )  # fmt: skip
    # A port for each of the three devices of a node, two of which are those of one worker.
    assert [p.bandwidth for p in way] == [2e9, 2 * 3e9, 3 * 3e9, 3 * 3e9, 3e9, 1e9]


@pytest.mark.parametrize(
    ("ports", "gate", "rails"),
    [(1, 3e9, [None, None]), (2, 6e9, [4e9, 3e9]), (6, 18e9, [12e9, 6e9])],
)
def test_a_node_says_how_many_ports_it_has(
    ports: int, gate: float, rails: list[float | None]
) -> None:
    """Of which a worker has its share by devices, and one at least."""
    system = racks(ports=f"ports = {ports};")
    assert system.gates[1].out.bandwidth == gate
    assert [rail and rail.out.bandwidth for rail in system.rails[:2]] == rails


def test_a_node_has_a_port_to_the_network_for_each_of_its_devices_or_as_many_as_it_says() -> None:
    text = """
      cluster racks {{
        network = Ethernet_10G
        node one {{
          {ports} worker a * 3 {{ hardware = A100_80G }}
          worker b {{ hardware = A100_80G; parallel = tp(4) }}
        }}
        node two {{ worker c {{ hardware = A100_80G }} }}
      }}
      scenario s {{ model = llama2_7b; cluster = racks; workload = sharegpt }}
    """
    for ports, wanted in (("", 7), ("ports = 2;", 2)):
        plan = tsdl.compile(text.format(ports=ports))
        gates = [kind.network.bandwidth / (0.83 * 1.25e9) for kind in plan.workers if kind.network]
        assert gates == pytest.approx([wanted, wanted, 1])


def test_a_half_duplex_gate_is_one_port() -> None:
    gates = racks("half").gates
    assert all(gate.out is gate.into for gate in gates.values())


@pytest.mark.parametrize(("duplex", "factor"), [("full", 1), ("half", 2)])
def test_ring_of_three_nodes(duplex: str, factor: int) -> None:
    """Each node sends 4.5 GB to the next, full duplex: the gates of 3 GB/s are not shared."""
    system = racks(duplex, "ports = 1;")
    lefts = system.workers[::2]
    for worker in lefts:
        port = system.ports[worker.id]
        port.out.bandwidth = port.into.bandwidth = 1e12
    there: list[float] = []
    for index, one in enumerate(lefts):
        way = system.route(one, lefts[(index + 1) % 3])
        system.network.send(4_500_000_000, way, 0.0, lambda: there.append(system.clock.now))
    system.clock.run()
    assert there == pytest.approx([0.001 + 1.5 * factor] * 3, rel=1e-12)


def test_a_run_over_a_network_is_the_same_each_time() -> None:
    text = CLUSTER.format(duplex="half", ports="ports = 1;").replace(
        "requests = 1;", "requests = 9;"
    )
    plan = tsdl.compile(text)
    assert watched(plan).summary == plan.run().summary
