"""What a plan has to say for energy, cost and carbon of its runs to be known."""

from collections.abc import Iterator

from tsdl.formula import Value, every_part
from tsdl.plan import Plan, Workers

# Which totals need which others to be known (SPEC.md, section 9.2).
_OF = {
    "energy_per_token": "energy",
    "cost_per_million_tokens": "cost",
    "carbon_per_token": "carbon",
}


def unknown(condition: Value, plan: Plan) -> tuple[str, str, str] | None:
    """Return the first total of a condition that no run can tell, what lacks, and what to write."""
    for part in every_part(condition):
        if part.operation == "symbol":
            name = str(part.arguments[0])
            for why, remedy in _lacking(_OF.get(name, name), plan):
                return name, why, remedy
    return None


def _lacking(total: str, plan: Plan) -> Iterator[tuple[str, str]]:
    site = plan.site
    owned = [kind for kind in plan.workers if not kind.rented]
    match total:
        case "energy":
            yield from _powerless(plan.workers)
        case "carbon":
            yield from _powerless(plan.workers)
            if site.carbon is None:
                yield (
                    f"site `{site.name}` has no `carbon`",
                    "write `carbon = 481 gCO2/kWh`, there or in one derived from it",
                )
        case "cost":
            for name in (name for kind in plan.workers for name in kind.unpriced):
                yield (
                    f"hardware `{name}` has neither `price` nor `rent`",
                    "write `price = 10_000 USD` or `rent = 2 USD/h`, there or in one "
                    "derived from it",
                )
            yield from _powerless(owned)
            if owned and site.electricity is None:
                yield (
                    f"site `{site.name}` has no `electricity`",
                    "write `electricity = 0.08 USD/kWh`, there or in one derived from it",
                )


def _powerless(workers: list[Workers] | tuple[Workers, ...]) -> Iterator[tuple[str, str]]:
    for name in (name for kind in workers for name in kind.unpowered):
        yield (
            f"hardware `{name}` has no `power`",
            "write `power { idle = 60 W; peak = 400 W }`, there or in one derived from it",
        )
