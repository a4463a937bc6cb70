"""Names that expressions may use: functions, constructors, records, metrics."""

from msgspec.structs import replace

from tsdl.schema.shapes import Constructor, Field, quantity
from tsdl.types import Boolean, Bounds, Choice, Quantity, Samples, Sequence, Type
from tsdl.units import Dimension

# Functions of numbers. `same`: arguments and result share a dimension; `number`: plain numbers.
# The first number is how few arguments it takes, the second how many (None: any).
FUNCTIONS: dict[str, tuple[str, int, int | None, str]] = {
    "min": ("same", 1, None, "the least"),
    "max": ("same", 1, None, "the greatest"),
    "abs": ("same", 1, 1, "the absolute value"),
    "clamp": ("same", 3, 3, "clamp(x, low, high)"),
    "round_up": ("same", 2, 2, "round_up(x, step): the least multiple of step that is ≥ x"),
    "mod": ("same", 2, 2, "mod(a, b): what is left of a after whole b"),
    "floor": ("number", 1, 1, "the greatest whole number ≤ x"),
    "ceil": ("number", 1, 1, "the least whole number ≥ x"),
    "sqrt": ("number", 1, 1, "the square root"),
    "log2": ("number", 1, 1, "the logarithm to base 2"),
    "round_up_to": ("list", 2, 2, "round_up_to(x, list): the least of the list ≥ x, else x"),
}

# Functions of a generator over a list: what they choose or add up.
SELECTORS = {
    "pick": "the one with the least key, among equals by the next one; at last the first",
    "random": "one of them, each as likely as the other",
    "round_robin": "the next in turn among those that qualify",
}
REDUCTIONS = {
    "sum": "the sum",
    "count": "how many",
    "any": "whether one",
    "all": "whether all",
    "min": "the least",
    "max": "the greatest",
}

DRAWN = Dimension.of("drawn")  # stands for the dimension of what a distribution draws
_ANY = Quantity(DRAWN)


def _drawn(doc: str, *, required: bool = False) -> Field:
    return Field(_ANY, doc, required=required, low=0)


_EXCHANGE = Field(
    Choice(("all_gather", "all_to_all")),
    "how tokens get to the experts of other ranks: all of them to every device, as usual, or each "
    "to the devices of its experts",
)
MOST_DEVICES = 65_536  # of a worker: nothing is shared among more
_DEVICES = Field(
    quantity("devices"), "devices of a worker", required=True, low=1, high=MOST_DEVICES, whole=True
)
_RANKS = Field(quantity(), "workers that share experts", "1", low=1, high=MOST_DEVICES, whole=True)
_STAGES = Field(quantity(), "parts of the model, one after another", "1", low=1, whole=True)
_RATE = Field(quantity("requests/time"), "mean arrival rate", required=True, low=0, above=True)

CONSTRUCTORS: dict[str, dict[str, Constructor]] = {
    "distribution": {
        "constant": Constructor(
            "distribution", "always the same", {"value": _drawn("the value", required=True)}
        ),
        "uniform": Constructor(
            "distribution",
            "each value of a range is as likely",
            {"range": Field(Bounds(_ANY), "`low..high`, both included", required=True)},
        ),
        "normal": Constructor(
            "distribution",
            "the normal distribution, cut to [min, max]",
            {
                "mean": _drawn("mean before the cut", required=True),
                "deviation": _drawn("standard deviation before the cut", required=True),
                "min": _drawn("values below are set to it"),
                "max": _drawn("values above are set to it"),
            },
        ),
        "lognormal": Constructor(
            "distribution",
            "exp of a normal; `mean` is that of the lognormal itself, before the cut",
            {
                "mean": _drawn("mean before the cut", required=True),
                "sigma": Field(quantity(), "deviation of the logarithm", required=True, low=0),
                "min": _drawn("values below are set to it"),
                "max": _drawn("values above are set to it"),
            },
        ),
        "exponential": Constructor(
            "distribution",
            "memoryless",
            {
                "mean": _drawn("mean before the cut", required=True),
                "min": _drawn("values below are set to it"),
                "max": _drawn("values above are set to it"),
            },
        ),
        "zipf": Constructor(
            "distribution",
            "a whole number from 1 to `n`, k as often as k ** -exponent says: few of them are most",
            {
                "n": Field(
                    quantity(), "how many there are", required=True, low=1, high=1e6, whole=True
                ),
                "exponent": Field(
                    quantity(), "0 makes all alike, 1 is Zipf's law", "1", low=0, high=10
                ),
            },
        ),
        "quantiles": Constructor(
            "distribution",
            "values at equally spaced probabilities from 0 to 1, straight lines between them",
            {"values": Field(Sequence(_ANY), "at least two, never decreasing", required=True)},
        ),
        "choice": Constructor(
            "distribution",
            "one of several, by weight: `choice(1: 50 %, uniform(2..7): 50 %)`",
            {},
            variadic="weighted",
        ),
    },
    "arrivals": {
        "poisson": Constructor("arrivals", "independent arrivals", {"rate": _RATE}),
        "uniform": Constructor("arrivals", "one every 1 / rate", {"rate": _RATE}),
        "gamma": Constructor(
            "arrivals",
            "gamma-distributed gaps: cv 1 is Poisson, more comes in bursts",
            {
                "rate": _RATE,
                "cv": Field(
                    quantity(), "deviation of the gaps over their mean", "1", low=0.001, high=1000
                ),
            },
        ),
        "burst": Constructor(
            "arrivals",
            "`size` requests at once, every `every` (all at time zero where it is left out)",
            {
                "size": Field(quantity("requests"), "requests in a burst", low=1, whole=True),
                "every": Field(quantity("time"), "from one burst to the next", low=0, above=True),
            },
        ),
        "on_off": Constructor(
            "arrivals",
            "Poisson at `rate` for `on`, at `low` for `off`, in turn",
            {
                "rate": _RATE,
                "on": Field(
                    quantity("time"), "how long at `rate`", required=True, low=0, above=True
                ),
                "off": Field(quantity("time"), "how long at `low`", required=True, low=0),
                "low": Field(quantity("requests/time"), "the rate while off", "0 req/s", low=0),
            },
        ),
        "piecewise": Constructor(
            "arrivals",
            "Poisson at each of the rates for `every`, one after another, over and over",
            {
                "rates": Field(
                    Sequence(quantity("requests/time")), "none negative, not all 0", required=True
                ),
                "every": Field(
                    quantity("time"), "how long at each", required=True, low=0, above=True
                ),
            },
        ),
    },
    "parallel": {
        "tp": Constructor(
            "parallel",
            "tensor parallelism: operators are sharded over this many devices, experts over those "
            "of `ranks` workers that go in lock-step",
            {
                "devices": _DEVICES,
                "ranks": _RANKS,
                "stages": _STAGES,
            },
        ),
        "pp": Constructor(
            "parallel",
            "pipeline parallelism: layers are divided over devices one after another; "
            "`pp(n)` is `tp(1, stages = n)`",
            {"stages": replace(_STAGES, required=True, default=None)},
        ),
        "ep": Constructor(
            "parallel",
            "expert parallelism: as `tp`, but experts are divided whole, over `ranks` workers that "
            "go in lock-step; `imbalance` is the work of the busiest device over the mean",
            {
                "devices": _DEVICES,
                "ranks": _RANKS,
                "imbalance": Field(quantity(), "busiest device over the mean", "1", low=1),
                "stages": _STAGES,
                "exchange": _EXCHANGE,
                "redundant": Field(
                    quantity(), "further copies of experts, of all in one", "0", low=0, whole=True
                ),
            },
        ),
    },
}

_TIME, _TOKENS = Quantity(Dimension.of("time")), Quantity(Dimension.of("tokens"))

# One value per finished request, or per gap for `itl`. SPEC.md, section 9, defines each.
METRICS: dict[str, tuple[Type, str]] = {
    "ttft": (Samples(_TIME), "time to first token, from arrival"),
    "tpot": (Samples(_TIME), "(last token − first token) / (output − 1)"),
    "itl": (Samples(_TIME, each="gap"), "gaps between tokens, of all requests together"),
    "mtpot": (Samples(_TIME), "the largest gap of a request"),
    "e2e": (Samples(_TIME), "arrival to last token"),
    "queue": (Samples(_TIME), "arrival to the start of the first iteration"),
    "transfer": (Samples(_TIME), "from its hand-overs until its KV was there"),
    "prompt": (Samples(_TOKENS), "tokens of the prompt"),
    "output": (Samples(_TOKENS), "tokens generated"),
    "priority": (Samples(quantity()), "as the workload drew it, or its file has it; else 0"),
    "arrival": (Samples(_TIME), "when it arrived, from the begin of the run"),
    "turn": (Samples(quantity()), "which round of its conversation it is, from 0"),
    "cached": (Samples(_TOKENS), "tokens that were found or fetched rather than computed"),
    "preempted": (Samples(quantity()), "how often it was preempted"),
}
TOTALS: dict[str, tuple[Type, str]] = {
    "attainment": (quantity(), "share of counted arrivals that met every bound of the SLO"),
    "goodput": (quantity("requests/time"), "requests that met the SLO, per second of makespan"),
    "throughput": (quantity("requests/time"), "finished requests per second of makespan"),
    "token_throughput": (quantity("tokens/time"), "generated tokens per second of makespan"),
    "total_token_throughput": (
        quantity("tokens/time"),
        "tokens of prompts and answers of finished requests, per second of makespan",
    ),
    "token_throughput_per_device": (
        quantity("tokens/time"),
        "token_throughput over all devices, as many as there may be",
    ),
    "makespan": (quantity("time"), "first counted arrival to last token"),
    "arrived": (quantity("requests"), "counted arrivals"),
    "finished": (quantity("requests"), "counted and finished"),
    "rejected": (quantity("requests"), "counted and rejected"),
    "unfinished": (quantity("requests"), "counted, neither finished nor rejected at the end"),
    "preemptions": (quantity(), "preemptions of all workers"),
    "failures": (quantity(), "how often workers failed"),
    "utilization": (quantity(), "share of time that workers were busy, mean over workers"),
    "kv_peak": (quantity(), "highest fill of any worker's KV cache"),
    "transferred": (quantity("data"), "bytes of KV that went from worker to worker"),
    "hit_rate": (
        quantity(),
        "share of the tokens asked of tiers and KV caches that they had",
    ),
    "acceptance_length": (
        quantity("tokens"),
        "tokens that a request gains in an iteration that verifies drafts, in the mean",
    ),
    "price": (quantity("money"), "of all devices"),
    "energy": (quantity("energy"), "of all devices, by what they were busy with"),
    "energy_per_token": (quantity("energy/tokens"), "energy over generated tokens"),
    "cost": (quantity("money"), "of the run: of devices by time, and of their electricity"),
    "cost_per_million_tokens": (quantity("money"), "cost over millions of generated tokens"),
    "carbon": (quantity("carbon"), "emissions of the electricity"),
    "carbon_per_token": (quantity("carbon/tokens"), "emissions over generated tokens"),
    "steady": (Boolean(), "whether requests do not pile up, as far as a run can tell (W0902)"),
}
# Totals that may be of some requests alone: `attainment(where = priority == 0)`.
BY_REQUEST = (
    "attainment", "goodput", "throughput", "token_throughput", "total_token_throughput", "arrived",
    "finished", "rejected", "unfinished",
)  # fmt: skip
SHARES = frozenset({"attainment", "utilization", "kv_peak", "hit_rate"})  # totals from 0 to 1
STATISTICS = {
    "mean": "the mean",
    "min": "the least",
    "max": "the greatest",
    "sum": "the sum; 0 of nothing",
}
