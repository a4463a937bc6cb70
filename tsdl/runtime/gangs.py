"""Gangs: workers that begin and end their iterations together; most are a worker alone.

Ranks that share experts meet in every layer, so that none can go on without the others (SPEC.md,
section 8.18). Each puts an iteration together from its own queue. One that finds none takes part
with a dummy, and all take as long as the slowest.
"""

from collections.abc import Callable, Sequence

from tsdl.costs import Batch
from tsdl.runtime.batching import Iteration
from tsdl.runtime.worker import Worker


def gangs_of(workers: Sequence[Worker]) -> list["Gang"]:
    """Return the gangs of all workers, in the order of their first ranks.

    The workers of a block, in all copies of its node, form gangs in the order of their numbers.
    """
    gangs: list[Gang] = []
    unfinished: dict[tuple[str, str], Gang] = {}
    for worker in workers:
        block = (worker.kind.node.partition(".")[0], worker.kind.name)
        gang = unfinished.get(block)
        if gang is None or len(gang.ranks) == worker.kind.ranks:
            gang = unfinished[block] = Gang(worker)
            gangs.append(gang)
        else:
            gang.join(worker)
    return gangs


class Gang:
    """Ranks in the order of their numbers, and the iteration that they have in flight.

    What happens to a gang at a time happens at the place of its first rank, the leader.
    """

    def __init__(self, leader: Worker) -> None:
        """Begin with one rank."""
        self.leader = leader
        self.ranks = [leader]
        self.in_flight: list[tuple[Worker, Iteration]] = []  # of each rank; a dummy is empty
        self.held_back: list[tuple[Worker, float]] = []  # who waits for others, and until when
        self.gave_way = False  # whether somebody has room for others since it looked

    def join(self, worker: Worker) -> None:
        """Add the next rank."""
        worker.leader = self.leader.id
        self.ranks.append(worker)

    def any(self, holds: Callable[[Worker], bool]) -> bool:
        """Tell whether something holds of a rank; all are asked."""
        return any([holds(worker) for worker in self.ranks])  # noqa: C419 (asking does something)

    def schedule(self, now: float, prepare: Callable[[Worker], None]) -> float | None:
        """Let each rank put its next iteration together; return the seconds that all take.

        None if no rank has one. `prepare` is called with each rank before.
        """
        found: list[tuple[Worker, Iteration | None]] = []
        self.held_back.clear()
        self.gave_way = False
        for worker in self.ranks:
            until = worker.holds_back(now)
            prepare(worker)
            if until is None:
                found.append((worker, worker.schedule(now)))
                self.gave_way |= worker.gave_way
            else:
                found.append((worker, None))
                self.held_back.append((worker, until))
        if not any(iteration for _, iteration in found):
            return None
        self.in_flight = [(worker, iteration or dummy()) for worker, iteration in found]
        if len(found) > 1:
            self._tell_peers()
        return max([worker.duration_of(iteration, now) for worker, iteration in self.in_flight])

    def _tell_peers(self) -> None:
        """Let the ranks know what the most of them have to do, and the least."""
        batches = [worker.full_batch(iteration) for worker, iteration in self.in_flight]
        tokens = [batch.tokens for batch in batches]
        most, least = max(tokens), min(tokens)
        prefills = max(batch.prefills for batch in batches)
        for batch in batches:
            batch.peer_tokens, batch.least_peer_tokens = most, least
            batch.peer_prefills = prefills


def dummy() -> Iteration:
    """Return what a rank without an iteration computes: a token that is nobody's."""
    return Iteration(batch=Batch(tokens=1, peer_tokens=1))
