"""Work and times below zero, and shares beyond the whole, that formulas of a program come to.

They are told before a run adds them up.
"""

from collections.abc import Iterable, Iterator

from tsdl.costs import Batch
from tsdl.evaluate import Evaluator, Instance
from tsdl.formula import Formula, Value, make, substituted

_CONTEXTS = (1024, 8192)


def iterations(
    decode_tokens: int = 1, longest: int = _CONTEXTS[0]
) -> Iterator[tuple[str, dict[Formula, Value]]]:
    """Yield what is known of iterations that every run may have, with what they are called.

    `longest` is the longest context of the model.
    """
    for context in sorted({min(context, longest) for context in _CONTEXTS}):
        for decodes, called in ((1, "one decode"), (64, "64 decodes")):
            batch = Batch()
            batch.add_decodes([context] * decodes, decode_tokens)
            batch.close()
            yield f"{called} at {context:,} tokens", batch.known()
        batch = Batch()
        batch.add_prefill(context, 0, last=True)
        batch.close()
        yield f"a prefill of {context:,} tokens", batch.known()


def check_negative(
    evaluator: Evaluator,
    block: Instance,
    name: str,
    formulas: dict[str, Value],
    when: Value,
    looked_at: Iterable[tuple[str, dict[Formula, Value]]] | None = None,
) -> None:
    """See that what a block says by its fields is not below zero. Raises Failed.

    The `iterations` of a model with short contexts are looked at, where no others are given.

    Those of the library need no look, unless a program derives from them, and so says what they
    are given. What has no value without a run is left to it.
    """
    fields = block.members.fields
    derived = not block.root.declaration.module.library
    own = {
        key: make("if", when, value, 0)
        for key, value in formulas.items()
        if key in fields and (derived or not fields[key].owner.module.library)
    }
    if not own:
        return
    for called, known in looked_at or iterations():
        for key, value in own.items():
            number = _number(value, known)
            inherited = fields[key].owner.module.library
            if number < 0:
                raise evaluator.fail(
                    "E0503",
                    f"`{key}` of `{name}` must be at least 0, and is {number:.4g} in an iteration "
                    f"of {called}",
                    evaluator.place_of(block.root) if inherited else evaluator.span(block, key),
                    notes=("such an iteration would seem to take less time than it does",),
                    help=(
                        "give what it derives from other sizes"
                        if inherited
                        else "write `max(…, 0)`, or when it is launched at all: `when = …`",
                    ),
                )


def is_feature(rows: Value) -> bool:
    """Tell whether a formula is nothing but a feature of the batch, which is never below zero."""
    return isinstance(rows, Formula) and rows.operation == "symbol"


def check_rows(
    evaluator: Evaluator,
    operator: Instance,
    name: str,
    rows: Value,
    looked_at: Iterable[tuple[str, dict[Formula, Value]]],
) -> None:
    """See that what `tokens` means in an operator is not below zero. Raises Failed.

    Where nobody says when it is launched, it is for tokens above 0, and would not be.
    """
    own = "when" in operator.members.fields or "when" in operator.overrides
    launched = make("if", evaluator.known(operator, "when"), rows, 0) if own else rows
    for called, known in looked_at:
        number = _number(launched, known)
        if number < 0:
            raise evaluator.fail(
                "E0503",
                f"`rows` of `{name}` must be at least 0, and is {number:.4g} in an iteration of "
                f"{called}",
                evaluator.span(operator, "rows"),
                notes=("such an operator would seem to take no time",),
                help=("write `max(…, 0)`, or when it is launched at all: `when = …`",),
            )


def check_share(evaluator: Evaluator, block: Instance, key: str, value: Value) -> None:
    """See that a share which a formula says is from none to the whole. Raises Failed."""
    for called, known in iterations():
        number = _number(value, known)
        if not 0 <= number <= 1:
            raise evaluator.fail(
                "E0503",
                f"`{block.path}{key}` is a share, from 0 to 100 %, and is {100 * number:.4g} % in "
                f"an iteration of {called}",
                evaluator.span(block, key),
                help=(f"keep it within: `{key} = clamp(…, 0, 1)`",),
            )


def _number(value: Value, known: dict[Formula, Value]) -> float:
    """Return what a formula is where all is known; 0 where it has no value, or only a run has."""
    try:
        number = substituted(value, known)
    except ArithmeticError:
        return 0
    return number if isinstance(number, (int, float)) else 0
