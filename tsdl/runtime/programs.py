"""Handlers of a stage as Python functions, from source that is generated once before a run.

It comes from the plan's statements and formulas, which know a closed set of words, never from a
user's text; names of variables were held to plain identifiers when the plan was read or made.
"""

import ast
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from types import CodeType

from tsdl import formula, pythonsource
from tsdl.formulaerrors import OF_A_WORKER, OF_THE_CLUSTER
from tsdl.parts import of_handler
from tsdl.planhandlers import Handler, Statement
from tsdl.runtime.selections import NoCandidate

Program = Callable[..., None]
Lines = list[tuple[int, str]]  # the number of the statement that each is of, 0 before the first


def source(handler: Handler, name: str, before: int = 0) -> Lines:
    """Return a handler as the source of a Python function of its variables, of some name.

    So many statements are counted `before` its own.
    """
    head = [f"def {name}({', '.join(handler.variables)}):", " try:"]
    if handler.when is not True:
        head.append(f"  if not {pythonsource.python(handler.when)}: return")
    body = _lines(handler.body, 2, itertools.count(before + 1), before)
    # Without a candidate, a handler ends where it stands.
    last = (body[-1][0], " except NoCandidate: return")
    return [*((0, line) for line in head), *body, last]


def _lines(
    statements: Iterable[Statement], depth: int, numbers: Iterator[int], around: int
) -> Lines:
    found: Lines = []
    for statement in statements:
        found += _statement(statement, depth, numbers)
    return found or [(around, " " * depth + "pass")]


def _statement(statement: Statement, depth: int, numbers: Iterator[int]) -> Lines:
    values = [pythonsource.python(value) for value in statement.values]
    name, number = statement.name, next(numbers)
    match statement.word:
        case "let":
            line = f"{name} = {values[0]}"
        case "if":
            inside = _lines(statement.body, depth + 1, numbers, number)
            lines = [(number, " " * depth + f"if {values[0]}:"), *inside]
            if statement.otherwise:
                otherwise = _lines(statement.otherwise, depth + 1, numbers, number)
                lines += [(lines[-1][0], " " * depth + "else:"), *otherwise]
            return lines
        case "for":
            line = f"for {name} in tuple({values[0]}):"
            inside = _lines(statement.body, depth + 1, numbers, number)
            # What fails behind it is not about whom it was at last.
            behind = (inside[-1][0], " " * depth + f"{name} = None")
            return [(number, " " * depth + line), *inside, behind]
        case "set" | "add" as word:
            *key, value = values
            method = "put" if word == "set" else "add"
            line = f"{formula.STATE}{name}.{method}({', '.join([value, *key])})"
        case "store" | "fetch" | "demote" | "prefetch" | "record" | "scale" as word:
            line = f"do.{word}({', '.join([repr(name), *values])})"
        case word:  # an action: the plan has no others
            line = f"do.{word}({', '.join(values)})"
    return [(number, " " * depth + line)]


@cache
def _code(text: str, what: str, numbers: tuple[int, ...]) -> CodeType:
    """Return compiled source, whose lines are counted as the statements that they are of.

    Where one fails, that is the line after its number (tsdl.formulaerrors).
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.stmt, ast.expr, ast.excepthandler, ast.arg)):
            node.lineno = numbers[node.lineno - 1] + 1
            node.end_lineno = numbers[(node.end_lineno or 1) - 1] + 1
    return compile(tree, f"{pythonsource.SOURCE_NAME}{what}>", "exec")


def programs(
    policy: str,
    handlers: Iterable[Handler],
    names: Mapping[str, object],
    *,
    of_the_cluster: bool = False,
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
    name = OF_THE_CLUSTER if of_the_cluster else OF_A_WORKER
    found: list[tuple[Handler, Program]] = []
    before = Counter[str]()  # the statements of handlers of the same event
    for handler in handlers:
        lines = source(handler, name, before[handler.event])
        before[handler.event] += len(list(handler.statements()))
        text = "\n".join(line for _, line in lines)
        text = re.sub(pythonsource.TURN, lambda _: str(next(turns)), text)
        numbers = tuple(number for number, _ in lines)
        exec(_code(text, of_handler(policy, handler.event), numbers), scope)
        found.append((handler, scope[name]))  # type: ignore[arg-type]
    return found


def merged(functions: list[Program]) -> Program | None:
    """Return one function that calls all of them in order; None where there are none."""
    if len(functions) < 2:  # noqa: PLR2004 (nothing to merge)
        return functions[0] if functions else None

    def call(*about: object) -> None:
        for function in functions:
            function(*about)

    return call
