"""The quick way through iterations to which nobody listens: the same steps with all at hand.

It knows all ways of batching but static, first come, first served, with no clause of admission
and no handler that is told of one. Whatever else turns up, an eviction among it, it leaves to the
worker, and takes over again after it.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from tsdl.runtime.fast.cohort import BITS, NUMBER
from tsdl.runtime.fast.steady import MOST
from tsdl.runtime.request import FINISHED

if TYPE_CHECKING:
    from tsdl.runtime.fast.worker import FastWorker
    from tsdl.runtime.memory import Memory
    from tsdl.runtime.request import Request

NEVER = 1 << 62  # steps


def suits(worker: FastWorker) -> bool:
    """Tell whether a worker's policy is one that this file knows."""
    local = worker.local
    return (
        local.batching != "static"
        and local.queue == "arrival"
        and not local.window
        and local.admit_when is True
        and local.budget is None
        and not local.admit_by
        and not worker.stepped  # who ends may have sent KV ahead, which goes with it
        and worker.facts.never_negative
        and not worker.cohort.near
        and worker.hooks.keys().isdisjoint(("start", "admit", "preempt", "iteration"))
    )


def takes(worker: FastWorker) -> bool:
    """Tell whether a worker is in a state that this file knows."""
    if worker.swapped or worker.free_at > worker.due or (worker.incoming and worker.awaits_kv):
        return False
    iteration = worker.current
    if iteration is None:
        return not worker.loners
    if len(worker.loners) != len(iteration.prefills) or iteration.decodes:
        return False
    for request in worker.loners:  # noqa: SIM110 (often: `all` and the property are slower)
        if request.busy or request.chain is not None:  # something waits for its end
            return False
    return True


def run(worker: FastWorker, limit: float, *, until_end: bool = False) -> None:
    """Let iterations end and begin before a time, while they are plain.

    With `until_end` it begins with what is due, and stops once somebody has ended.

    It is one function with all that changes in variables of its own: that is what makes it quick.
    `cohort`, `memory` and the worker have the same under the same names, and get it back at last.
    """
    cohort, memory = worker.cohort, worker.memory
    (
        inbox, unseen, waiting, ready, active, loners, members, ends, fresh, peaks, peak_steps,
        entering, block, unit, beside, capacity, room, footprint, shares, mixes, cuts, most,
        most_tokens, gap_length, gap_count, note_gaps, known, times_of, loops, time_of, in_blocks,
        looks_far, close,
    ) = worker.tools  # fmt: skip
    steps, contexts, size = cohort.steps, cohort.contexts, cohort.growing
    counted, last = cohort.counted, cohort.last
    used, peak = memory.used, memory.peak
    outstanding = worker.outstanding_tokens
    now, duration, busy, begun = worker.due, worker.duration, worker.busy, worker.begun
    iterations, refused, prefilling = worker.iterations, worker.refused, worker.prefilling
    landed, moved = worker.landed, worker.moved
    ahead, engaged = worker.local.asynchronous, worker.engaged
    gone, freed = worker.ended, memory.retired  # slots and bytes not known to be free
    saw = worker.saw  # whether there is more than what the iteration in flight was put together of
    iteration = worker.current
    prefills, grouped = (iteration.prefills, iteration.grouped) if iteration else ([], False)
    flying = iteration is not None
    nothing: list[tuple[Request, int]] = []
    general = bool(loners) and not (mixes or flying)  # who stays where prefills are handed over

    budget = tokens = cached = products = squares = complete = 0  # of the prefills to come
    credit, far = cohort.credit, cohort.farthest
    first_end = ends[0] >> BITS if ends else NEVER  # a step before which nobody ends
    somebody_ended = False
    first, tired = until_end, inf
    while (now < limit or first) and not general:
        first = False
        if not engaged:
            while inbox and inbox[0][0] <= now:
                _, request = inbox.popleft()
                outstanding += request.left
                waiting.append(request)
        # -- the iteration in flight ends
        if flying:
            landed = now
            busy += duration
            if grouped:
                gap = now - last
                steps += 1
                contexts += size
                outstanding -= size
                if counted:
                    gap_length(gap)
                    gap_count(counted)
                if len(fresh) < size:
                    while peaks and peaks[-1] <= gap:
                        peaks.pop()
                        peak_steps.pop()
                    peaks.append(gap)
                    peak_steps.append(steps)
                if fresh:
                    for request in fresh:
                        own = now - request.last  # type: ignore[operator]
                        if request.counted:
                            gap_length(own)
                            gap_count(1)
                            counted += 1
                        if own > request.largest_gap:
                            request.largest_gap = own
                        request.last = now
                        request.joined = steps
                    fresh.clear()
                last = now
            if prefills:
                prefilling += duration
                for request, chunk in prefills:
                    request.computed = computed = request.computed + chunk
                    if computed > request.furthest:
                        request.furthest = computed
                        moved = now
                    generated = request.generated + 1
                    context = request.prompt + generated
                    if computed + 1 < context:
                        continue
                    moved = now
                    request.prefilled = True
                    request.generated = generated
                    if request.last is None:
                        request.first = now
                        outstanding -= request.prompt + 1
                    else:
                        outstanding -= 1
                        own = now - request.last
                        if request.counted:
                            gap_length(own)
                            gap_count(1)
                        if own > request.largest_gap:
                            request.largest_gap = own
                    request.last = now
                    del loners[request]
                    rest = request.output - generated
                    if rest <= 0:
                        del active[request]
                        request.active = False
                        gone += 1
                        if shares:
                            memory.retire(request)
                        else:
                            freed += request.held
                            request.held = 0
                        close(request, FINISHED, now)
                        somebody_ended = until_end
                        continue
                    request.distance = distance = context - steps
                    request.joined = steps
                    request.ends = end = steps + rest
                    number = request.number
                    members[number] = request
                    heappush(ends, end << BITS | number)
                    if end < first_end:
                        first_end = end
                    size += 1
                    contexts += context
                    entering[distance % block] += 1
                    if in_blocks:
                        cohort.blocks[distance & 15] += 1
                    if far is not None and distance > far:
                        far = distance
                    if now != last:
                        fresh.append(request)
                    else:
                        counted += request.counted
                if moved != now and not grouped:
                    tired, limit = now, -inf  # to be told of once all is given back
            while steps >= first_end:
                found = members.pop(heappop(ends) & NUMBER, None)
                first_end = ends[0] >> BITS if ends else NEVER
                if found is None:
                    continue  # it has left before
                request = found
                distance, joined = request.distance, request.joined
                context = distance + steps
                if joined < steps:
                    request.last = now
                    place = bisect_right(peak_steps, joined)
                    if place < len(peaks) and peaks[place] > request.largest_gap:
                        request.largest_gap = peaks[place]
                size -= 1
                contexts -= context
                counted -= request.counted
                entering[distance % block] -= 1
                if in_blocks:
                    cohort.blocks[distance & 15] -= 1
                if distance == far:
                    far = None
                gone += 1
                held = ((context - 2 + block) // block) * unit + beside if unit else request.held
                request.generated, request.computed = request.output, context - 1
                if shares:
                    request.held = held
                    memory.retire(request)
                else:
                    freed += held
                    request.held = 0
                del active[request]
                request.active = False
                close(request, FINISHED, now)
                somebody_ended = until_end
                if not members:
                    peaks.clear()
                    peak_steps.clear()
            flying = False
            if gone and not ahead:
                used = _freed(memory, used) if shares else used - freed
                gone = freed = 0
                refused = False
            elif gone and mixes and not cuts:  # budget is there before slots and memory are
                refused = False

        # -- the next begins
        if ready:
            cohort.growing, cohort.contexts, cohort.counted = size, contexts, counted
            cohort.farthest = far
            general = not _join(worker, steps, last, most - gone)
            size, contexts, counted = cohort.growing, cohort.contexts, cohort.counted
            credit, far = cohort.credit, cohort.farthest
            first_end = ends[0] >> BITS if ends else NEVER
            if general:
                break
        grown = (entering[(1 - steps) % block] - credit) * unit if size else 0
        prefills = nothing
        if mixes or (waiting and not refused):
            prefills = []
            budget = most_tokens
            tokens = cached = products = squares = complete = 0
        if mixes:
            budget -= size
            if budget < 0 or used + grown > capacity:
                general = True
                break
            if loners:
                (request,) = loners
                cached = request.computed
                rest = request.prompt + request.generated - cached
                tokens = min(rest, budget)
                if tokens < rest and not cuts:
                    general = True
                    break
                held = footprint(cached + tokens, request.prompt, request.output)
                if tokens <= 0 or used + grown + held - request.held > capacity:
                    general = True
                    break
                used += grown + held - request.held
                request.held = held
                budget -= tokens
                products, squares, complete = tokens * cached, tokens * tokens, tokens == rest
                prefills.append((request, tokens))
                if shares:  # nobody is refused while it has chunks to do: others may find more now
                    memory.used = used
                    memory.register(request, cached + tokens)
            else:
                used += grown
        if waiting and not refused:
            number = worker.admissions
            slots = most - gone
            while waiting and len(active) < slots:
                request = waiting[0]
                prompt, output = request.prompt, request.output
                chunk = prompt + request.generated
                held = more = (
                    (chunk - 1 + block) // block * unit + beside
                    if unit
                    else footprint(chunk, prompt, output)
                )
                here = 0  # of it is computed, as it begins
                if shares:
                    memory.used = used
                    more = memory.match(request)
                    here = request.computed
                    chunk -= here
                if used + more > room:
                    break
                complete += 1
                if chunk > budget:
                    if cuts and budget > 0:
                        chunk = budget
                        held = footprint(here + chunk, prompt, output)
                        complete -= 1
                    elif cuts or prefills or chunk <= most_tokens or budget <= 0:
                        complete -= 1
                        break  # a prompt beyond the whole budget is the only one
                budget -= chunk
                tokens += chunk
                squares += chunk * chunk
                if shares:
                    cached += here
                    products += here * chunk
                    memory.begin(request, held)
                    memory.register(request, here + chunk)
                    used = memory.used
                else:
                    used += held
                    request.held = held
                number += 1
                request.number, request.active = number, True
                request.begun_on = worker.id
                waiting.popleft()
                active[request] = loners[request] = None
                if request.started is None:
                    request.started = now
                prefills.append((request, chunk))
            worker.admissions = number
            if shares and waiting:
                memory.unmatch(waiting[0])
            refused = not prefills and bool(waiting)
        grouped = size > 0 and (mixes or not prefills)
        if grouped:
            if not mixes:
                if used + grown > capacity:
                    general = True
                    break
                used += grown
            if credit:
                cohort.grant()
                credit = 0
        elif not prefills:
            if engaged:  # what it did not know may bring an iteration about
                engaged, first = False, True
                used = _freed(memory, used) if shares else used - freed
                gone = freed = 0
                refused = False
                waiting.extend(unseen)
                unseen.clear()
                continue
            now = inbox[0][0] if inbox else inf
            if somebody_ended:
                break
            continue
        if used > peak:
            peak = used
        if ahead:
            engaged, saw = True, gone > 0
            if gone:
                used = _freed(memory, used) if shares else used - freed
                gone = freed = 0
                refused = False
            if unseen:
                waiting.extend(unseen)
                unseen.clear()
            while inbox and inbox[0][0] <= now:
                _, request = inbox.popleft()
                outstanding += request.left
                waiting.append(request)
            saw = saw or bool(waiting and not refused)
        begun = now
        iterations += 1
        flying = True
        if prefills:
            count = len(prefills)
            if not grouped:
                duration = time_of(
                    tokens, count, complete, count, tokens, cached + tokens, products, squares,
                    0, 0, 0, 0, tokens, count, tokens,
                )  # fmt: skip
            else:
                blocks = longest = 0
                if in_blocks:
                    cohort.steps, cohort.contexts, cohort.size = steps, contexts, size
                    blocks = cohort.context_blocks()
                if looks_far:
                    far = max([r.distance for r in members.values()]) if far is None else far
                    longest = far + steps
                duration = time_of(
                    tokens + size, count + size, complete + size, count, tokens, cached + tokens,
                    products, squares, size, contexts, blocks, longest, tokens + size, count,
                    tokens + size,
                )  # fmt: skip
            if not duration < inf:
                worker.check(duration, prefills, size if grouped else 0)
            now += duration
            if somebody_ended:
                break
            continue
        fixed, growing = known[size] if size in known else times_of(size)
        blocks = longest = 0
        if growing is None:
            duration = fixed
        else:
            if in_blocks:
                cohort.steps, cohort.contexts, cohort.size = steps, contexts, size
                blocks = cohort.context_blocks()
            if looks_far:
                far = max([r.distance for r in members.values()]) if far is None else far
                longest = far + steps
            duration = growing(contexts, blocks, longest)
        if not duration < inf:
            worker.check(duration, (), size)
        now += duration
        if somebody_ended:
            break
        if fresh or now >= limit or saw:
            continue

        # -- and others that differ in nothing but time, until one changes more
        until = first_end - 1
        if until > steps + MOST:
            until = steps + MOST
        next_look: float = inbox[0][0] if inbox and inbox[0][0] < limit else limit
        if steps >= until or now >= next_look:
            continue
        before = steps
        now, duration, last, steps, contexts, busy, used, gaps = loops[size](
            now, duration, last, next_look, steps, until, contexts, size, far or 0, 0, busy, used
        )
        if gaps:
            begun = last
            iterations += steps - before
            outstanding -= (steps - before) * size
            if counted:
                note_gaps(gaps, counted)
            longest_gap = max(gaps)
            while peaks and peaks[-1] <= longest_gap:
                peaks.pop()
                peak_steps.pop()
            peaks.append(longest_gap)
            peak_steps.append(steps)
            if used > peak:
                peak = used

    cohort.steps, cohort.contexts, cohort.size, cohort.growing = steps, contexts, size, size
    cohort.counted, cohort.last, cohort.farthest = counted, last, far
    cohort.in_flight = flying and grouped
    memory.used, memory.peak = used, peak
    worker.outstanding_tokens = outstanding
    worker.due, worker.duration, worker.busy, worker.begun = now, duration, busy, begun
    worker.iterations, worker.prefilling, worker.landed = iterations, prefilling, landed
    worker.refused = refused and worker.facts.refusal_stays
    worker.engaged, worker.ended, worker.saw, memory.retired = engaged, gone, saw, freed
    worker.moved = moved
    worker.steady = False
    if flying:
        flown = worker.own_iteration
        flown.prefills, flown.grouped = prefills, grouped
        worker.current = flown
        worker.steady = grouped and not (prefills or fresh or saw)
    else:
        worker.current = None
    if general:
        worker.open_inbox(now)
        worker.look(worker, now)
    if tired < inf:
        worker.tire(tired)


def _freed(memory: Memory, used: int) -> int:
    """Let a memory that shares blocks free those of who has ended; return what is used then."""
    memory.used = used
    memory.free_retired()
    return memory.used


def _join(worker: FastWorker, steps: int, last: float, most: int) -> bool:
    """Let those join who came with their KV, as long as there are slots; False if one cannot."""
    cohort, ready, active = worker.cohort, worker.ready, worker.active
    cohort.steps, cohort.last = steps, last
    while ready and len(active) < most:
        request = ready[0]
        if not request.prefilled or request.busy or request.chain is not None:
            return False
        ready.popleft()
        active[request] = None
        request.active, request.begun_on = True, worker.id
        worker.admissions += 1
        request.number = worker.admissions
        if not worker.join(request):
            worker.loners[request] = None
            return False
    return True
