"""What a run used: transfers of KV, tiers, what the cluster costs and draws."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsdl.plan import Plan
    from tsdl.runtime.engine import Outcome
    from tsdl.runtime.memory import Memory
    from tsdl.runtime.tiers import Tier


def totals(outcome: Outcome) -> dict[str, float]:
    """Return the totals of section 9.2 that are about what was used."""
    places: list[Tier | Memory] = [*outcome.tiers, *(w.memory for w in outcome.workers)]
    asked = sum(place.asked for place in places)
    found = sum(place.found for place in places)
    kinds = [worker.kind for worker in outcome.workers]
    drawn = (
        w.kind.idle_power * outcome.end + (w.kind.peak_power - w.kind.idle_power) * w.busy
        for w in outcome.workers
    )
    return {
        "transferred": sum(outcome.notes.transfers.size),
        "hit_rate": found / asked if asked else math.nan,
        "price": math.fsum(kind.price for kind in kinds),
        "energy": math.fsum(drawn),
    }


def cluster(plan: Plan, known: dict[str, float]) -> dict[str, Any]:
    """Return what the cluster is made of: devices, USD, watts; and the joules of the run."""

    def over_all(field: str) -> float:
        return math.fsum(kind.count * getattr(kind, field) for kind in plan.workers)

    return {
        "devices": sum(kind.count * kind.devices for kind in plan.workers),
        "price": known["price"],
        "idle_power": over_all("idle_power"),
        "peak_power": over_all("peak_power"),
        "energy": known["energy"],
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
