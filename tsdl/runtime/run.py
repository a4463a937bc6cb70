"""A plan to a result: draws the requests, runs an engine, sums up."""

from tsdl.plan import Plan
from tsdl.runtime.arrivals import generate
from tsdl.runtime.engine import Engine, Progress
from tsdl.runtime.result import Result


def run(plan: Plan, seed: int | None = None, progress: Progress | None = None) -> Result:
    """Run a plan; without a seed, with the plan's own."""
    chosen = plan.seed if seed is None else seed
    arrivals = generate(plan.workload, chosen)
    return Result(plan, chosen, Engine(plan, arrivals, chosen, progress=progress).run())
