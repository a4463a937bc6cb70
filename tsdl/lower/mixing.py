"""Workloads whose requests arrive together, to the plan: what each part is, and what is no part."""

from collections import Counter
from itertools import chain
from typing import Any

from msgspec.structs import replace

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.files import FileReader
from tsdl.lower.workloads import is_set, lower_workload, too_many
from tsdl.planworkload import MOST_REQUESTS, Attribute, Workload

# What does not go into a mix, and why not.
_UNMIXED = {
    "mix": "it is mixed itself, so name its parts",
    "concurrency": "its users send when others have their answers, which are those of all parts",
}


def lower_requests(evaluator: Evaluator, workload: Instance, read: FileReader) -> Workload:
    """Return a workload, or one of all those that it mixes. Raises Failed."""
    if is_set(workload, "mix"):
        return _mixed(evaluator, workload, read)
    return lower_workload(evaluator, workload, read)


def parts_of(evaluator: Evaluator, workload: Instance) -> list[Instance]:
    """Return the workloads whose requests arrive: what one mixes, or itself."""
    parts = evaluator.get(workload, "mix")
    if not isinstance(parts, list):
        return [workload]
    return [part for part in parts if isinstance(part, Instance)]


def _mixed(evaluator: Evaluator, workload: Instance, read: FileReader) -> Workload:
    """Return a workload whose requests are those of others. Raises Failed."""
    place = evaluator.span(workload, "mix")
    others = [k for k in workload.members.shape.fields if k not in ("mix", "warmup")]
    said = {key: evaluator.span(workload, key) for key in others if is_set(workload, key)}
    said |= {name: block.span for (name, _), block in workload.members.blocks.items() if block.span}
    if said:
        other, where = next(iter(said.items()))
        raise evaluator.fail(
            "E0521",
            f"workload `{workload.name}` has both `mix` and `{other}`",
            where,
            "each of those that are mixed has its own",
            secondary=(Label(place, "set here"),),
            help=("leave one of them out",),
        )
    instances = parts_of(evaluator, workload)
    if not instances:
        raise evaluator.fail("E0532", f"workload `{workload.name}` mixes nothing", place)
    for part in instances:
        why = next((w for key, w in _UNMIXED.items() if is_set(part, key)), None)
        if why is not None:
            raise evaluator.fail(
                "E0532",
                f"`{part.name}` cannot be a part of `{workload.name}`: {why}",
                place,
                secondary=(Label(evaluator.place_of(part), "this part"),),
            )
    names: Counter[str] = Counter()
    parts = []
    for part in instances:
        found = lower_workload(evaluator, part, read)
        names[found.name] += 1
        again = names[found.name]  # the same workload once more has requests of its own
        parts.append(found if again == 1 else replace(found, name=f"{found.name} {again}"))
    parts = _numbered_alike(parts)
    count = sum(part.sessions or part.requests or 0 for part in parts)
    if count > MOST_REQUESTS:
        raise too_many(evaluator, workload, "mix", count)
    own: dict[str, Any] = dict.fromkeys(Workload.__struct_fields__)
    own |= {"name": workload.name, "warmup": evaluator.real(workload, "warmup")}
    own |= {"correlation": 0.0, "replay": False, "prefix_added": False}
    own |= {"parts": tuple(parts), "attributes": ()}
    return Workload(**own)


def _numbered_alike(parts: list[Workload]) -> list[Workload]:
    """Return workloads in which the texts of an attribute have the same numbers in all files.

    Where one says of it anything but texts, numbers of another stand for none.
    """
    for at in range(len(parts[0].attributes)):
        alike = _alike([part.attributes[at] for part in parts])
        for number, found in enumerate(alike):
            own = parts[number].attributes
            parts[number] = replace(parts[number], attributes=(*own[:at], found, *own[at + 1 :]))
    return parts


def _alike(attributes: list[Attribute]) -> list[Attribute]:
    if not all(each.names for each in attributes):
        return [replace(each, names=()) for each in attributes]
    names = tuple(dict.fromkeys(chain.from_iterable(each.names for each in attributes)))
    numbers = {name: float(number) for number, name in enumerate(names)}
    found = []
    for each in attributes:
        values = tuple(numbers[each.names[int(value)]] for value in each.draw.values)
        found.append(replace(each, draw=replace(each.draw, values=values), names=names))
    return found
