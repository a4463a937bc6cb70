"""A calibration as declarations of TSDL, each derived from what it calibrates, with its origin."""

import os
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from textwrap import wrap

from tsdl.calibration.calibration import Calibration, Fitted
from tsdl.calibration.text import deviation, divided, of_run
from tsdl.calibration.titles import TITLES, share
from tsdl.constants import Constant
from tsdl.formatting import in_style
from tsdl.program import Declaration
from tsdl.writing import Block, Line, render

SUFFIX = "_calibrated"
_WIDEST = 110


def declarations(found: Calibration, beside: str = "", command: str = "") -> str:
    """Return a file that declares what was fitted: `hardware NAME_calibrated from NAME { … }`.

    A device has the fitted link in place of its own one. What is not of the library is imported, by
    its path from the folder `beside`. `command` is told as what made the file.
    """
    of = {id(c.declaration): c.declaration for c, _, _ in found.constants()}
    linked = [link for link in found.chosen.links() if _is_named(link[2], of)]
    of |= {id(device): device for device, _, _ in linked}
    notes = [part for note in _origin(found, command) for part in wrap(note, _WIDEST)]
    blocks = {}
    for key, declaration in of.items():
        title = f"{declaration.name}, with constants fitted to measured runs."
        blocks[key] = Block(_head(declaration), notes=[title, *notes])
    for device, field, link in linked:
        blocks[id(device)].members.append(Line(f"{link.name}{SUFFIX}", "", field))
    for constant, number, fitted in found.constants():
        _put(found, blocks[id(constant.declaration)], constant, number, fitted)
    text = _with_imports(render([], blocks.values()), list(of.values()), beside)
    return in_style(text)


def _is_named(link: Declaration, fitted: Mapping[int, Declaration]) -> bool:
    """Tell whether what is fitted of a link can stand for it by its name alone."""
    return id(link) in fitted and not link.parameters


def _origin(found: Calibration, command: str) -> Iterator[str]:
    """Tell where the constants are from, how well they predict, and what they leave open."""
    if command:
        yield f"Made by {command}"
    yield from (f"Warning: {warning.title}." for warning in found.beyond)
    for on_run in found.runs:
        yield f"Run: {of_run(on_run.run)}."
        yield f"{divided(on_run)}."
        yield from (f"Warning: {warning.title}." for warning in on_run.warnings)
        deviations = [f"{TITLES[p.statistic]} {deviation(p.deviation)}" for p in on_run.predictions]
        yield f"Predicted means, standard deviation from these constants: {', '.join(deviations)}."
        for part in dict.fromkeys(check.part for check in on_run.checks):
            errors = [
                f"{TITLES[check.statistic]} {share(check.after, sign=True)}"
                for check in on_run.checks
                if check.part == part
            ]
            yield f"Errors of means, {part}: {', '.join(errors)}."
    yield (
        "Behind each number: what it was, its standard deviation, and how much of the prior's is "
        "left (near 1, the runs do not tell it)."
    )


def _head(declaration: Declaration) -> str:
    kind, name = declaration.kind, declaration.name
    if not declaration.parameters:
        return f"{kind} {name}{SUFFIX} from {name}"
    parameters = ", ".join(parameter.span.text for parameter in declaration.parameters)
    passed = ", ".join(parameter.name for parameter in declaration.parameters)
    return f"{kind} {name}{SUFFIX}({parameters}) from {name}({passed})"


def _put(
    found: Calibration, block: Block, constant: Constant, value: float, fitted: Fitted
) -> None:
    """Put a constant into the blocks that its path names."""
    units = found.chosen.program.units
    *path, key = constant.path.split(".")
    for name in path:
        inner = next((m for m in block.members if isinstance(m, Block) and m.head == name), None)
        if inner is None:
            inner = Block(name)
            block.members.append(inner)
        block = inner
    was = constant.written(float(f"{constant.value:.4g}"), units)
    comment = f"was {was}; {deviation(fitted.deviation)}, {fitted.open:.2f} left"
    block.members.append(Line(constant.written(float(f"{value:.4g}"), units), comment, key))


def _with_imports(text: str, declared: list[Declaration], beside: str) -> str:
    modules = {id(declaration.module): declaration.module for declaration in declared}
    paths = [module.path for module in modules.values() if not module.library]
    if not paths:
        return text
    shown = [PurePath(os.path.relpath(path, beside or ".")).as_posix() for path in paths]
    lines = "".join(f'import "{path}"\n' for path in shown)
    first, _, rest = text.partition("\n")
    return f"{first}\n\n{lines}{rest}"
