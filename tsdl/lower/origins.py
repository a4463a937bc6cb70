"""Where measured tables are from, as a file beside them says, and what a scenario has instead."""

import re
from collections.abc import Iterator, Mapping
from posixpath import normpath

from msgspec import Struct

from tsdl.diagnostics import Diagnostic, Label, Severity
from tsdl.evaluate import Evaluator, Instance
from tsdl.evaluate.values import Path
from tsdl.lower.devices import Device
from tsdl.lower.files import FileReader, read_named
from tsdl.program import Declaration
from tsdl.source import Source, Span

_MOST_CHARACTERS = 1_000_000
_WORD = re.compile(r"[a-z]+|\d+")
_DEGREE = re.compile(r"tp(\d+)")  # how profiles of several degrees name the folders of each
_MEMORY = "g"  # the unit in `A100_80G`
_COMPUTED_IN = ("dtype", "weight_dtype", "compute_dtype")


class Origin(Struct, frozen=True):
    """What a file says of the tables in a folder, by its keys; or what the cost says itself."""

    source: Source
    said: Mapping[str, object]
    folder: str
    place: Span  # where the folder is named
    said_by: str = "the file that says so"

    def text(self, key: str) -> str:
        """Return what a key says; "" where that is no text."""
        found = self.said.get(key)
        return found.strip() if isinstance(found, str) else ""

    def degrees(self, key: str) -> list[int]:
        """Return the degrees of parallelism: the one of this folder, else those of the file."""
        own = _DEGREE.fullmatch(self.folder.rstrip("/").rpartition("/")[2])
        if own:
            return [int(own[1])]
        found = self.said.get(key)
        return [x for x in found if isinstance(x, int)] if isinstance(found, list) else []

    def line_of(self, key: str) -> tuple[Label, ...]:
        """Return where a key stands."""
        lines = self.source.text.splitlines()
        numbers = (n for n, line in enumerate(lines, start=1) if line.startswith(f"{key}:"))
        number = next(numbers, None)
        return (Label(self.source.line_span(number), "said here"),) if number else ()


def check_origin(
    evaluator: Evaluator, worker: Instance, model: Instance, device: Device, read: FileReader
) -> None:
    """Compare a scenario with what stands beside the tables of a worker's cost, if anything does.

    Tables of another degree of parallelism are a mistake: Failed is raised. Others are warned of:
    names may differ and mean the same.
    """
    cost = evaluator.reference(worker, "cost")
    origin = _origin(evaluator, worker, cost, read) if cost else None
    if cost is None or origin is None:
        return
    keys = _keys(evaluator, cost)
    name = worker.members.name
    for key, title in _differing(evaluator, origin, keys, model, device):
        evaluator.sink.warning(
            "W0609",
            f"the tables were measured {title}",
            origin.place,
            f"the tables of worker `{name}`",
            secondary=origin.line_of(key),
            help=(f"take tables of what is simulated, or mend {origin.said_by}",),
        )
    degrees, own = origin.degrees(keys["devices"]), device.parallel.devices
    if degrees and own not in degrees:
        shown = " or ".join(f"{x} device{'s' * (x > 1)}" for x in degrees)
        diagnostic = Diagnostic(
            "W0609" if device.parallel.experts else "E0609",
            Severity.WARNING if device.parallel.experts else Severity.ERROR,
            f"the tables are of a model on {shown}, and worker `{name}` has {own}",
            evaluator.span(worker, "parallel"),
            secondary=(Label(origin.place, "the tables"), *origin.line_of(keys["devices"])),
            help=(f"take tables of {own}, or write `parallel = tp({degrees[0]})`",),
        )
        evaluator.sink.add(diagnostic)
    elif len(degrees) > 1 and own > min(degrees):
        shown = " or ".join(map(str, degrees))
        evaluator.sink.warning(
            "W0609",
            f"the tables may be of a model on {shown} devices, and worker `{name}` has {own}",
            origin.place,
            "no folder that is called after a degree",
            secondary=origin.line_of(keys["devices"]),
            help=(f"name the folder of the tables of {own} devices `tp{own}`",),
        )


def _differing(
    evaluator: Evaluator, origin: Origin, keys: Mapping[str, str], model: Instance, device: Device
) -> Iterator[tuple[str, str]]:
    """Yield what differs: the key that says so, and how."""
    hardware = origin.text(keys["hardware"])
    if hardware and not _alike(hardware, device.hardware.declaration):
        yield keys["hardware"], f"on `{hardware}`, and here is `{device.hardware.name}`"
    served = origin.text(keys["model"]).rpartition("/")[2]
    if served and not _alike(served, model.declaration):
        yield keys["model"], f"with `{served}`, and the model here is `{model.name}`"
    dtype = origin.text(keys["dtype"])
    known = evaluator.program.prelude.get(dtype)
    own = [device.formats[key].name for key in _COMPUTED_IN]
    if known is not None and known.kind == "dtype" and dtype not in own:
        yield keys["dtype"], f"in {dtype}, and `{model.name}` is in {own[0]}"


def _alike(said: str, declaration: Declaration) -> bool:
    """Tell whether a name may mean a declaration, or one of the library that it is derived from."""
    for name in _names(declaration):
        known = _words(name)
        words = _words(said) if _MEMORY in known else _without_memory(_words(said))
        if "".join(words) == "".join(known) or _within(words, known) or _within(known, words):
            return True
    return False


def _names(declaration: Declaration) -> Iterator[str]:
    yield declaration.name
    if not declaration.module.library:
        for base in declaration.bases:
            yield from _names(base.declaration)


def _words(name: str) -> list[str]:
    return [word.replace("gb", _MEMORY) for word in _WORD.findall(name.lower())]


def _without_memory(words: list[str]) -> list[str]:
    """Return words without a size of memory: `h100`, `80`, `g` is any H100 that has no size."""
    at = words.index(_MEMORY) if _MEMORY in words else 0
    return words[: at - 1] + words[at + 1 :] if at > 1 else words


def _within(few: list[str], many: list[str]) -> bool:
    return any(many[at : at + len(few)] == few for at in range(len(many) - len(few) + 1))


# -- the file --------------------------------------------------------------------------------------


def _keys(evaluator: Evaluator, cost: Instance) -> dict[str, str]:
    """Return what the fields of `about` have: keys of its file, or without one what they name."""
    about = evaluator.inner(cost, "about")
    return {key: str(evaluator.get(about, key) or "") for key in about.members.shape.fields}


def _origin(
    evaluator: Evaluator, worker: Instance, cost: Instance, read: FileReader
) -> Origin | None:
    about, folder = evaluator.inner(cost, "about"), evaluator.get(cost, "folder")
    name, place = evaluator.get(about, "file"), evaluator.span(cost, "folder")
    if name is None:
        own = _keys(evaluator, cost).values()
        place = evaluator.span(worker, "cost")
        said_by = f"`{cost.name}`, which says so"
        return Origin(place.source, {text: text for text in own if text}, "", place, said_by)
    if isinstance(folder, str):
        folder = Path(folder, place.source.name)
    if not isinstance(folder, Path) or not isinstance(name, str):
        return None
    source = _read(evaluator, about, name, folder, read)
    said = _said(source) if source else {}
    if source is None or said:
        return Origin(source, said, folder.text, place) if source else None
    evaluator.sink.warning(
        "W0609",
        f"`{source.name}` says nothing of the tables beside it: it is no mapping in YAML",
        place,
        help=("mend the file, or remove it",),
    )
    return None


def _read(
    evaluator: Evaluator, about: Instance, name: str, folder: Path, read: FileReader
) -> Source | None:
    """Return the file in the folder, or in the one above; None where the library asks in vain."""
    names = (f"{folder.text}/{name}", f"{folder.text}/../{name}")
    places = [Path(normpath(path), folder.beside) for path in names]
    for path in places:
        try:
            return Source(*read(path))
        except (OSError, ValueError):
            continue
    if about.members.fields["file"].owner.module.library:
        return None
    return Source(*read_named(evaluator, places[0], evaluator.span(about, "file"), read))


def _said(source: Source) -> Mapping[str, object]:
    """Return what a file says by its keys; nothing where it is no mapping."""
    import yaml

    if len(source.text) > _MOST_CHARACTERS:
        return {}
    try:
        found = yaml.safe_load(source.text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
