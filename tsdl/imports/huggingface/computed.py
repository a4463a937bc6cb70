"""What a model comes to in the language: its parameters, and the same one of the library."""

from functools import cache

from msgspec import Struct

from tsdl.diagnostics import Severity, Sink
from tsdl.evaluate import Evaluator, Instance
from tsdl.imports.tables import WRONG
from tsdl.program import Declaration
from tsdl.schema import KINDS
from tsdl.session import Session
from tsdl.source import Span

# What a checkpoint may differ in from another of the same sizes.
SERVING = (
    "context", "window", "dtype", "kv_dtype", "weight_dtype", "expert_dtype", "compute_dtype",
)  # fmt: skip
# A scenario for any model: its plan has the parameters, which are the same on any device.
_PROBE = """
hardware _device from H200 {{ memory.capacity = 1e24 TB }}
kvcache _without from paged {{ footprint(r) = 0 GB }}
cluster _one {{ worker _gpu {{ hardware = _device; kv = _without }} }}
workload _few {{
  requests = 1; arrivals = poisson(1 req/s)
  prompt = constant(1 token); output = constant(1 token)
}}
scenario _probe {{ model = {}; cluster = _one; workload = _few }}
"""


class Sizes(Struct, frozen=True):
    """What a model is: the declaration that its graph is written in, and its fields as text."""

    graph: str
    fields: dict[str, str]

    @property
    def shape(self) -> dict[str, str]:
        """Return the fields that any checkpoint of this model has in common."""
        return {key: value for key, value in self.fields.items() if key not in SERVING}


def computed(text: str, name: str, place: Span, sink: Sink) -> tuple[Sizes, int] | None:
    """Return what a model of a program is, and its number of parameters.

    None where no such model can be: this is told of the place that its sizes were read from.
    """
    session = Session("<import>", text + _PROBE.format(name))
    program, found = session.compile()
    scenario = program.own("scenario")[0]
    plan = None if found.has_errors else session.plan(program, found, {}, scenario)
    if plan is None:
        reason = next(d.title for d in found.sorted() if d.severity is Severity.ERROR)
        help_ = "put in sizes that agree, or write the model as a program"
        sink.error(WRONG, f"no model has these sizes: {reason}", place, help=(help_,))
        return None
    model = next(model for model in program.own("model") if model.name == name)
    evaluator = Evaluator(program, {}, Sink())
    return _sizes(evaluator, evaluator.instance(model)), plan.models[0].parameters


def same(wanted: Sizes) -> tuple[str, list[str]] | None:
    """Return the model of the library with these sizes, and in which fields it differs.

    Of several it is the one that differs least, of those the first by name.
    """
    found = [
        (name, [key for key, value in wanted.fields.items() if sizes.fields.get(key) != value])
        for name, sizes in _library().items()
        if sizes.graph == wanted.graph
        and sizes.shape == wanted.shape
        and wanted.fields.keys() >= sizes.fields.keys()  # what a base sets cannot be taken away
    ]
    return min(found, key=lambda pair: (len(pair[1]), pair[0]), default=None)


@cache
def _library() -> dict[str, Sizes]:
    """Return the models of the library that have sizes."""
    program, _ = Session("<import>", "").compile()
    evaluator = Evaluator(program, {}, Sink())
    return {
        name: _sizes(evaluator, evaluator.instance(declaration))
        for name, declaration in program.prelude.items()
        if _whole(declaration)
    }


def _whole(declaration: Declaration) -> bool:
    members = declaration.members
    return declaration.kind == "model" and members is not None and "layers" in members.fields


def _sizes(evaluator: Evaluator, model: Instance) -> Sizes:
    fields = {}
    for key in KINDS["model"].fields:
        value = evaluator.get(model, key)
        if value is not None:
            fields[key] = value.name if isinstance(value, Instance) else f"{value}"
    return Sizes(model.members.clauses("graph")[0].owner.name, fields)
