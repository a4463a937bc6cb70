"""What a run used: transfers of KV, tiers, what the cluster costs and draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsdl.plan import Plan, Site
    from tsdl.runtime.memory import Memory
    from tsdl.runtime.outcome import Outcome
    from tsdl.runtime.tiers import Tier
    from tsdl.runtime.worker import Worker

_MILLION = 1_000_000
# What is told of the cluster beside its devices and their power.
_SPENT = (
    "price", "energy", "energy_per_token", "cost", "cost_per_million_tokens", "carbon",
    "carbon_per_token",
)  # fmt: skip


def totals(outcome: Outcome, site: Site, tokens: int) -> dict[str, float]:
    """Return the totals of section 9.2 that are about what was used.

    `tokens` are those that the run generated. What the plan does not say is NaN.
    """
    places: list[Tier | Memory] = [*outcome.tiers, *(w.memory for w in outcome.workers)]
    asked = sum(place.asked for place in places) - sum(tier.again for tier in outcome.tiers)
    found = sum(place.found for place in places)
    drafts = [worker.drafts for worker in outcome.workers if worker.drafts is not None]
    made, accepted = (sum(getattr(d, key) for d in drafts) for key in ("made", "accepted"))
    workers, on = outcome.workers, [outcome.time_on(worker) for worker in outcome.workers]
    drawn = [energy(*each, outcome.end) for each in zip(workers, on, strict=True)]
    costs = (_cost(*each, outcome.end, site) for each in zip(workers, drawn, on, strict=True))
    used, cost = math.fsum(drawn), math.fsum(costs)
    carbon = used * site.pue * _known(site.carbon)

    def per_token(amount: float) -> float:
        return amount / tokens if tokens else math.nan

    return {
        "transferred": sum(outcome.notes.transfers.size),
        "hit_rate": found / asked if asked else math.nan,
        "acceptance_length": 1 + accepted / made if made else math.nan,
        "price": math.fsum(worker.kind.price or math.nan for worker in outcome.workers),
        "energy": used,
        "energy_per_token": per_token(used),
        "cost": cost,
        "cost_per_million_tokens": per_token(cost * _MILLION),
        "carbon": carbon,
        "carbon_per_token": per_token(carbon),
    }


def energy(worker: Worker, on: float, end: float) -> float:
    """Return the joules that the devices of a worker have drawn, which was on for so many seconds.

    They draw `idle_power` all that time, and up to `peak_power` or `decode_power` while they
    compute with or without prompts, up to the end of the run. NaN where no power is known.
    """
    kind = worker.kind
    if not kind.peak_power:
        return math.nan
    computing, prefilling = worker.computing(end)
    return (
        kind.idle_power * on
        + (kind.decode_power - kind.idle_power) * (computing - prefilling)
        + (kind.peak_power - kind.idle_power) * prefilling
    )


def _cost(worker: Worker, drawn: float, on: float, end: float, site: Site) -> float:
    """Return the USD of a worker's devices and of the joules that they drew.

    A rent is paid while the worker is on; who has bought devices has them up to the end.
    """
    kind = worker.kind
    if kind.upkeep is None:
        return math.nan
    spent = kind.rent * on + kind.upkeep * end
    return spent if kind.rented else spent + drawn * site.pue * _known(site.electricity)


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def devices(plan: Plan) -> int:
    """Return the devices of all workers, as many as there may be."""
    return sum(kind.count * kind.devices for kind in plan.workers)


def cluster(plan: Plan, known: dict[str, float]) -> dict[str, Any]:
    """Return what the cluster is made of, devices, USD, watts, and what the run has spent."""

    def over_all(field: str) -> float:
        return math.fsum(kind.count * getattr(kind, field) for kind in plan.workers)

    return {
        "devices": devices(plan),
        **{power: over_all(power) for power in ("idle_power", "decode_power", "peak_power")},
        **{name: known[name] if math.isfinite(known[name]) else None for name in _SPENT},
    }


def tier(used: Tier) -> dict[str, Any]:
    """Return what came of a tier; `token_hit_rate` is of the tokens that were asked for."""
    return {
        "name": used.plan.name,
        "node": used.plan.node,
        "capacity": used.plan.capacity,
        "peak": used.peak,
        "fetches": used.fetches,
        "hits": used.hits,
        "tokens_asked": used.asked,
        "tokens_found": used.found,
        "token_hit_rate": used.found / used.asked if used.asked else None,
        "stores": used.stores,
        "refused": used.refused,
        "evictions": used.evictions,
    }
