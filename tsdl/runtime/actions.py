"""What handlers may do. Actions on one request form a chain: each begins when the one before ended.

Copies (`transfer`, `store`, `fetch`) may begin while an iteration computes on their request; all
else waits until it has ended. A request whose chain goes on is not put into an iteration.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from tsdl.formulaerrors import see_to_size
from tsdl.runtime.handover import Handover, RemoteSwap
from tsdl.runtime.request import REJECTED, UNFINISHED, Request
from tsdl.runtime.scaling import Scaling
from tsdl.runtime.system import System
from tsdl.runtime.tiermoves import TierMoves
from tsdl.runtime.worker import Worker


class Actions:
    """The actions of the global stage, which but for `dispatch` and `transfer` all stages have."""

    def __init__(self, system: System, handover: Handover) -> None:
        """Act on a system; `submitted`, `closed` and others are what follows, set by the engine."""
        self.system = system
        self.handover = handover
        self.submitted: Callable[[Request], None] = lambda request: None
        self.closed: Callable[[Request, str], None] = lambda request, status: None
        self.lost: Callable[[Request], None] = lambda request: None
        self.deferred: dict[int, list[Request]] = {}  # by worker: who waits for an iteration's end
        handover.settle = self.go_on
        self.scaling = Scaling(system)
        self.tier_moves = TierMoves(system)

    # -- chains ----------------------------------------------------------------------------------

    def _act(self, request: Request, action: Callable[[], None], *, copies: bool = False) -> None:
        """Put an action at the end of a request's chain."""
        if request.status == REJECTED or (request.done and not copies):
            return
        if request.chain is None:
            request.chain = deque()
        request.chain.append((copies, action))
        self.go_on(request)

    def go_on(self, request: Request) -> None:
        """Do the actions of a request's chain that may be done now."""
        worker = self._touched(request)
        while request.chain and not request.busy:
            copies, action = request.chain[0]
            if not copies and worker is not None and worker.computes(request):
                self.deferred.setdefault(worker.id, []).append(request)
                worker.awaited()
                return
            request.chain.popleft()
            action()
            if not request.busy:
                worker = self._touched(request)
        if not request.busy:
            request.chain = None
            if worker is not None:
                self._settled(request, worker)

    def release(self, worker: Worker) -> None:
        """Do what had to wait for the end of an iteration, or until the next was put together."""
        for request in self.deferred.pop(worker.id, ()):
            self.go_on(request)

    def _touched(self, request: Request) -> Worker | None:
        """Return the worker of a request, brought up to date."""
        if request.worker < 0:
            return None
        worker = self.system.workers[request.worker]
        worker.touch(request)
        return worker

    def _worker_of(self, request: Request) -> Worker | None:
        return self.system.workers[request.worker] if request.worker >= 0 else None

    def _settled(self, request: Request, worker: Worker) -> None:
        """Give back what only the chain of a request held, and let its worker look."""
        if request.done:
            self.handover.forget_copy(request)
            if request in worker.leaving:
                worker.leaving.remove(request)
                worker.memory.release(request)
                self.handover.take_in_if_overlapped(worker)
        self.system.wake(worker)

    # -- where requests go -----------------------------------------------------------------------

    def dispatch(self, request: Request, target: Worker) -> None:
        """Send a request to a worker; its KV travels with it."""
        if request.loose:
            self._place(request, target)
        elif self._may_go(request, target) and request.worker != target.id:
            self.handover.expected(request)
            self._act(request, lambda: self._move(request, target))

    def _move(self, request: Request, target: Worker) -> None:
        if self._may_go(request, target) and request.worker != target.id:
            self.leave(request)
            request.loose = True
            self._place(request, target)

    def _may_go(self, request: Request, target: Worker) -> bool:
        """Tell whether a worker does what a request needs next."""
        if request.status != UNFINISHED or not target.up:
            return False
        if request.prefilled and not self._has_kv_of_another(request, target):
            return target.decodes
        return target.prefills or request.generated > 0

    def _has_kv_of_another(self, request: Request, target: Worker) -> bool:
        """Tell whether the KV of a request is that of a model which a worker does not serve."""
        place = request.source or self._worker_of(request)
        return place is not None and place.serves != target.serves

    def _let_kv_go(self, request: Request) -> None:
        """Give back what a request holds where it was: nobody fetches it."""
        source = request.source
        assert source is not None
        source.catch_up()
        source.memory.release(request)
        if request in source.leaving:
            source.leaving.remove(request)
        request.source = None
        request.lose()
        self.handover.under_way.pop(request.id, None)
        self.handover.take_in_if_overlapped(source)
        self.system.wake(source)

    def _place(self, request: Request, target: Worker) -> None:
        """Give a loose request to a worker, if it may take it."""
        if not self._may_go(request, target):
            return
        if request.worker >= 0:
            self.system.count_request(request)
        memory = target.memory
        if not (memory.holds_all or memory.could_ever_hold(request, decodes=target.decodes)):
            request.worker = target.id
            self.reject_now(request)
            return
        if request.source is not None and self._has_kv_of_another(request, target):
            self._let_kv_go(request)
        request.loose = False
        source = request.source
        if source is None or source is target:  # what was sent ahead is of no use
            if request.copy is not None:
                self.handover.forget_copy(request)
            if self.handover.under_way:
                self.handover.under_way.pop(request.id, None)
        if source is None:
            self.system.give(request, target)
        elif source is target:
            source.catch_up()
            source.leaving.remove(request)
            request.source = None
            target.take(request)
            target.ready.append(request)
            self.system.wake(target)
        else:
            self.handover.expect(request, target)

    def leave(self, request: Request) -> None:
        """Take a request off its worker; its KV stays there until it is elsewhere."""
        worker = self._worker_of(request)
        if worker is None or request.loose:
            return
        swapped = request in worker.swapped
        worker.let_go(request)
        if swapped:
            self._lose_swapped(request, worker)
        elif request.held and request.source is None:
            if request.computed:
                request.source = worker
                worker.leaving.append(request)
            else:  # it was admitted, and has no KV yet
                worker.memory.release(request)
        self.system.wake(worker)

    def _lose_swapped(self, request: Request, worker: Worker) -> None:
        """Give back the swap space of a request, whose KV is lost with it."""
        if isinstance(worker.swapper, RemoteSwap):
            worker.swapper.give_up(request)
        else:
            worker.memory.swapped -= request.held
        request.held = 0
        request.lose()

    def give_up_swap(self, request: Request) -> None:
        """Have a swapped request wait at the head of its worker's queue, to be computed anew."""
        worker = self._worker_of(request)
        assert worker is not None
        self.system.count_request(request)
        worker.swapped.remove(request)
        self._lose_swapped(request, worker)
        worker.waiting.appendleft(request)
        self.system.wake(worker)

    def submit(self, request: Request) -> None:
        """Have a request leave its worker, and be dispatched anew."""
        if not request.loose and request.status == UNFINISHED:
            self.handover.expected(request)
            self._act(request, lambda: self._submit(request))

    def _submit(self, request: Request) -> None:
        if request.status == UNFINISHED and not request.loose:
            self.system.count_request(request)
            self.leave(request)
            self.submitted(request)

    def preempt(self, request: Request) -> None:
        """Have a running request give its place up, as a victim does."""
        self._act(request, lambda: self._preempt(request))

    def _preempt(self, request: Request) -> None:
        worker = self._worker_of(request)
        if request.active and not request.done and worker is not None:
            self.system.count_request(request)
            worker.spend(worker.preempt(request), self.system.clock.now)
            self.system.wake(worker)

    def drop(self, request: Request) -> None:
        """Have a request give its KV back; it waits on its worker, to be computed or fetched."""
        self._act(request, lambda: self._drop(request))

    def _drop(self, request: Request) -> None:
        worker = self._worker_of(request)
        if request.active and not request.done and worker is not None:
            self.system.count_request(request)
            worker.deactivate(request)
            worker.forget(request)
            self.handover.take_in_if_overlapped(worker)
            self.system.wake(worker)

    def lose_all(self, worker: Worker) -> None:
        """Take all requests off a failed worker, each once nothing computes or sends it."""
        worker.catch_up()
        queues = (
            worker.active, worker.swapped, worker.ready, worker.waiting, worker.unseen,
            worker.incoming,
        )  # fmt: skip
        here = [request for queue in queues for request in queue]
        here += [request for request in worker.leaving if request.loose]  # nobody fetches theirs
        for request in sorted(here, key=lambda r: r.id):
            self._act(request, partial(self._lose, request, worker))

    def _lose(self, request: Request, worker: Worker) -> None:
        """Have a request leave a failed worker, without what that had of its KV."""
        if request.status != UNFINISHED:
            return
        if request.loose and request.source is not worker:
            return
        if not request.loose and request.worker != worker.id:
            return
        self.system.count_request(request)
        if request in worker.incoming:  # its KV is where it was
            self._take_off_target(request)
        else:
            if not request.loose:
                self.leave(request)
            if request.source is worker:
                worker.leaving.remove(request)
                request.source = None
            self.handover.forget_copy(request)
            worker.memory.release(request)
            request.computed, request.prefilled = 0, False
            if self.handover.under_way:
                self.handover.under_way.pop(request.id, None)
        request.loose = True
        self.system.wake(worker)
        self.lost(request)

    def reject(self, request: Request) -> None:
        """Reject a request, wherever it is."""
        if request.loose:
            self.reject_now(request)
        else:
            self._act(request, lambda: self.reject_now(request))

    def reject_now(self, request: Request) -> None:
        """Take a request out of the system."""
        if request.status != UNFINISHED:
            return
        if not request.loose and self._worker_of(request) is not None and not request.source:
            self.leave(request)
        if request.source is not None:
            request.source.catch_up()
            self._take_off_target(request)
            self._let_kv_go(request)
        self.handover.forget_copy(request)
        request.chain = None
        self.closed(request, REJECTED)

    def _take_off_target(self, request: Request) -> None:
        worker = self._worker_of(request)
        if worker is not None and request in worker.incoming:
            worker.catch_up()
            worker.let_go(request)
            self.handover.under_way.pop(request.id, None)

    # -- KV --------------------------------------------------------------------------------------

    def transfer(self, request: Request, target: Worker) -> None:
        """Send what is computed of a request's KV to a worker, ahead of it."""
        if target.up:
            self._act(request, lambda: self.handover.send_ahead(request, target), copies=True)

    def scale(self, name: str, number: float) -> None:
        """Have so many workers of a group, as far as there may be."""
        self.scaling.to(name, number)

    def store(self, name: str, request: Request) -> None:
        """Copy a request's KV to a tier."""
        self._act(request, lambda: self._store(name, request), copies=True)

    def _store(self, name: str, request: Request) -> None:
        worker = request.source or self._worker_of(request)
        tier = self.system.tier(name, worker.id) if worker is not None else None
        if worker is None or tier is None or not request.held or request.swapped_to is not None:
            return
        tokens = tier.whole(request.computed)
        fresh = tokens - tier.tokens_of(request)
        size, state = int(fresh * worker.memory.bytes_per_token), worker.memory.state
        request.busy = True  # handlers of what has to go may have actions on it, which wait
        entry = tier.make_room(request, tokens, max(size, 0), state, self.tier_moves.leave)
        if entry is None or fresh <= 0:
            request.busy = False
            if entry is not None:
                tier.keep(entry, request, 0, self.system.clock.now)
            return

        def done() -> None:
            worker.catch_up()
            tier.keep(entry, request, tokens, self.system.clock.now)
            request.busy = False
            self.go_on(request)

        ports = self.system.way_to(tier, worker, into=True)
        about = ("store", request.id)
        self.system.network.send(size + state, ports, tier.latency(fresh), done, about)

    def fetch(self, name: str, request: Request) -> None:
        """Copy what a tier has of a request's KV to its worker, where it runs."""
        self._act(request, lambda: self._fetch(name, request), copies=True)

    def _fetch(self, name: str, request: Request) -> None:
        worker = self._worker_of(request)
        if worker is None or not request.active or request.prefilled or request.done:
            return
        tier = self.system.tier(name, worker.id)
        if tier is None or worker.in_flight(request):
            return
        if tier.awaits(request, lambda: self._come(name, request)):
            request.busy = True
            return
        entry, tokens = tier.look_up(request)
        gained = tokens - request.computed
        size = worker.memory.needed(request, tokens) if entry is not None else 0
        if entry is None or size - request.held > worker.memory.free:
            return
        if size > request.held:
            worker.memory.grow(request, size)
        tier.hit(entry, request, gained)
        request.busy = True

        def done() -> None:
            worker.catch_up()
            entry.last_used = self.system.clock.now
            tier.unpin(entry)
            request.computed = tokens
            request.cached += gained
            # A request that has generated needs no more than what it had computed: it decodes.
            complete = request.generated > 0 and tokens == request.length - 1
            request.prefilled = complete and worker.decodes
            worker.partial |= not request.prefilled
            request.busy = False
            self.go_on(request)

        ports = self.system.way_to(tier, worker, into=False)
        moved = int(gained * worker.memory.bytes_per_token) + worker.memory.state
        about = ("fetch", request.id)
        self.system.network.send(moved, ports, tier.latency(gained), done, about)

    def demote(self, name: str, request: Request) -> None:
        """Have what a tier lets go of, and handlers are told of, go to another one."""
        self.tier_moves.demote(name)

    def prefetch(self, name: str, request: Request, into: str) -> None:
        """Copy what a tier has of a request's conversation to another one."""
        self.tier_moves.prefetch(name, request, into)

    def _come(self, name: str, request: Request) -> None:
        """Fetch what a request has waited for, as far as it still may."""
        worker = self.system.workers[request.worker]
        worker.catch_up()
        request.busy = False
        if self.scaling.runs(worker):
            self._fetch(name, request)
        if not request.busy:
            self.go_on(request)

    # -- what is told ----------------------------------------------------------------------------

    def log(self, *values: object) -> None:
        """Note a line of text. Raises CannotBe for a number that is too large."""
        for value in values:
            see_to_size(value, "logs")
        shown = (
            str(v).lower()
            if isinstance(v, bool)
            else f"{v:.6g}"
            if isinstance(v, float)
            else str(v)
            for v in values
        )
        self.system.notes.log.append((self.system.clock.now, " ".join(shown)))

    def record(self, name: str, value: float) -> None:
        """Note a number under a name. Raises CannotBe for one that is too large."""
        see_to_size(value, "records")
        self.system.notes.records.append((self.system.clock.now, -1, name, float(value)))
