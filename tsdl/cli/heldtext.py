"""What a plan tells of KV caches: what a token takes, what a request, and how many have room."""

from tsdl.costs import compiled_footprint
from tsdl.diagnostics.words import several
from tsdl.plan import KVCache, Model, Workers

_ALL = 0.99  # of what a token takes at first: where windows end, later ones take less


def held_text(workers: Workers, model: Model) -> str:
    """Tell what a token takes and how many fit.

    Where windows end, or requests keep a state beside, it is how many requests of full context.
    """
    kv = workers.kv
    whole = not workers.pipeline and not any(offload.keeps_kv for offload in workers.offloads)
    each = workers.devices if whole else 1
    where = f" on each of {each} devices" if each > 1 else ""
    a_token = f"{kv.bytes_per_token / each / 1024:.4g} KiB a token{where}"
    full = _held(kv, model.context)
    if kv.state:
        beside = f"{kv.state / each / 2**20:.4g} MiB a request"
        short, long = (int(kv.capacity / size) if size else 0 for size in (_held(kv, 1), full))
        if kv.requests is not None and kv.requests < short:
            room = f"places for states of {several(kv.requests, 'request')}"
        else:
            room = f"{several(short, 'request')} of a token"
        room += f", {long:,} of {model.context:,}"
        return f"{a_token}, and {beside}: {room}"
    if 0 < full < _ALL * kv.bytes_per_token * model.context:
        requests = several(int(kv.capacity / full), "request")
        mean = f"{full / model.context / each / 1024:.4g} in the mean of {model.context:,}"
        return f"{a_token}, {mean}: {requests} of that length"
    tokens = int(kv.capacity / kv.bytes_per_token) if kv.bytes_per_token else 0
    return f"{a_token}: {several(tokens, 'token')}"


def _held(kv: KVCache, context: int) -> int:
    """Return the bytes of a request of that length; 0 where its formula has no value."""
    try:
        return compiled_footprint(kv)(max(context - 1, 1), context, 1)
    except (ArithmeticError, NameError, TypeError, ValueError):
        return 0
