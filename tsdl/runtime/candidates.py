"""Lists of workers that handlers choose from, as far as they never change: found once, not anew."""

from collections.abc import Sequence

from msgspec.structs import replace

from tsdl import formula, pythonsource
from tsdl.facts import LIVE, fields
from tsdl.formula import Formula, Value, symbol
from tsdl.parts import of_policy
from tsdl.planhandlers import Handler, Statement, formulas
from tsdl.runtime.worker import Worker

FIXED = frozenset(
    {"id", "group", "node", "prefills", "decodes", "hardware", "model", "devices"}
    | {"compute", "bandwidth", "price"}
)
WORKERS = symbol("workers")


class Candidates:
    """The lists that are found, under the names that formulas then have for them."""

    def __init__(self, policy: str, workers: Sequence[Worker]) -> None:
        """Begin with none; where workers come and go there never is one."""
        self._policy, self._workers = of_policy(policy), workers
        self._scaled = any(
            w.kind.fewest is not None or w.kind.failures is not None for w in workers
        )
        self._known: dict[tuple[str, Value], str] = {}
        self.names: dict[str, Sequence[Worker]] = {}

    def handler(self, handler: Handler) -> Handler:
        """Return a handler that chooses from these lists."""
        return replace(handler, when=self._value(handler.when), body=self._body(handler.body))

    def looked_at(self, handler: Handler) -> list[Worker]:
        """Return the workers of which a handler may read what changes during a run."""
        if fields(handler).isdisjoint(LIVE):
            return []
        used = {name for value in formulas(handler) for name in formula.symbols(value)}
        lists = [self.names[name] for name in used if name in self.names]
        if "workers" in used:
            lists.append(self._workers)
        return [w for w in self._workers if any(w in found for found in lists)]

    def in_turn(self, handler: Handler) -> Sequence[Worker]:
        """Return the workers that arrivals are sent to in turn; none where more is done with them.

        `handler` is one that chooses from these lists.
        """
        body = handler.body
        if (handler.event, handler.when) != ("arrive", True) or len(body) != 1:
            return ()
        request, target = symbol(handler.variables[0]), body[0].values[-1]
        if body[0].word != "dispatch" or body[0].values[0] != request:
            return ()
        if not isinstance(target, Formula) or target.operation != "select":
            return ()
        function, variable, element, iterable, _, condition = target.arguments
        plain = function == "round_robin" and element == symbol(str(variable)) and condition is True
        return next((self.names[n] for n in self.names if plain and iterable == symbol(n)), ())

    def _body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        return tuple(
            replace(
                statement,
                values=tuple(self._value(value) for value in statement.values),
                body=self._body(statement.body),
                otherwise=self._body(statement.otherwise),
            )
            for statement in body
        )

    def _value(self, value: Value) -> Value:
        if not isinstance(value, Formula):
            return value
        arguments = tuple(self._value(argument) for argument in value.arguments)
        if value.operation == "select" and arguments[3] == WORKERS:
            function, variable, element, iterable, key, condition = arguments
            fixed, rest = _split(condition, str(variable))
            known = fixed is not True and not self._scaled
            name = self._list(str(variable), fixed) if known else None
            if name is not None:
                iterable, condition = symbol(name), rest
            arguments = (function, variable, element, iterable, key, condition)
        return Formula(value.operation, arguments)

    def _list(self, variable: str, condition: Value) -> str | None:
        """Return the name of the list of the workers for which a condition holds.

        None where it has no value for one of them: nobody may ever ask.
        """
        name = self._known.get((variable, condition))
        if name is None:
            test = pythonsource.function(self._policy, variable, pythonsource.python(condition), {})
            try:
                found = [worker for worker in self._workers if test(worker)]
            except (ArithmeticError, TypeError, ValueError):
                return None
            name = self._known[variable, condition] = f"_workers{len(self._known)}"
            self.names[name] = found
        return name


def _split(condition: Value, variable: str) -> tuple[Value, Value]:
    """Return the part of a condition that holds always or never, and what is left of it."""
    if not isinstance(condition, Formula):
        return True, condition
    parts = condition.arguments if condition.operation == "and" else (condition,)
    fixed = tuple(part for part in parts if _is_fixed(part, variable))
    rest = tuple(part for part in parts if not _is_fixed(part, variable))
    return _all(fixed), _all(rest)


def _all(parts: tuple[Value, ...]) -> Value:
    if not parts:
        return True
    return parts[0] if len(parts) == 1 else Formula("and", parts)


def _is_fixed(value: Value, variable: str) -> bool:
    if not isinstance(value, Formula):
        return True
    if value.operation == "field":
        return value.arguments[0] == symbol(variable) and value.arguments[1] in FIXED
    if value.operation in ("symbol", "select", "call"):
        return False
    return all(_is_fixed(argument, variable) for argument in value.arguments)
