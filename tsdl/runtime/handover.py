"""KV on its way between workers: hand-offs, copies sent ahead, victims swapped to other memory."""

from collections.abc import Callable

from tsdl.runtime.request import Copy, Request
from tsdl.runtime.system import System
from tsdl.runtime.tiers import Tier
from tsdl.runtime.worker import Worker


class Handover:
    """Takes requests in that come with their KV.

    The target reserves their memory when their transfer begins; the source holds it until that has
    ended. A worker that takes in sequentially does so between its iterations, one after another;
    any other beside them, with at most `buffer` bytes on their way.
    """

    def __init__(self, system: System) -> None:
        """Begin with nothing on its way."""
        self.system = system
        self.under_way: dict[int, float] = {}  # by request: since when it is to be handed over
        # Told when a request may go on, and when a worker has changed; set by who is to be told.
        self.settle: Callable[[Request], None] = lambda request: None
        self.changed: Callable[[], None] = lambda: None

    def expect(self, request: Request, target: Worker) -> None:
        """Have a worker take a request in, whose KV stands elsewhere."""
        target.catch_up()
        target.take(request)
        target.incoming.append(request)
        self.expected(request)
        if target.sequential:
            self.system.wake(target)
        else:
            self.take_in(target)
        target.awaited()

    def expected(self, request: Request) -> None:
        """Note since when a request is to be handed over, with its KV."""
        if request.held:
            self.under_way.setdefault(request.id, self.system.clock.now)

    def take_in(self, worker: Worker) -> None:
        """Begin the transfers for which there is room, beside what the worker computes."""
        while worker.taking < len(worker.incoming):
            request = self.next_of(worker)
            if request is None:
                return
            self._begin(request, worker)

    def next_of(self, worker: Worker) -> Request | None:
        """Return who may be taken in now; None where nobody may."""
        if len(worker.incoming) == worker.taking:
            return None  # all are on their way
        worker.catch_up()
        waiting = [r for r in worker.incoming if not r.busy]
        if not waiting or worker.keeps_out:
            return None
        request = worker.next_incoming(waiting)
        size = worker.memory.needed(request)
        copy = request.copy
        if copy is not None and copy.worker is worker:
            size -= copy.held
        buffer = worker.kind.buffer
        full = buffer is not None and worker.arriving and worker.arriving + request.held > buffer
        if full or not worker.memory.admits(size) or not worker.may_admit(request):
            return None
        return request

    def _begin(self, request: Request, worker: Worker) -> None:
        """Send what is left of a request's KV to the worker that takes it in."""
        source = request.source
        assert source is not None
        size = worker.memory.needed(request)
        copy = request.copy
        if copy is not None and copy.worker is not worker:
            self.forget_copy(request)
            copy = None
        worker.reserve(size - (copy.held if copy else 0))
        # Where heads of the KV cache are replicated among devices, each is sent once.
        rest = max(min(request.held, size) - (copy.sent if copy else 0), 0)
        request.busy = True
        worker.arriving += rest
        worker.taking += 1
        system, begun = self.system, self.system.clock.now

        def done() -> None:
            source.catch_up()
            worker.catch_up()
            now = system.clock.now
            worker.arriving -= rest
            worker.taking -= 1
            source.memory.release(request)
            source.leaving.remove(request)
            request.source = request.copy = None
            request.held = size
            request.moved += rest
            request.moving += now - self.under_way.pop(request.id, begun)
            system.notes.transfers.append(rest, now - begun)
            worker.incoming.remove(request)
            worker.ready.append(request)
            request.busy = False
            worker.tell("transferred", request)
            self.settle(request)
            self.take_in_if_overlapped(source)
            self.take_in_if_overlapped(worker)
            system.wake(source)
            system.wake(worker)
            self.changed()
            system.tire(now)

        about = ("hand-over", request.id)
        system.network.send(rest, system.route(source, worker), 0.0, done, about)

    def begin_next(self, worker: Worker) -> bool:
        """Begin the next transfer of a worker that takes in sequentially; False without one."""
        request = self.next_of(worker) if worker.sequential else None
        if request is not None and not worker.taking:
            self._begin(request, worker)
            return True
        return False

    def take_in_if_overlapped(self, worker: Worker) -> None:
        """Begin transfers of a worker that takes in beside its iterations."""
        if not worker.sequential and worker.incoming:
            self.take_in(worker)

    # -- sent ahead ------------------------------------------------------------------------------

    def send_ahead(self, request: Request, target: Worker) -> None:
        """Send what is computed of a request's KV to a worker, where there is room for it."""
        if request.worker < 0 or request.swapped_to is not None or request.done:
            return
        source = request.source or self.system.workers[request.worker]
        if source is target or source.serves != target.serves:
            return
        source.touch(request)
        target.catch_up()
        copy = request.copy
        if copy is not None and copy.worker is not target:
            self.forget_copy(request)
            copy = None
        if copy is None:
            size = target.memory.needed(request)
            if not target.memory.admits(size):
                return
            target.reserve(size)
            copy = request.copy = Copy(target, size, 0)
        amount = min(self._computed(request, source), copy.held) - copy.sent
        if amount <= 0:
            return
        request.busy = True
        begun = self.system.clock.now

        def done() -> None:
            self.system.workers[request.worker].catch_up()
            copy.sent += amount
            request.busy = False
            request.moved += amount
            self.system.notes.transfers.append(amount, self.system.clock.now - begun)
            if request.done:
                self.forget_copy(request)
            self.settle(request)

        ports, about = self.system.route(source, target), ("sent ahead", request.id)
        self.system.network.send(amount, ports, 0.0, done, about)

    def _computed(self, request: Request, source: Worker) -> int:
        """Return the bytes of KV that are there: at a breakpoint those of the layers so far.

        A state is not among them: it changes with every token, and goes with the request itself.
        """
        memory = source.memory
        before = memory.needed(request, request.computed) - memory.state if request.computed else 0
        iteration = source.current
        if iteration is None:
            return before
        chunk = next((c for r, c in iteration.prefills if r is request), 0)
        chunk = chunk or int(request in iteration.decodes)
        after = memory.needed(request, request.computed + chunk) - memory.state if chunk else before
        return before + int((after - before) * source.share)

    def forget_copy(self, request: Request) -> None:
        """Give back the memory of what was sent ahead."""
        copy = request.copy
        if copy is not None:
            copy.worker.catch_up()
            copy.worker.reserve(-copy.held)
            request.copy = None
            self.system.wake(copy.worker)


class RemoteSwap:
    """Swap space in a tier, or in the memory of other workers; reached over the network."""

    def __init__(self, system: System, name: str) -> None:
        """Take the tiers or the workers of a name."""
        self.system = system
        self.name = name
        self.moves: dict[int, int] = {}  # by worker: how many moves it waits for

    def out(self, worker: Worker, request: Request) -> bool:
        """Begin to move a victim; False where there is no room for it."""
        place = self._room(worker, request.held)
        if place is None:
            return False
        if isinstance(place, Tier):
            place.used += request.held
            place.peak = max(place.peak, place.used)
        else:
            place.reserve(request.held)
        worker.reserve(-request.held)
        request.swapped_to = place
        self._move(worker, place, request, out=True)
        return True

    def back(self, worker: Worker, request: Request) -> None:
        """Begin to bring a victim back."""
        place = request.swapped_to
        assert isinstance(place, (Tier, Worker))
        self.give_up(request)
        self._move(worker, place, request, out=False)

    def give_up(self, request: Request) -> None:
        """Give back the room of a swapped request."""
        place = request.swapped_to
        if isinstance(place, Tier):
            place.used -= request.held
        elif isinstance(place, Worker):
            place.catch_up()
            place.reserve(-request.held)
            self.system.wake(place)
        request.swapped_to = None

    def _room(self, worker: Worker, size: int) -> Tier | Worker | None:
        """Return the tier, or of the workers with room the one with the most."""
        tier = self.system.tier(self.name, worker.id)
        if tier is not None:
            return tier if tier.used + size <= tier.plan.capacity else None
        others = [w for w in self.system.up if w.kind.name == self.name and w is not worker]
        for other in others:
            other.catch_up()
        fitting = [other for other in others if other.memory.admits(size)]
        return max(fitting, key=lambda w: (w.memory.free, -w.id), default=None)

    def _move(self, worker: Worker, place: Tier | Worker, request: Request, *, out: bool) -> None:
        """Send the KV; the worker's next iteration waits for it."""
        self.moves[worker.id] = self.moves.get(worker.id, 0) + 1
        extra = 0.0
        if isinstance(place, Worker):
            ports = self.system.route(*((worker, place) if out else (place, worker)))
        else:
            ports = self.system.way_to(place, worker, into=out)
            extra = place.latency(request.length)

        def done() -> None:
            self.moves[worker.id] -= 1
            self.system.wake(worker)

        about = ("swap out" if out else "swap in", request.id)
        self.system.network.send(request.held, ports, extra, done, about)
