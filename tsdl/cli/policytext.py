"""A stage of a policy for people: its state and handlers, as they are written."""

from collections.abc import Collection, Iterator

from tsdl.plan import Extern, Global, Local
from tsdl.planhandlers import Handler, State, Statement


def stage_lines(name: str, stage: Local | Global, metrics: Collection[str]) -> list[str]:
    """Return the state and the handlers of a stage, which may record metrics, as it is written."""
    lines = [_state(state) for state in stage.states]
    if isinstance(stage, Global) and (stage.queue_by or stage.lane is not None):
        lane = "" if stage.lane is None else f" in {stage.lane}"
        by = f" by {', '.join(map(str, stage.queue_by))}" if stage.queue_by else ""
        lines.append(f"queue r{lane}{by}")
    if stage.extern is not None:
        lines.append(_extern(stage.extern))
    for handler in stage.handlers:
        lines += _handler(handler, metrics)
    return [f"  {name:<10}{line}" if not i else f"  {'':<10}{line}" for i, line in enumerate(lines)]


def _extern(extern: Extern) -> str:
    return f'extern "{extern.name}", which reads {", ".join(extern.reads) or "nothing"}'


def _state(state: State) -> str:
    kind = f": {state.kind}" if state.kind else ""
    key = f"[{state.key}]" if state.key else ""
    window = f" over {state.window:g} s" if state.window is not None else ""
    value = "" if state.kind else f" = {str(state.initial).lower()}"
    return f"state {state.name}{kind}{key}{window}{value}"


def _handler(handler: Handler, metrics: Collection[str]) -> list[str]:
    about = f"({', '.join(handler.variables)})" if handler.variables else ""
    event = f"every({handler.every:g} s)" if handler.every is not None else handler.event
    when = "" if handler.when is True else f" when {handler.when}"
    body = list(_body(handler.body, metrics))
    head = f"on {event}{about}{when}"
    if len(body) == 1:
        return [f"{head} {{ {body[0].strip()} }}"]
    return [f"{head} {{", *body, "}"]


def _body(
    statements: tuple[Statement, ...], metrics: Collection[str], depth: int = 1
) -> Iterator[str]:
    for statement in statements:
        yield from _statement(statement, metrics, depth)


def _statement(statement: Statement, metrics: Collection[str], depth: int) -> Iterator[str]:
    front = "  " * depth
    values = [
        str(value) if not isinstance(value, str) else f'"{value}"' for value in statement.values
    ]
    name = statement.name
    match statement.word:
        case "let":
            yield f"{front}let {name} = {values[0]}"
        case "if" | "for" as word:
            head = f"if {values[0]}" if word == "if" else f"for {name} in {values[0]}"
            yield f"{front}{head} {{"
            yield from _body(statement.body, metrics, depth + 1)
            if statement.otherwise:
                yield f"{front}}} else {{"
                yield from _body(statement.otherwise, metrics, depth + 1)
            yield f"{front}}}"
        case "set" | "add" as word:
            *key, value = values
            sign = "=" if word == "set" else "+="
            yield f"{front}{name}{f'[{key[0]}]' if key else ''} {sign} {value}"
        case "dispatch" | "transfer" as word:
            yield f"{front}{word} {values[0]} to {values[1]}"
        case "store" | "demote":
            yield f"{front}store {values[0]} in {name}"
        case "fetch":
            yield f"{front}fetch {values[0]} from {name}"
        case "prefetch":
            yield f"{front}fetch {values[0]} from {name} to {statement.values[1]}"
        case "record":
            series = name if name in metrics else f'"{name}"'
            yield f"{front}record {series}, {values[0]}"
        case "delay":
            yield f"{front}delay {values[0]} s"
        case word:
            yield f"{front}{word} {', '.join(values)}"
