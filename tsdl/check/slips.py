"""What people write where it means nothing, and what they meant: names, fields, lists, calls."""

from collections.abc import Iterator

from tsdl import ast
from tsdl.check.scope import Scope
from tsdl.formula import percentile_of
from tsdl.program import Members, Program
from tsdl.schema import BATCH_FEATURES, METRICS, OF_A_WORKER, RECORD_FUNCTIONS, RECORDS, TOTALS
from tsdl.schema.stages import AMBIENT
from tsdl.types import Boolean, Record, Sequence, Text, Type

_USUAL = {"r": "request", "w": "worker", "batch": "batch", "layer": "layer"}
RULES = ("admit", "evict", "resume", "queue")

# Names that are known in one stage, or in handlers of some events: (stage, name), `*` for any.
_ELSEWHERE = {
    ("global", "w"): "the global stage knows all `workers`: `for w in workers { … }`, or "
    "`let w = pick(v by v.queued for v in workers)`",
    ("global", "kv"): "memory is that of a worker: `w.kv`",
    ("local", "pending"): "known in the global stage only: those that no worker took",
    ("local", "workers"): "known in the global stage only; here there is the worker `w`",
    ("*", "r"): "no single request is meant here: `for r in w.active { … }`",
    ("*", "batch"): "a handler of `iteration(batch, w)` knows the `batch`",
    ("*", "layer"): "a handler of a breakpoint knows the `layer`",
}

# Numbers of the running system that stand for a list of the same thing.
_LISTS = {
    ("worker", "running"): "active",
    ("worker", "queued"): "waiting",
    ("batch", "prefills"): "prefilling",
    ("batch", "decodes"): "decoding",
}


def of_name(name: str, scope: Scope) -> str | None:
    """Return what to write in place of a name that means nothing here."""
    place = scope.place
    if place is None:
        running = _of_a_running_stage(name, scope) or _of_a_request(name, scope)
        return running or of_points(name, scope)
    if place.event == "budget" and name in _OF_THOSE_WHO_RUN:
        return f"no batch is known while it is asked: {_OF_THOSE_WHO_RUN[name]}"
    holders = [
        f"`{variable}.{name}`"
        for variable, type_ in reversed(scope.locals.items())
        if isinstance(type_, Record) and name in RECORDS[type_.name]
    ]
    if holders:
        return f"did you mean {' or '.join(holders)}?"
    called = [v for v, record in place.variables.items() if record == _USUAL.get(name)]
    if called:
        return f"the {_USUAL[name]} is called `{called[0]}` here"
    if place.event == "let" and name in ("r", "batch"):
        what = _USUAL[name]
        return f"a `let` of a stage is about no {what}: a clause that names `{name}` may say it"
    if name in place.within:
        return "a variable is known behind its `let`, within the same braces"
    return (
        _of_a_state(name, place.stage, scope)
        or _of_the_batch(name, place.stage, place.event)
        or _ELSEWHERE.get((place.stage, name))
        or _ELSEWHERE.get(("*", name))
        or _of_a_group(name, scope.program)
    )


# What `budget` may ask of a worker in place of features of a batch that is not put together yet.
_OF_THOSE_WHO_RUN = {
    "decodes": "`count(q for q in w.active if q.generated > 0)`, or `w.running`",
    "prefills": "`count(q for q in w.active if q.generated == 0)`, or `w.queued`",
    "requests": "`w.running`",
}


def _of_a_running_stage(name: str, scope: Scope) -> str | None:
    """Say why a field of a stage does not know what its handlers do."""
    block = next((b for b in scope.blocks if b.shape.kind in AMBIENT), None)
    own = scope.own
    if block is None or own is None:
        return None
    inner = scope.blocks[0].shape
    state = ("state", name) in block.parts
    if not state and name not in AMBIENT[block.shape.kind] and name not in _USUAL:
        return None
    field = inner.fields.get(own) or inner.open_field
    what = (
        "knows the features of a batch alone"
        if field is not None and field.formula
        else "must be known before the run"
    )
    return (
        f"`{own}` {what}; {'state' if state else f'`{name}`'} belongs to handlers and to "
        "clauses such as `admit`"
    )


def _of_a_request(name: str, scope: Scope) -> str | None:
    """Say what a condition on each request may read, where it asks for something else of it."""
    if not scope.each or name not in {*RECORDS["request"], "r"}:
        return None
    if name == "r":
        return f"{scope.each}: write its metrics and attributes by their names, `tenant == 1`"
    return f"{scope.each}, by its metrics: {', '.join(of_requests())}"


def of_points(name: str, scope: Scope) -> str | None:
    """Say why what makes the points of a study does not know a `let` of it."""
    members = scope.owner.members if scope.owner.kind == "study" else None
    if members is None or scope.blocks or name not in members.lets:
        return None
    return f"`{name}` is a `let`, computed at each point; params alone say which points there are"


def of_requests() -> list[str]:
    """Return the metrics that have a value for each request."""
    return [n for n, (type_, _) in METRICS.items() if getattr(type_, "each", "") == "request"]


def of_other_stage(name: str, scope: Scope) -> str | None:
    """Say that a name is state of the policy's other stage, where it is."""
    return _of_a_state(name, scope.place.stage, scope) if scope.place else None


def _of_a_state(name: str, stage: str, scope: Scope) -> str | None:
    other = "global" if stage == "local" else "local"
    members = scope.owner.members
    block = members.block(other) if members else None
    if block is None or ("state", name) not in block.parts:
        return None
    return f"`{name}` is state of the {other} stage, and each stage has its own"


def _of_the_batch(name: str, stage: str, event: str) -> str | None:
    if name in OF_A_WORKER:
        others = ", its `overlap` and the formulas of costs" if name == "devices" else ""
        return f"only `overhead`, `eager` and `host_time` of a policy{others} know `{name}`"
    if name != "batch" and name not in BATCH_FEATURES:
        return None
    if event in RULES:
        return "no batch is known while it is asked who joins it"
    if stage == "model":
        return "which layers it is must be known before the run: by `layer` and the model's fields"
    if name == "batch":
        return None
    return f"a handler of `iteration(batch, w)` knows `batch.{name}`"


def _of_a_group(name: str, program: Program) -> str | None:
    if name not in groups_of(program):
        return None
    return f'that is what some workers are called: choose them by `w.group == "{name}"`'


def groups_of(program: Program) -> list[str]:
    """Return the names of all `worker` blocks: of the program's own clusters, if it has any."""
    every = [d for d in program.declarations if d.kind == "cluster"]
    own = [d for d in every if not d.module.library] or every
    clusters = [d.members for d in own if d.members]
    return list(dict.fromkeys(name for members in clusters for name in _workers(members)))


def _workers(members: Members) -> Iterator[str]:
    yield from (worker.name for worker in members.named("worker"))
    for node in members.named("node"):
        yield from (worker.name for worker in node.named("worker"))


def of_a_run(name: str, scope: Scope) -> str:
    """Return where something has its place that only a run that is done has; "" of what else."""
    measured = name in METRICS or name in TOTALS or percentile_of(name) is not None
    measured = measured or (name == "mean" and scope.owner.kind == "study")
    if scope.metrics or not measured:
        return ""
    if scope.owner.kind == "study" and name in ("priority", "prompt", "output"):
        which = "a statistic says which requests it is of"
        return f"params alone are known here; {which}: `p99(ttft, where = {name} == …)`"
    if scope.owner.kind == "study":
        return "params alone are known here; `table`, `while`, `expect` and so on ask it of a run"
    return "only a run that is done has it: `expect` asks for it, and `table` of a study"


def of_field(expression: ast.Attribute, record: str, scope: Scope) -> str | None:
    """Return what to write in place of `value.name`, where a record has no such field."""
    name, written = expression.name, expression.value.span.text
    for holder, functions in RECORD_FUNCTIONS.items():
        if name in functions:
            argument = _request(scope) if holder == record else written
            front = written if holder == record else holder
            return f"call it: `{front}.{name}({argument})`"
    stage = scope.place.stage if scope.place else ""
    if scope.place and _swapped(name, written, record, scope.place.variables):
        meant = " and then ".join(f"the {other}" for other in scope.place.variables.values())
        return f"`{written}` is the {record} here: `{scope.place.event}` names {meant}"
    state = _of_a_state(name, stage, scope) if record == "worker" else None
    if state:
        return f"{state}: declare `state {name}: …[worker]` here, and read `{name}[{written}]`"
    return None


def _request(scope: Scope) -> str:
    """Return the innermost variable that is a request."""
    requests = [v for v, type_ in scope.locals.items() if type_ == Record("request")]
    return requests[-1] if requests else "r"


def _swapped(field: str, written: str, record: str, variables: dict[str, str]) -> bool:
    """Tell whether a variable has the name of another record, and a field of that one is read."""
    meant = _USUAL.get(written)
    return (
        written in variables
        and meant not in (None, record)
        and field in RECORDS.get(meant or "", ())
    )


def of_text(expression: ast.Attribute, holder: Type, scope: Scope) -> str | None:
    """Return what to write in place of a field of a text: `w.hardware.price`."""
    inner = expression.value
    if not isinstance(holder, Text) or not isinstance(inner, ast.Attribute):
        return None
    owner = scope.program.types.get(inner.value)
    known = isinstance(owner, Record) and expression.name in RECORDS[owner.name]
    front = inner.value.span.text
    return f"`{inner.span.text}` is a name" + (f"; write `{front}.{expression.name}`" * known)


_COPIES = frozenset({"dp", "ddp", "data", "data_parallel", "replicas"})


def of_parallelism(expression: ast.Call, name: str) -> str:
    """Return what to write in place of a parallelism that there is not; "" of what else."""
    if name not in _COPIES:
        return ""
    count = expression.arguments[0].span.text if expression.arguments else "2"
    return f"copies of a model are workers of their own: `worker NAME * {count} {{ … }}`"


def of_mean(expression: ast.Call) -> str:
    """Return what to write in place of a mean of what is in a list; "" of what else."""
    match expression:
        case ast.Call(
            function=ast.Name(id="mean" | "avg" | "average"),
            arguments=[ast.Argument(value=ast.Generator(keys=()) as listed)],
        ):
            rest = f"for {listed.variable} in {listed.iterable.span.text}"
            rest += f" if {listed.condition.span.text}" if listed.condition else ""
            total = f"sum({listed.element.span.text} {rest})"
            return f"write `{total} / count({listed.variable} {rest})`"
    return ""


def of_share(condition: ast.Expr, found: Type) -> str:
    """Return how to ask of which share of requests a condition holds; "" of what else."""
    if found != Boolean("request"):
        return ""
    text = condition.span.text
    shown = f"({text})" if isinstance(condition, ast.Conditional) else text
    return f"the share of those for which it holds is `mean(1 if {shown} else 0)`"


def of_selection(name: str, scope: Scope) -> str:
    """Return how a function is written that goes over a list."""
    local = scope.place is not None and scope.place.stage == "local"
    each, listed, number = ("q", "w.active", "q.context") if local else ("w", "workers", "w.queued")
    inside = {
        "pick": f"{each} by {number}",
        "any": f"{number} > 0",
        "all": f"{number} > 0",
        **dict.fromkeys(("sum", "min", "max"), number),
    }.get(name, each)
    example = f"`{name}({inside} for {each} in {listed})`"
    if name == "random":
        return f"it chooses one of a list, {example}, and makes no number"
    return f"write {example}"


_TAKES = {"arrivals": "`arrivals` of a workload", "parallel": "`parallel` of a worker"}


def of_construct(expression: ast.Call, family: str, scope: Scope) -> str:
    """Return where something that a constructor makes has its place."""
    if family in _TAKES:
        return f"{_TAKES[family]} is one"
    name = scope.owner.name if scope.owner.kind == "attribute" else "tenant"
    block = f"`attributes {{ {name} = {expression.span.text} }}`"
    if scope.owner.kind == "attribute":
        return f"a workload draws it: {block}; behind `=` is what it has without"
    return f"a workload draws: its `prompt`, `output` and so on, and attributes, {block}"


def of_work(expression: ast.Expr, scope: Scope) -> str:
    """Return how to measure work that is a plain number in a formula of a cost; "" of what else."""
    names = [node.id for node in ast.walk(expression) if isinstance(node, ast.Name)]
    of_a_cost = any(block.shape.kind == "cost" for block in scope.blocks)
    name = next((name for name in names if name in _WORK and name in scope.symbols), None)
    if name is None or not of_a_cost:
        return ""
    what, unit = _WORK[name]
    return f"`{name}` is a plain number of {what} here: write `{name} * 1 {unit}`"


_BYTES = ("bytes", "B")
_WORK = {"flops": ("operations", "FLOP"), "bytes": _BYTES, "wire": _BYTES, "remote": _BYTES}


def of_list(expression: ast.Expr, scope: Scope) -> str:
    """Return which lists there are, where something else was to be gone over."""
    if isinstance(expression, ast.Attribute):
        holder = scope.program.types.get(expression.value)
        record = holder.name if isinstance(holder, Record) else ""
        meant = _LISTS.get((record, expression.name))
        if meant:
            return f"that is how many; the list is `{expression.value.span.text}.{meant}`"
    return "lists are `workers`, `w.waiting`, `w.active`, `batch.decoding` and so on"


def of_index(expression: ast.Index, scope: Scope) -> str:
    """Return what to write in place of an index of something that has none."""
    if scope.metrics and scope.axes is None:
        return "which requests are meant says `where`: `p99(ttft, where = priority == 0)`"
    name = expression.value
    found = scope.locals.get(name.id) if isinstance(name, ast.Name) else None
    if isinstance(found, Sequence):
        listed, number = name.span.text, expression.arguments[0].span.text
        if found.of == Record("worker"):
            return (
                "a list has no numbers: choose by that of the worker, "
                f"`pick(w by 0 for w in {listed} if w.id == {number})`"
            )
        return f"a list has no numbers: choose by a key, `pick(w by w.id for w in {listed})`"
    state = of_other_stage(name.id, scope) if isinstance(name, ast.Name) else None
    return state or "`[…]` after a name reads declared state, in handlers and clauses of a stage"
