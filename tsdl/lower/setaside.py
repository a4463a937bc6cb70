"""Memory that a manager sets aside for the states of recurrent layers, and whom it has room for."""

from tsdl.diagnostics import Label
from tsdl.evaluate import Evaluator, Instance
from tsdl.lower.ineffective import report_ineffective


def set_aside(
    evaluator: Evaluator, worker: Instance, kv: Instance, room: float, state: int
) -> tuple[float, int | None]:
    """Return the bytes for KV and states, and for how many requests' states room is set aside.

    `room` is what there is for both, `state` what one takes. Without a share for states, or states,
    there is no such bound: None. Of what is set aside only the states that requests have count,
    once; their other places stay empty. Raises Failed where there is room for nobody.
    """
    share = evaluator.real(kv, "states")
    if not share:
        why = "nothing is set aside for states"
        report_ineffective(evaluator, kv, ("state_places",), why, "write `states`, too")
    if not share or not state:
        return room, None
    if evaluator.optional(kv, "blocks") is not None:
        why, remedy = "`blocks` says what there is", "leave one of both out"
        report_ineffective(evaluator, kv, ("states", "state_places"), why, remedy)
        return room, None
    places = evaluator.whole(kv, "state_places")
    requests = int(share * room // (places * state))
    if requests < 1:
        raise evaluator.fail(
            "E0511",
            f"`{kv.name}` sets aside less memory for states than a request takes",
            evaluator.span(kv, "states"),
            f"{share * room / 1e6:,.0f} MB",
            secondary=(Label(evaluator.place_of(worker), "on this worker"),),
            notes=(f"a state takes {state / 1e6:,.0f} MB, and a request {places} times that",),
            help=("set aside more, take fewer `state_places`, or more devices",),
        )
    return (1 - share) * room + requests * state, requests
