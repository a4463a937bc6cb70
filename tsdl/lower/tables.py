"""Costs of measured tables to the plan: which kernels take their time from which rows of a file."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from tsdl.costs import Batch, compiled, not_known
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator, Failed, Instance
from tsdl.evaluate.values import Path
from tsdl.formula import Formula, Value, make, symbol
from tsdl.interpolation import Grid, Unmeasured, grid_of, interpolation
from tsdl.lower.devices import Offload
from tsdl.lower.files import FileReader, check_unit, read_named
from tsdl.lower.negatives import check_negative
from tsdl.lower.saying import WAYS, derives, said, since
from tsdl.plan import WORK, Cost, Kernel, Measured, Stage
from tsdl.program import Members
from tsdl.schema import BATCH_FEATURES
from tsdl.source import Source, Span
from tsdl.tables import Query, read_table

ALL_REDUCE = "all_reduce"
_CONSTANT = ("",)  # the axes of a table of which but one point is ever asked
_HELP = "write `time = …`, `extern = …`, or `file = …` with the point: `at { … }`"
_HEAVY = 32e6  # bytes of weights and activations, above which memory is what a kernel waits for
_TOO_FAST = 0.8  # of the least that the peaks allow: caches and peaks as printed allow a little


class Tables(Struct):
    """The times that a `cost` brings, in place of the roofline; none without one.

    `place` is where the worker says so, `found` are the tables asked so far, `used` the operators
    of the cost that the graph has.
    """

    evaluator: Evaluator
    cost: Instance | None
    read: FileReader
    devices: int
    place: Span
    found: dict[tuple[Path, Query], Measured] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    _sources: dict[Path, Source] = field(default_factory=dict)

    @property
    def of_operators(self) -> bool:
        """Tell whether times are those of operators, not of iterations as a whole."""
        return self.cost is None or bool(self.cost.members.named("operator"))

    @property
    def measured(self) -> tuple[Measured, ...]:
        """Return the tables in the order in which they were asked for."""
        return tuple(table for table in self.found.values() if table.axes != _CONSTANT)

    def of_operator(self, name: str, kernels: list[Kernel], rows: Value) -> list[Kernel]:
        """Return the kernels of an operator of the graph, with the times that the cost has.

        `rows` is what `tokens` means in the operator.
        """
        known = ALL_REDUCE if name.endswith(f".{ALL_REDUCE}") else name
        if self.cost is None or ("operator", known) not in self.cost.members.blocks:
            return kernels
        self.used.add(known)
        cost = self.evaluator.again(self.cost)  # sizes are others at each node
        done: dict[str, Any] = {}
        for key in WORK:
            done[key] = _sum([_done(kernel, getattr(kernel, key)) for kernel in kernels])
        features: dict[str, Value] = {feature: symbol(feature) for feature in BATCH_FEATURES}
        block = self.evaluator.inner(cost, "operator", known)
        block.symbols |= {**features, **done, "tokens": rows, "devices": self.devices}
        whole = replace(kernels[0], name=name, **done)
        return self._kernels(block, whole)

    def refuse_parts(self, name: str, offload: Offload) -> None:
        """See that no time of a whole operator is here of which a part is there. Raises Failed."""
        if self.cost is not None and ("operator", name) in self.cost.members.blocks:
            raise self.evaluator.fail(
                "E0531",
                f"`{offload.name}` computes only {offload.runs} of `{name}`, and cost "
                f"`{self.cost.name}` has the time of both together",
                self.place,
                help=(f"leave `runs = {offload.runs}` out, or that operator of the cost",),
            )

    def of_whole(self) -> Kernel:
        """Return an iteration whose time the cost has as a whole: a formula, or Python."""
        assert self.cost is not None
        cost = self.evaluator.again(self.cost)
        cost.symbols["devices"] = self.devices
        self._check_reads(cost)
        if self.evaluator.get(cost, "extern") is None:
            time, source = self.evaluator.known(cost, "iteration"), "formula"
        else:
            time, source = self._of_extern(cost)
        return Kernel("iteration", "formula", 0, 0, 0, 0, time, source)

    def of_parts(self) -> list[Kernel]:
        """Return the parts of an iteration that the cost has whole, without a graph."""
        assert self.cost is not None
        cost = self.evaluator.again(self.cost)
        cost.symbols["devices"] = self.devices
        return self._kernels(cost, Kernel("", "table", 0, 0, 0, 0, 0))

    def _kernels(self, block: Instance, whole: Kernel) -> list[Kernel]:
        """Return a kernel with the time of a block, or one with that of each of its parts.

        The first has all of the work; those that never take any time are left out.
        """
        parts = block.members.named("part")
        own = said(block.members)
        if own and any(derives(own, part_own) for p in parts if (part_own := said(p))):
            parts = []  # who derives this cost says the time as a whole
        if own and parts:
            raise self._twice(block, whole.name, "a time of its own", "parts")
        if not parts:
            return [self._kernel(block, whole)]
        found = []
        for part in parts:
            name = f"{whole.name}.{part.name}".removeprefix(".")
            inner = self.evaluator.inner(block, "part", part.name)
            found.append(self._kernel(inner, replace(whole, name=name, **dict.fromkeys(WORK, 0))))
        first, *others = [kernel for kernel in found if kernel.time != 0] or found[:1]
        return [replace(first, **{key: getattr(whole, key) for key in WORK}), *others]

    def _kernel(self, block: Instance, kernel: Kernel) -> Kernel:
        evaluator = self.evaluator
        newest = said(block.members)
        if newest is None:
            raise evaluator.fail(
                "E0404",
                f"`{kernel.name}` of cost `{block.root.name}` says no time",
                evaluator.place_of(block),
                help=(_HELP,),
            )
        block.members = since(block.members, newest)
        self._check_reads(block)
        ways = [key for key in WAYS if key in block.members.fields]
        if len(ways) > 1:
            raise self._twice(block, kernel.name, f"`{ways[0]}`", f"`{ways[1]}`")
        times, when = evaluator.known(block, "times"), evaluator.known(block, "when")
        if ways == ["time"]:
            time, source = evaluator.known(block, "time"), "formula"
            check_negative(evaluator, block, kernel.name, {"time": time}, when)
        elif ways == ["extern"]:
            time, source = self._of_extern(block)
        else:
            time, source = self._from_table(block, kernel.name)
        seconds = make("if", when, make("*", times, time), 0)
        return replace(kernel, time=seconds, source=source, roof=None)

    def _of_extern(self, block: Instance) -> tuple[Value, str]:
        """Return the time that a function in Python says, and which one that is."""
        evaluator = self.evaluator
        name, reads = evaluator.word(block, "extern"), evaluator.get(block, "reads")
        assert isinstance(reads, list)
        point: list[Value] = []
        for read in dict.fromkeys(map(str, reads)):
            value = block.symbols[read]
            assert isinstance(value, (int, float, Formula)), read
            point += (read, value)
        return Formula("extern", (name, *point)), f"Python {name}"

    def _check_reads(self, block: Instance) -> None:
        """See that what is read for Python is read by some. Raises Failed."""
        if "reads" in block.members.fields and self.evaluator.get(block, "extern") is None:
            raise self.evaluator.fail(
                "E0404",
                f"cost `{block.root.name}` reads for Python, and `extern` is not set",
                self.evaluator.span(block, "reads"),
                "nothing else looks at it",
                help=('name the function that the program hands in: `extern = "name"`',),
            )

    def _twice(self, block: Instance, name: str, one: str, other: str) -> Failed:
        return self.evaluator.fail(
            "E0521",
            f"`{name}` of cost `{block.root.name}` has both {one} and {other}",
            self.evaluator.place_of(block),
            help=(_HELP,),
        )

    def _from_table(self, block: Instance, name: str) -> tuple[Value, str]:
        """Return the time that a table has, and where that is from."""
        evaluator = self.evaluator
        point, above = self._point(block, "at"), self._point(block, "above")
        if not point or (above and above.keys() != point.keys()):
            missing = "`above` has not all axes of `at`" if point else "no `at` says where in it"
            raise evaluator.fail(
                "E0404",
                f"`{name}` of cost `{block.root.name}` has a `file`, and {missing}",
                evaluator.place_of(block),
                help=("write `at { tokens = tokens }`: a column of the file, and the point there",),
            )
        asked = [axis for axis, value in point.items() if isinstance(value, Formula)]
        self._check_above(block, name, point, above)
        table = self._table(block, name, point, asked)
        time = _asked(table, [point[axis] for axis in asked])
        if above:
            less = _asked(table, [above[axis] for axis in asked])
            time = make("max", make("-", time, less), 0)
        return time, f"table {table.name if asked else table.file}"

    def _check_above(
        self, block: Instance, name: str, point: dict[str, Value], above: dict[str, Value]
    ) -> None:
        """See that both points are of the same rows: an axis that `at` knows is none to ask."""
        for axis, known in point.items():
            if above and not isinstance(known, Formula) and above[axis] != known:
                inner = self.evaluator.inner(block, "above")
                raise self.evaluator.fail(
                    "E0503",
                    f"`{axis}` of `{name}` is {known} in `at`, and another one in `above`",
                    self.evaluator.span(inner, axis),
                    help=("only axes whose point the run knows differ between both",),
                )

    def _point(self, block: Instance, key: str) -> dict[str, Value]:
        inner = self.evaluator.inner(block, key)
        return {axis: self.evaluator.known(inner, axis) for axis in inner.members.fields}

    def _table(
        self, block: Instance, name: str, point: dict[str, Value], asked: list[str]
    ) -> Measured:
        """Return the table of some rows of a file, read but once. Raises Failed."""
        evaluator = self.evaluator
        rows, least = (evaluator.inner(block, key) for key in ("rows", "least"))
        query = Query(
            tuple((column, evaluator.word(rows, column)) for column in rows.members.fields),
            tuple(asked),
            tuple((a, x) for a, x in point.items() if isinstance(x, (int, float))),
            tuple((axis, evaluator.real(least, axis)) for axis in least.members.fields),
            evaluator.word(block, "value"),
            evaluator.real(block, "unit"),
        )
        path, place = self._path(block)
        known = self.found.get((path, query))
        if known is not None:
            return known
        check_unit(evaluator, block, "value")
        source = self._sources.get(path)
        if source is None:
            source = Source(*read_named(evaluator, path, place, self.read))
            self._sources[path] = source
        values = read_table(source, query, evaluator.sink)
        if values is None:
            raise evaluator.fail(
                "E0605",
                f"`{source.name}` cannot be used for `{name}`",
                place,
                help=("what is wrong with it is said above",),
            )
        grid = grid_of(values) if asked else Grid((0,), (), tuple(values.values()))
        axes = tuple(asked) or _CONSTANT
        table = Measured(self._name(name), path.text, str(query), axes, grid)
        self.found[path, query] = table
        return table

    def _name(self, name: str) -> str:
        """Return a name for a table that no other has: that of the first operator to ask it."""
        plain = name.replace(".", "_")
        taken = {table.name for table in self.found.values()}
        while plain in taken:
            plain += "_"
        return plain

    def _path(self, block: Instance) -> tuple[Path, Span]:
        """Return the path of a file of the cost, in its folder, and where the program names it."""
        evaluator, root = self.evaluator, block.root
        path, folder = evaluator.get(block, "file"), evaluator.get(root, "folder")
        theirs = folder is not None and self._of_library(block)
        place = evaluator.span(root, "folder") if theirs else evaluator.span(block, "file")
        path, folder = (
            Path(given, place.source.name) if isinstance(given, str) else given
            for given in (path, folder)
        )
        assert isinstance(path, Path)
        if folder is None and path.beside == place.source.name and self._of_library(block):
            raise self._without_folder(root)
        if isinstance(folder, Path):
            path = Path(f"{folder.text.rstrip('/')}/{path.text}", folder.beside)
        return path, place

    @staticmethod
    def _of_library(block: Instance) -> bool:
        return block.members.fields["file"].owner.module.library

    def _without_folder(self, cost: Instance) -> Failed:
        own = not cost.declaration.module.library
        how = 'folder = "…"' if own else f'cost = {cost.name}(folder = "…")'
        return self.evaluator.fail(
            "E0404",
            f"`folder` of cost `{cost.name}` is not set",
            self.evaluator.place_of(cost) if own else self.place,
            "needs `folder`",
            help=(f"write `{how}`: where the files are that it reads",),
        )


def _done(kernel: Kernel, work: Value) -> Value:
    """Return the work of a kernel where it is launched; elsewhere there is none."""
    match kernel.time:
        case Formula("if", (when, _, 0)):
            return make("if", when, work, 0)
    return work


def _sum(values: list[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = make("+", total, value)
    return total


def _asked(table: Measured, point: list[Value]) -> Value:
    """Return what a table has at a point: a number where all of it is known."""
    known = [x for x in point or [0] if isinstance(x, (int, float))]
    if len(known) == len(table.axes):
        return interpolation(table.grid, Unmeasured())(*known)
    return Formula("table", (table.name, *point))


# -- what only the device shows ----------------------------------------------------------------


def check_unused(tables: Tables, graph: list[str]) -> None:
    """Warn of operators that a cost of the user's own has times of, and the graph lacks."""
    if tables.cost is None:
        return
    for block in tables.cost.members.named("operator"):
        if block.name in tables.used or block.name == ALL_REDUCE or _is_of_library(block):
            continue
        near = nearest(block.name, graph)
        tables.evaluator.sink.warning(
            "W0508",
            f"the graph has no operator `{block.name}`, which `{tables.cost.name}` has times of",
            block.span or tables.cost.declaration.span,
            "never asked",
            help=(f"did you mean `{near}`?" if near else f"it has {', '.join(graph)}",),
        )


def _is_of_library(block: Members) -> bool:
    inner = [block, *block.blocks.values()]
    return all(d.owner.module.library for b in inner for d in b.fields.values())


def check_speed(
    tables: Tables, stages: tuple[Stage, ...], compute: float, bandwidth: float
) -> None:
    """Warn of the first operator whose table is faster than the device can be.

    The table is of another device, or was measured with a share of the model: with more devices.
    """
    assert tables.cost is not None
    batch = Batch()
    batch.add_decodes([1024])
    batch.close()
    for name, kernels in _products(stages):
        measured = [kernel for kernel in kernels if kernel.source.startswith("table ")]
        if not measured:
            continue
        time, flops, moved = (
            compiled(Cost("", (_asking(kernels, key),), 0, tables.measured), ask=not_known)(batch)
            for key in ("time", "flops", "bytes")
        )
        least = max(flops / compute, moved / bandwidth)
        if moved > _HEAVY and time < _TOO_FAST * least:
            place = tables.evaluator.place_of(tables.cost)
            tables.evaluator.sink.warning(
                "W0608",
                f"`{name}` takes {time * 1e6:.4g} us, and to read its weights takes the "
                f"device {least * 1e6:.4g} us",
                place,
                f"by {measured[0].source}",
                help=("is the table of this device, this model and this `parallel`?",),
            )
            return


def _products(stages: tuple[Stage, ...]) -> Iterator[tuple[str, list[Kernel]]]:
    """Yield the matrix products of all stages by their names, with the kernels of their parts."""
    for stage in stages:
        products = (kernel for kernel in stage.kernels if kernel.work_class == "gemm")
        for name, kernels in groupby(products, lambda kernel: kernel.name.partition(".")[0]):
            yield name, list(kernels)


def _asking(kernels: list[Kernel], key: str) -> Stage:
    """Return a stage whose time is what kernels have under another key, all together."""
    return Stage("", 1, tuple(replace(kernel, time=getattr(kernel, key)) for kernel in kernels))
