"""How the workers of a plan will be simulated, as lines for people."""

from tsdl.plan import Plan
from tsdl.plantold import Rung


def rung_lines(plan: Plan) -> list[str]:
    """Return a line for each group of workers that differs from the others."""
    return list(dict.fromkeys(f"{rung.group} is {rung_text(rung)}" for rung in plan.rungs))


def rung_text(rung: Rung) -> str:
    """Return the rung of a group, and what decides it."""
    if not rung.because:
        return rung.name
    first = rung.because[0]
    where = f" ({first.place})" if first.place else ""
    return f"{rung.name} because of `{first.part}`{where}: {first.why}"
