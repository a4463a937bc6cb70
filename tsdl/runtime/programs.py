"""Handlers of a stage as Python functions, from source that is generated once before a run.

It comes from the plan's statements and formulas, which know a closed set of words, never from a
user's text; names of variables were held to plain identifiers when the plan was read or made.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import CodeType

from tsdl import formula, pythonsource
from tsdl.parts import of_handler
from tsdl.planhandlers import Handler, Statement
from tsdl.runtime.selections import NoCandidate

Program = Callable[..., None]


def source(handler: Handler) -> str:
    """Return a handler as the source of `handle`, a Python function of its variables."""
    lines = [f"def handle({', '.join(handler.variables)}):", " try:"]
    if handler.when is not True:
        lines.append(f"  if not {pythonsource.python(handler.when)}: return")
    lines += _lines(handler.body, 2)
    # Without a candidate, a handler ends where it stands.
    return "\n".join([*lines, " except NoCandidate: return"])


def _lines(statements: Iterable[Statement], depth: int) -> list[str]:
    found: list[str] = []
    for statement in statements:
        found += _statement(statement, depth)
    return found or [" " * depth + "pass"]


def _statement(statement: Statement, depth: int) -> list[str]:
    values = [pythonsource.python(value) for value in statement.values]
    name = statement.name
    match statement.word:
        case "let":
            line = f"{name} = {values[0]}"
        case "if":
            lines = [" " * depth + f"if {values[0]}:", *_lines(statement.body, depth + 1)]
            if statement.otherwise:
                lines += [" " * depth + "else:", *_lines(statement.otherwise, depth + 1)]
            return lines
        case "for":
            line = f"for {name} in tuple({values[0]}):"
            return [" " * depth + line, *_lines(statement.body, depth + 1)]
        case "set" | "add" as word:
            *key, value = values
            method = "put" if word == "set" else "add"
            line = f"{formula.STATE}{name}.{method}({', '.join([value, *key])})"
        case "store" | "fetch" | "demote" | "prefetch" | "record" | "scale" as word:
            line = f"do.{word}({', '.join([repr(name), *values])})"
        case word:  # an action: the plan has no others
            line = f"do.{word}({', '.join(values)})"
    return [" " * depth + line]


@cache
def _code(text: str, what: str) -> CodeType:
    return compile(text, f"{pythonsource.SOURCE_NAME}{what}>", "exec")


def programs(
    policy: str, handlers: Iterable[Handler], names: Mapping[str, object]
) -> list[tuple[Handler, Program]]:
    """Return the handlers of a stage with their functions, which read and call `names`."""
    turns = itertools.count()  # a number for each place that keeps its own turn, in all of them
    scope: dict[str, object] = {
        "__builtins__": {},
        **pythonsource.RUNTIME_NAMES,
        "tuple": tuple,
        "NoCandidate": NoCandidate,
        **names,
    }
    found: list[tuple[Handler, Program]] = []
    for handler in handlers:
        text = re.sub(pythonsource.TURN, lambda _: str(next(turns)), source(handler))
        exec(_code(text, of_handler(policy, handler.event)), scope)
        found.append((handler, scope["handle"]))  # type: ignore[arg-type]
    return found


def merged(functions: list[Program]) -> Program | None:
    """Return one function that calls all of them in order; None where there are none."""
    if len(functions) < 2:  # noqa: PLR2004 (nothing to merge)
        return functions[0] if functions else None

    def call(*about: object) -> None:
        for function in functions:
            function(*about)

    return call
