"""Plans read from JSON: they may come from anywhere, so they are held to what a run counts on."""

import json
from math import inf

from tsdl import formula
from tsdl.interpolation import check_grid
from tsdl.plan import (
    FORMAT,
    MOST_BYTES,
    WORK,
    Channel,
    Cost,
    Global,
    Local,
    Plan,
    Workers,
    of_stage,
)
from tsdl.planbounds import check_bounds
from tsdl.planconditions import check_condition
from tsdl.planhandlers import DEEPEST, WORDS, Statement
from tsdl.planjson import decoded, unshared
from tsdl.planworkload import MOST_STEPS, Draw, Workload
from tsdl.pythonsource import TABLE, is_name
from tsdl.schema import CONSTRUCTORS, EVENTS, RECORDS, TAKEN, Block
from tsdl.schema.hardware import LINK
from tsdl.schema.names import MOST_DEVICES
from tsdl.schema.scenarios import MOST_TEXTS, SCENARIO, SHORTEST
from tsdl.schema.serving import LOCAL, WORKER
from tsdl.types import Choice

Keys = tuple[str, ...]

# What each distribution, and each way to arrive, is drawn with; some have more, which may lack.
_DRAWN = {
    "constant": ("value",),
    "uniform": ("low", "high", "step"),
    "normal": ("mean", "deviation"),
    "lognormal": ("mean", "sigma"),
    "exponential": ("mean",),
    "between": ("low", "high"),
    "zipf": ("n", "exponent"),
    "quantiles": (),
    "choice": (),
}
_ARRIVING = {
    "poisson": ("rate",),
    "uniform": ("rate",),
    "gamma": ("rate", "cv"),
    "burst": (),
    "on_off": ("rate", "low", "on", "off"),
    "piecewise": ("every",),
}
# Statements that are about things of the running system, and so hold no number.
_OF_THINGS = (
    "dispatch", "transfer", "submit", "preempt", "reject", "drop", "store", "fetch", "demote",
    "prefetch",
)  # fmt: skip


def read_plan(text: str) -> Plan:
    """Return what `Plan.to_json` wrote. Raises ValueError for anything else.

    Formulas become Python source: what is not of their closed set of operations and names is
    refused here.
    """
    try:
        data = json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("this is not a plan: nested too deeply") from None
    form = data.get("format") if isinstance(data, dict) else None
    if form != FORMAT:
        told = f", but of {form}: compile its program anew" if isinstance(form, int) else ""
        raise ValueError(f"this is not a plan of format {FORMAT}, which this TSDL reads{told}")
    try:
        plan: Plan = decoded(Plan, unshared(data))
        _check_ranges(plan)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"this is not a plan: {error}") from error
    return plan


def _refuse(constant: str) -> float:
    raise ValueError(f"this is not a plan: {constant} is not a number")


def _check_workload(workload: Workload) -> None:
    """See that what is drawn can be. Raises ValueError."""
    own = [attribute.draw for attribute in workload.attributes]
    for attribute in workload.attributes:
        known = range(len(attribute.names))
        if known and not (attribute.draw.name == "rows" and {*attribute.draw.values} <= {*known}):
            raise ValueError(f"{attribute.name!r} has numbers that stand for no text")
    for draw in (workload.priority, *own):
        rows = len(draw.values) if draw is not None and draw.name == "rows" else None
        if rows is not None and (workload.table is None or rows != len(workload.table.prompt)):
            raise ValueError("priorities or attributes are of other rows than those of the table")
    if not 0 < (workload.prefixes or 1) <= MOST_TEXTS:
        raise ValueError("prompts begin with so many texts, or with none")
    if workload.parts:
        raise ValueError("a workload that is mixed is no part of another")
    if workload.arrivals is None and not (workload.replay and workload.table is not None):
        raise ValueError("a workload says nothing of when its requests arrive")
    count = workload.requests if workload.turns is None else workload.sessions
    if not workload.replay and count is None and workload.duration is None:
        raise ValueError("a workload says nothing of when its requests end")
    if workload.table is None and (workload.prompt is None or workload.output is None):
        raise ValueError("a workload says nothing of how long its requests are")
    drawn = [workload.prompt, workload.output, workload.turns, workload.think, workload.prefix]
    drawn += [draw for draw in (workload.priority, *own) if draw and draw.name != "rows"]
    for draw in drawn:
        if draw is not None:
            _check_draw(draw, _DRAWN)
    if workload.arrivals is not None:
        _check_draw(workload.arrivals, _ARRIVING)


def _check_draw(draw: Draw, known: dict[str, tuple[str, ...]]) -> None:
    given = dict(draw.parameters)
    if draw.name not in known or not given.keys() >= set(known[draw.name]):
        raise ValueError(f"there is no {draw.name!r} of {', '.join(given) or 'nothing'}")
    if draw.name == "quantiles" and not draw.values:
        raise ValueError("quantiles need values")
    if draw.name == "piecewise" and not (sum(draw.values) > 0 <= min(draw.values)):
        raise ValueError("rates are not negative, and not all zero")
    if draw.name == "choice" and not 0 < len(draw.parts) == len(draw.values):
        raise ValueError("a choice is one of several, each with its weight")
    if draw.name == "zipf" and not _is_zipf(given["n"], given["exponent"]):
        raise ValueError("`zipf` cannot have such a number")
    if any(given.get(name, 1) <= 0 for name in ("step", "rate", "cv", "size", "every", "n")):
        raise ValueError(f"`{draw.name}` cannot have such a number")
    if not 0 <= draw.steps <= MOST_STEPS:
        raise ValueError("a range has too many steps, or none")
    for part in draw.parts:
        _check_draw(part, known)


def _is_zipf(n: float, exponent: float) -> bool:
    bounds = CONSTRUCTORS["distribution"]["zipf"].parameters
    most, steepest = bounds["n"].high, bounds["exponent"].high
    assert most is not None
    assert steepest is not None
    return 1 <= n <= most and n == int(n) and 0 <= exponent <= steepest


_COPIES = ("chunks", "blocks")


def _check_workers(kind: Workers) -> None:
    """See that what workers do goes together. Raises ValueError."""
    names = [offload.name for offload in kind.offloads]
    if len({*names, ""}) <= len(names) or any(o.count < 1 or o.memory < 0 for o in kind.offloads):
        raise ValueError("offloads have names of their own, devices and memory")
    kernels = [k for stage in kind.cost.stages for k in stage.kernels]
    if not {kernel.on for kernel in kernels} <= {*names, ""}:
        raise ValueError("a kernel is where no offload is")
    if kind.ranks > MOST_DEVICES:
        raise ValueError("so many workers do not share experts")
    local = kind.local
    if type(local.budget) in (bool, str):
        raise ValueError("the budget of a policy is no number")
    conditions = (local.admit_when, local.evict_when, local.resume_when)
    if any(type(condition) in (int, float, str) for condition in conditions):
        raise ValueError("a condition of a policy is a number or a text")
    if isinstance(kind.kv.footprint, (int, float)) and kind.kv.footprint < 0:
        raise ValueError("a request holds less than no memory")
    kv, states = kind.kv, (kind.kv.copied, kind.kv.state)
    block = max(kv.block_tokens * kv.bytes_per_token, 1) if kv.shares else 1
    if not 0 <= kv.copied <= kv.state <= MOST_BYTES or any(state % block for state in states):
        raise ValueError("no request keeps such a state, or not in whole blocks that are shared")
    if all(states) != any(states) or kv.copies not in _COPIES:
        raise ValueError("of a state there are copies, behind chunks or blocks")
    if any(efficiency.extra < 0 for efficiency in kind.efficiencies):
        raise ValueError("a launch takes less than no time")
    if any(min(b.kv) < 0 or not b.kv[0] <= b.kv[2] < inf or not b.kv[2] for b in kind.breakpoints):
        raise ValueError("at a breakpoint there is no such share of the KV")
    if kind.breakpoints and (kind.ranks > 1 or kind.pipeline):
        raise ValueError("workers in lock-step, or of several stages, stop at no breakpoint")
    if kind.pipeline and (kind.ranks > 1 or kind.local.asynchronous or kind.swap):
        raise ValueError("a pipeline does not go with what else its workers do")
    if kind.fewest is not None and (not 0 <= kind.fewest <= kind.count or kind.ranks > 1):
        raise ValueError("so few workers cannot be up")
    if not (0 <= kind.start < inf and 0 <= kind.repair < inf):
        raise ValueError("a worker cannot take so long to start, or to be repaired")
    if kind.failures is not None and kind.ranks > 1:
        raise ValueError("ranks in lock-step do not fail")


def _check_ranges(plan: Plan) -> None:
    """See that the numbers that a run loops over are what they can be. Raises ValueError."""
    stages = [kind.local for kind in plan.workers]
    counts = [n for s in stages for n in (s.max_requests, s.max_tokens)]
    counts += [n for kind in plan.workers for n in (kind.count, kind.ranks)]
    durations = [kind.duration for kind in plan.workload.kinds]
    times = [t for t in (plan.until, *durations) if t is not None]
    everything: tuple[Local | Global, ...] = (*stages, plan.router)
    intervals = [h.every for s in everything for h in s.handlers if h.every is not None]
    intervals += [s.window for stage in everything for s in stage.states if s.window is not None]
    intervals += [] if plan.sample is None else [plan.sample]
    wrong = any(t <= 0 for t in times) or any(t < SHORTEST for t in intervals)
    if not plan.workers or min(counts) < 1 or wrong or plan.seed < 0:
        raise ValueError("a count, a time or the seed is out of range")
    rates = [rate for kind in plan.workers for rate in (kind.rent, kind.upkeep)]
    if any(not 0 <= rate < inf for rate in rates if rate is not None):
        raise ValueError("no worker costs so much a second")
    for kind in plan.workers:
        _check_workers(kind)
        if kind.failures is not None:
            _check_draw(kind.failures, _DRAWN)
    for each in plan.workload.kinds:
        _check_workload(each)
    mixed = plan.workload.parts
    closed = any(each.concurrency is not None for each in (plan.workload, *mixed))
    if mixed and (closed or len({part.name for part in mixed}) < len(mixed)):
        raise ValueError(
            "workloads that are mixed are no closed loops, and have names of their own"
        )
    _check_asked(plan)
    costs = [cost for kind in plan.workers for cost in (kind.cost, *kind.pipeline)]
    for cost in costs:
        kernels = [kernel for stage in cost.stages for kernel in stage.kernels]
        numbers = [getattr(k, name) for k in kernels for name in (*WORK, "time")]
        if any(isinstance(number, str) for number in (*numbers, *cost.beside)):
            raise ValueError("a time, or the work of a kernel, is a text")
        if any(type(stage.divided) in (int, float, str) for stage in cost.stages):
            raise ValueError("whether an iteration is divided in two is no condition")
    if any(stage.repeat < 0 for cost in costs for stage in cost.stages):
        raise ValueError("a block of the model repeats less than no time")
    for cost in costs:
        _check_tables(cost)
    for stage in everything:
        _check_names(stage)
    _check_words(plan)
    check_bounds(plan)


def _check_asked(plan: Plan) -> None:
    """See that conditions ask for what runs have, and that requests have it. Raises ValueError."""
    names = [[a.name for a in each.attributes] for each in plan.workload.kinds]
    if any(each != sorted({*names[0]}) for each in names):
        raise ValueError("attributes stand in the order of their names, the same in all workloads")
    told = [[a.names for a in each.attributes] for each in plan.workload.kinds]
    if any(each != told[0] for each in told):
        raise ValueError("texts of attributes are numbered alike in all workloads")
    if not all(name.isidentifier() and name not in TAKEN["attribute"] for name in names[0]):
        raise ValueError("an attribute has a name of its own")
    stages: tuple[Global | Local, ...] = (plan.router, *(kind.local for kind in plan.workers))
    for part in formula.every_part(*(value for stage in stages for value in of_stage(stage))):
        if part.operation == "attribute" and part.arguments[1] not in names[0]:
            raise ValueError(f"requests have no {part.arguments[1]!r}")
    fields = {f"r.{name}" for name in (*RECORDS["request"], *names[0])}
    fields |= {f"w.{name}" for name in RECORDS["worker"]}
    for read in (name for stage in stages if stage.extern for name in stage.extern.reads):
        if read not in fields:
            raise ValueError(f"a policy in Python cannot read {read!r}")
    own = [metric.name for metric in plan.metrics]
    if not all(name.isidentifier() and name not in TAKEN["metric"] for name in own):
        raise ValueError("a metric has a name of its own")
    if own != sorted({*own}):
        raise ValueError("metrics stand in the order of their names")
    for bound in plan.slo:
        check_condition(bound, names[0], own, each=True)
    for expected in plan.expects:
        check_condition(expected, names[0], own, each=False)


def _check_words(plan: Plan) -> None:
    """See that whatever is one of a few words is: a run would take another for the usual one.

    Raises ValueError.
    """
    _check_choices(plan, SCENARIO, ("timeseries",))
    points: set[str] = set()
    for kind in plan.workers:
        _check_choices(kind, WORKER, ("handoff",))
        _check_choices(kind.local, LOCAL, ("batching", "preempt", "queue"))
        others = (offload.link for offload in kind.offloads)
        for link in filter(None, (kind.link, kind.port, kind.network, kind.host, *others)):
            _check_choices(link, LINK, ("duplex", "sharing"))
        here = {point.event for point in kind.breakpoints}
        _check_events(kind.local, "local", here)
        points |= here
    _check_events(plan.router, "global", points)
    for tier in plan.tiers:
        if tier.link is not None:
            _check_choices(tier.link, LINK, ("duplex", "sharing"))


def _check_choices(thing: Plan | Workers | Local | Channel, block: Block, keys: Keys) -> None:
    for key in keys:
        known, word = block.fields[key].type, getattr(thing, key)
        if not isinstance(known, Choice) or word not in known.names:
            raise ValueError(f"`{key}` is not {word!r}")


def _check_events(stage: Local | Global, where: str, points: set[str]) -> None:
    for handler in stage.handlers:
        known = EVENTS.get(handler.event)
        if handler.event not in points and (known is None or where not in known.stages):
            raise ValueError(f"the {where} stage has no event {handler.event!r}")


def _check_tables(cost: Cost) -> None:
    """See that tables can be read, and that formulas ask what there is. Raises ValueError."""
    axes = {table.name: len(table.axes) for table in cost.tables}
    if len(axes) < len(cost.tables) or not all(is_name(f"{TABLE}{name}") for name in axes):
        raise ValueError("tables have names of their own")
    for table in cost.tables:
        if not table.axes:
            raise ValueError(f"the table {table.name!r} has no axes")
        check_grid(table.grid, len(table.axes))
    times = [kernel.time for stage in cost.stages for kernel in stage.kernels]
    for asked in formula.every_part(*times, *cost.beside):
        if asked.operation == "table" and axes.get(str(asked.arguments[0])) != len(
            asked.arguments[1:]
        ):
            raise ValueError(f"there is no table {asked.arguments[0]!r} of so many axes")


def _depth(body: tuple[Statement, ...]) -> int:
    """Return how deep statements are nested."""
    return max((1 + max(_depth(s.body), _depth(s.otherwise)) for s in body), default=0)


def _check_names(stage: Local | Global) -> None:
    """See that what becomes Python source is held to plain names. Raises ValueError."""
    names = [s.name for s in stage.states]
    if any(_depth(h.body) > DEEPEST for h in stage.handlers):
        raise ValueError("a handler is nested too deeply")
    for handler in stage.handlers:
        names += handler.variables
        if (handler.every is not None) != (handler.event == "every"):
            raise ValueError("a handler of a timer, and no other, has its seconds")
        if type(handler.when) in (int, float, str):
            raise ValueError("the condition of a handler is a number or a text")
    for statement in (s for handler in stage.handlers for s in handler.statements()):
        wanted = WORDS.get(statement.word, -1)
        if wanted is not None and wanted != len(statement.values):
            raise ValueError(f"there is no statement {statement.word!r} of such values")
        if statement.word in ("let", "for", "set", "add"):
            names.append(statement.name)
        of_things = statement.word in _OF_THINGS
        if of_things and any(type(v) in (int, float, bool) for v in statement.values):
            raise ValueError(f"`{statement.word}` is about a request or a worker, not a number")
        if statement.word == "prefetch" and not isinstance(statement.values[1], str):
            raise ValueError("`prefetch` names the tier to which it copies")
    for name in names:
        if not is_name(name):
            raise ValueError(f"{name!r} is not a name")
