"""Energy, money and carbon of runs that are worked out by hand, and beside measured power.

The device is an A100 of the library with what these tests reckon with written out: 60 W idle, 300 W
in iterations that only decode, 400 W in the others; 8760 USD over a year are a dollar an hour. A
kilowatt-hour costs 0.36 USD and 360 g, so that a joule of the site costs 1e-7 USD and 1e-4 g. An
iteration takes a second.
"""

import csv
import json
import math
from pathlib import Path
from statistics import fmean

import pytest

import tsdl
from tests.by_hand import FILE, USUAL, Row, Run, run_plan
from tests.test_gangs import pair
from tests.test_pipeline import piped
from tsdl.runtime.files import summary_json
from tsdl.runtime.text import summary

HOUR, YEAR = 3600, 365 * 24 * 3600
BOX = """hardware box from A100_80G {{ host = slow; {hardware} }}
site here {{ {site} }}"""
CLUSTER = "cluster few {{ site = here; "
MEANT = {
    "hardware": "power { idle = 60 W; decode = 300 W; peak = 400 W }; price = 8760 USD; "
    "lifetime = 1 year",
    "site": "electricity = 0.36 USD/kWh; carbon = 360 gCO2/kWh; pue = 2",
}
LIMIT = 400  # watts of an A100: the measurements give shares of it


def plan(**given: object) -> tsdl.Plan:
    text = FILE.replace("hardware box from A100_80G {{ host = slow }}", BOX)
    text = text.replace("cluster few {{ ", CLUSTER)
    return tsdl.compile(text.format(**(USUAL | MEANT | given)))


def run(rows: list[Row], **given: object) -> Run:
    return run_plan(plan(**given), rows)


# -- energy ------------------------------------------------------------------------------------


def test_prompts_draw_the_peak_and_decodes_what_is_said_of_them() -> None:
    one = run([(0, 8, 3)])
    assert one.iterations[0] == ["0 A+8", "1 A", "2 A"]
    assert one.result.totals["energy"] == 400 + 300 + 300
    assert one.result.totals["energy_per_token"] == 1000 / 3
    (worker,) = one.result.summary["workers"]
    assert (worker["busy"], worker["prefilling"], worker["energy"]) == (3, 1, 1000)


def test_immense_amounts_keep_the_table_in_shape() -> None:
    told = summary(run([(0, 8, 3)], hardware="price = 1e99 USD; lifetime = 1 year").result)
    assert "e+91 USD" in told
    assert max(map(len, told.splitlines())) < 120


def test_an_idle_device_draws_too() -> None:
    two = run([(0, 8, 3), (10, 8, 1)])
    assert two.result.summary["end"] == 11
    assert two.result.totals["energy"] == 1000 + 7 * 60 + 400


def test_an_iteration_with_a_prompt_and_decodes_draws_the_peak() -> None:
    two = run([(0, 8, 3), (0.5, 8, 1)], policy="chunked")
    assert two.iterations[0] == ["0 A+8", "1 B+8 A", "2 A"]
    assert two.result.totals["energy"] == 400 + 400 + 300


def test_left_out_decodes_draw_the_peak() -> None:
    one = run([(0, 8, 3)], hardware="power { idle = 60 W; peak = 400 W; decode = peak }")
    assert one.result.totals["energy"] == 3 * 400
    bare = tsdl.compile(
        "hardware own { compute { fp16 = 1 TFLOPS }; memory { capacity = 80 GiB; bandwidth = "
        "1 TB/s }; power { peak = 123 W } }\n"
        "scenario s { model = llama2_7b; cluster = single(own); workload = sharegpt }"
    )
    assert bare.workers[0].decode_power == 123


@pytest.mark.parametrize(("until", "drawn"), [(0.5, 200), (1.5, 550), (2.5, 850)])
def test_what_is_in_flight_at_the_end_counts_so_far(until: float, drawn: float) -> None:
    cut = plan(more=f"until = {until} s", local="", cost="constant_cost(1 s)")
    rows: list[Row] = [(0, 8, 9)]
    assert run_plan(cut, rows).result.totals["energy"] == drawn
    text = cut.to_json()
    assert summary_json(tsdl.Plan.from_json(text).run()) == summary_json(cut.run())


def test_devices_of_a_worker_all_draw() -> None:
    one, two = run([(0, 8, 3)]), run([(0, 8, 3)], worker="parallel = tp(2)")
    assert two.result.totals["energy"] == 2 * one.result.totals["energy"]
    assert two.result.totals["cost"] == pytest.approx(2 * one.result.totals["cost"], rel=1e-12)


def test_workers_that_wait_draw_idle_power() -> None:
    two = run([(0, 8, 3)], workers=2)
    assert [w["energy"] for w in two.result.summary["workers"]] == [1000, 3 * 60]
    assert two.result.totals["energy"] == 1180


def test_time_in_a_pipeline_belongs_to_the_iteration_that_ends_next() -> None:
    """Ends: A's prompt at 3, B's at 5, then their decodes at 7, 9, 11 and 13."""
    local = "max_tokens = 4 tokens; max_requests = 4"
    two = piped([(0, 4, 3), (0, 4, 3)], 1, 2, local=local).result.summary["workers"][0]
    assert (two["busy"], two["prefilling"]) == (13, 5)
    cut = piped([(0, 4, 3), (0, 4, 3)], 1, 2, local=local, more="until = 4 s")
    assert cut.result.summary["workers"][0]["prefilling"] == 4


def test_a_stage_of_a_pipeline_draws_while_it_computes() -> None:
    """One request: a prompt and two decodes of 1 s and 2 s in the stages, which take turns."""
    idle, decode, peak = 60, 300, 400
    one = piped([(0, 4, 3)], 1, 2, hardware=MEANT["hardware"])
    first = 3 * 2 * idle + 1 * peak + 2 * decode
    second = 3 * 1 * idle + 2 * peak + 4 * decode
    assert one.result.totals["energy"] == pytest.approx(first + second, rel=1e-12)
    # Cut within the first stage's first decode, which began at 3.
    cut = piped([(0, 4, 3)], 1, 2, more="until = 3.5 s", hardware=MEANT["hardware"])
    assert cut.result.totals["energy"] == pytest.approx(
        (2.5 - 0.5) * idle + peak + 0.5 * decode + 1.5 * idle + 2 * peak, rel=1e-12
    )


def test_a_rank_draws_for_what_it_computes_itself() -> None:
    """Both take part in each other's iterations: the second has a prompt in the first alone."""
    two = pair([(0, 16, 3), (0, 4, 3)], cost="constant_cost(1 s)").result.summary["workers"]
    assert [(w["busy"], w["prefilling"]) for w in two] == [(3, 1), (3, 1)]
    one = pair([(0, 16, 3)], cost="constant_cost(1 s)").result.summary["workers"]
    assert [(w["busy"], w["prefilling"]) for w in one] == [(3, 1), (3, 0)]


@pytest.mark.parametrize("batching", ["continuous", "chunked", "static"])
def test_both_engines_tell_prompts_from_decodes(batching: str) -> None:
    """Prompts of several chunks, decodes beside them and alone, waiting: to the last bit."""
    mixed = tsdl.compile(
        "workload some { requests = 300; arrivals = poisson(3 req/s); prompt = exponential(mean = "
        "900 tokens); output = exponential(mean = 90 tokens) }\n"
        f"policy own from {batching} {{ local {{ max_tokens = 512 tokens }} }}\n"
        "scenario s { model = llama2_7b; cluster = single(A100_80G); workload = some\n"
        "policy = own }"
    )
    slow, fast = (summary_json(mixed.run(engine=name)) for name in ("reference", "fast"))
    assert slow == fast
    (worker,) = json.loads(fast)["workers"]
    assert 0 < worker["prefilling"] < worker["busy"]


# -- money and carbon --------------------------------------------------------------------------


def test_a_price_is_spread_over_the_lifetime_and_electricity_comes_on_top() -> None:
    totals = run([(0, 8, 3)]).result.totals
    assert totals["cost"] == pytest.approx(3 / HOUR + 1000 * 2 * 1e-7, rel=1e-12)
    assert totals["cost_per_million_tokens"] == pytest.approx(totals["cost"] / 3e-6, rel=1e-12)
    assert totals["price"] == 8760


def test_a_rent_counts_in_place_of_price_and_electricity() -> None:
    totals = run([(0, 8, 3)], hardware=MEANT["hardware"] + "; rent = 3.6 USD/h").result.totals
    assert totals["cost"] == pytest.approx(0.003, rel=1e-12)
    assert totals["cost_per_million_tokens"] == pytest.approx(1000, rel=1e-12)
    assert totals["price"] == 8760
    free = run([(0, 8, 3)], hardware="rent = 0 USD/h").result.totals
    assert free["cost"] == 0
    rented = run([(0, 8, 3)], hardware="rent = 3.6 USD/h; price = 0 USD").result.totals
    assert rented["cost"] > 0
    assert math.isnan(rented["price"])  # nobody has said what it costs to buy


def test_carbon_is_of_the_energy_of_the_site() -> None:
    totals = run([(0, 8, 3)]).result.totals
    assert totals["carbon"] == pytest.approx(1000 * 2 * 1e-4, rel=1e-12)
    assert totals["carbon_per_token"] == pytest.approx(totals["carbon"] / 3, rel=1e-12)


def test_tokens_of_the_warm_up_and_of_the_unfinished_count() -> None:
    """Energy and cost are of the whole run, and so are the tokens that they are divided by."""
    cut = run([(0, 8, 2), (5, 8, 9)], warmup=1, more="until = 8 s").result
    assert cut.summary["requests"]["warmup"] == 1
    assert cut.totals["energy_per_token"] == cut.totals["energy"] / (2 + 3)


def test_twice_the_price_or_the_load_does_what_it_should() -> None:
    """Cost is linear in each price; the same machine for twice the tokens halves cost by token."""
    one = run([(0, 8, 3)]).result.totals
    site = "electricity = 0.72 USD/kWh; carbon = 720 gCO2/kWh; pue = 2"
    dear = run([(0, 8, 3)], site=site, hardware=MEANT["hardware"].replace("8760", "17_520"))
    assert dear.result.totals["cost"] == pytest.approx(2 * one["cost"], rel=1e-12)
    assert dear.result.totals["carbon"] == pytest.approx(2 * one["carbon"], rel=1e-12)
    full = run([(0, 8, 3), (0, 8, 3)]).result.totals
    assert full["energy"] == one["energy"]
    assert full["cost_per_million_tokens"] == pytest.approx(
        one["cost_per_million_tokens"] / 2, rel=1e-12
    )


def test_a_year_of_an_idle_device_costs_its_price_and_its_idle_power() -> None:
    """One request now, one after a year: a sum that anyone can check on the back of an envelope."""
    totals = run([(0, 8, 1), (YEAR - 1, 8, 1)], more="sample = 1 day").result.totals
    drawn = 60 * YEAR + 2 * 340
    assert totals["energy"] == pytest.approx(drawn, rel=1e-12)
    assert totals["cost"] == pytest.approx(8760 + drawn * 2e-7, rel=1e-12)


# -- what is not known -------------------------------------------------------------------------

KNOWN = {"energy", "cost", "carbon"}


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({}, KNOWN),
        ({"hardware": "power { peak = 0 W }"}, set()),
        ({"hardware": "power { peak = 0 W }; rent = 1 USD/h"}, {"cost"}),
        ({"hardware": "price = 0 USD"}, {"energy", "carbon"}),
        ({"site": "carbon = 360 gCO2/kWh"}, {"energy", "carbon"}),
        ({"site": "electricity = 0.36 USD/kWh"}, {"energy", "cost"}),
    ],
)
def test_what_is_not_said_makes_a_total_unknown(given: dict[str, str], known: set[str]) -> None:
    more = "\n".join(f"expect {name} >= {low}" for name, low in [
        ("energy", "0 J"), ("cost", "0 USD"), ("carbon", "0 gCO2"),
        ("energy_per_token", "0 J/token"), ("cost_per_million_tokens", "0 USD"),
        ("carbon_per_token", "0 gCO2/token"),
    ])  # fmt: skip
    result = run([(0, 8, 3)], more=more, **given).result
    told = result.summary["cluster"]
    assert {name for name in KNOWN if told[name] is not None} == known
    assert {name for name in KNOWN if not math.isnan(result.totals[name])} == known
    passed = {e.condition.text.split()[0] for e in result.expectations if e.passed}
    assert {name.split("_per_")[0] for name in passed} == known
    text = summary(result)
    assert text.count("cannot be known") == 2 * (3 - len(known))


def test_nothing_by_token_is_known_where_there_are_no_tokens() -> None:
    none = run([(0, 5000, 1)]).result
    assert none.totals["cost"] == 0
    assert none.summary["cluster"]["cost_per_million_tokens"] is None


def test_a_plan_from_elsewhere_costs_something() -> None:
    told = json.loads(plan().to_json())
    told["workers"][0]["upkeep"] = -1
    with pytest.raises(ValueError, match="costs so much a second"):
        tsdl.Plan.from_json(json.dumps(told))


# -- beside measurements -----------------------------------------------------------------------


def _measured(path: Path, devices: int, batch: int) -> float:
    """Return the mean share of its limit that a device drew: prompts of 512, 128 tokens."""
    with path.open(encoding="utf-8", newline="") as file:
        return fmean(
            float(row["average_power"])
            for row in csv.DictReader(file)
            if row["model"] == "llama2-70b"
            and (int(row["tensor_parallel"]), int(row["batch_size"])) == (devices, batch)
            and (row["prompt_size"], row["token_size"]) == ("512", "128")
        )


@pytest.mark.parametrize(
    ("devices", "low", "high"), [(2, 1.02, 1.05), (4, 1.2, 1.3), (8, 1.7, 1.8)]
)
@pytest.mark.parametrize("batch", [1, 2, 4, 8, 16])
def test_a100s_draw_what_was_measured_where_they_are_well_used(
    data: Path, devices: int, low: float, high: float, batch: int
) -> None:
    """Llama 2 70B on A100, times of iterations as measured; SPEC.md, section 9.2, has the ratios.

    Of more devices each waits longer for launches and the others, and draws less while it does.
    """
    path = data / "measured" / "operators-a100" / "end-to-end-iterations.csv"
    if not path.is_file():
        pytest.skip("needs the operators of the A100")
    measured = _measured(path, devices, batch)
    assert low <= _simulated(path, devices, batch) / measured <= high


def _simulated(path: Path, devices: int, batch: int) -> float:
    """Return the share of their limit that devices draw in a run as measured."""
    totals = (
        tsdl.compile(
            "cluster few { worker gpu { hardware = A100_80G; parallel = "
            f'tp({devices}); cost = splitwise("{path}", "llama2-70b") }} }}\n'
            f"workload burst_of {{ requests = {batch}; arrivals = burst(size = {batch}); "
            "prompt = constant(512 tokens); output = constant(128 tokens) }\n"
            "scenario s { model = llama2_70b; cluster = few; workload = burst_of }"
        )
        .run()
        .totals
    )
    return totals["energy"] / (totals["makespan"] * devices * LIMIT)


@pytest.mark.parametrize(
    ("power", "told"),
    [
        ("idle = 900 W", "`power.idle` must be at most `power.peak`, which is 400 W, and is 900 W"),
        (
            "idle = 350 W",
            "`power.idle` must be at most `power.decode`, which is 300 W, and is 350 W",
        ),
        (
            "decode = 401 W",
            "`power.decode` must be at most `power.peak`, which is 400 W, and is 401 W",
        ),
        ("idle = 400 W; decode = 400 W", ""),
        ("idle = 60 W; peak = 0 W", ""),  # as much as to say that it is not known
    ],
)
def test_a_device_draws_no_more_when_it_waits(power: str, told: str) -> None:
    found = tsdl.check(f"""
hardware known from A100_80G {{ power {{ idle = 60 W; decode = 300 W; peak = 400 W }} }}
hardware box from known {{ power {{ {power} }} }}
workload few from sharegpt(rate = 1 req/s) {{ requests = 5 }}
scenario s {{ model = llama2_7b; cluster = single(box); workload = few }}
""")
    assert [(d.code, d.title) for d in found] == ([("E0503", told)] if told else [])
