"""Requests that decode together, as one: what a step does to all of them takes constant time.

A cohort counts its steps. A member stores the step at which it ends, and its context as a distance
from that count, and is not touched until it leaves: its tokens, its KV and its largest gap follow
from the count. How many members enter a new block of KV at a step is looked up by their distance.
"""

from bisect import bisect_right
from heapq import heappop, heappush

from tsdl.facts import Growth
from tsdl.runtime.request import Request

BITS = 40  # of the number of an admission, below the step at which it ends
NUMBER = (1 << BITS) - 1
FEATURE_BLOCK = 16  # tokens of a block in the feature `context_blocks`


class Cohort:
    """The decoding requests of a worker.

    `size` counts all that the next iteration decodes, `growing` those that gain a token by it: the
    others are the padding of a static batch. `contexts` is the sum of their contexts in it.
    """

    __slots__ = (
        "block", "blocks", "contexts", "counted", "credit", "ends", "farthest", "fixed", "fresh",
        "growing", "in_flight", "last", "leaving", "members", "near", "near_credit", "on_blocks",
        "on_near", "padding", "peak_gaps", "peak_steps", "size", "steps", "unit", "window",
    )  # fmt: skip

    def __init__(self, growth: Growth) -> None:
        """Begin empty."""
        self.block, self.unit = growth.block, growth.size
        self.near, self.window = growth.near, growth.window  # bytes of a block within the window
        self.fixed = growth.fixed  # bytes that a member holds at any context
        self.steps = 0
        self.members: dict[int, Request] = {}  # by number, in the order of joining
        self.ends: list[int] = []  # heap of last step and number as one number; some are gone
        self.size = self.growing = self.contexts = 0
        self.counted = 0  # of the growing, those that came after the warm-up and are not fresh
        self.last = -1.0  # when the last step ended
        self.on_blocks = [0] * self.block  # growing members by distance modulo the block
        self.blocks = [0] * FEATURE_BLOCK  # the same for the feature of the cost
        self.farthest: int | None = None  # the greatest distance; None where it is to be found
        self.credit = 0  # members that would enter a block, and hold it already
        # The same within the window: members by distance, and a heap of the steps at which the next
        # context is beyond it, with numbers as in `ends`.
        self.on_near = [0] * self.block
        self.near_credit = 0
        self.leaving: list[int] = []
        self.fresh: list[Request] = []  # those whose last token is not of the last step
        self.padding: list[Request] = []
        self.in_flight = False  # whether an iteration of theirs is, for which they have memory
        # Gaps that no later one exceeds, with the step at which each ended: falling, and rising.
        self.peak_steps: list[int] = []
        self.peak_gaps: list[float] = []

    # -- members -------------------------------------------------------------------------------

    def join(self, request: Request, *, ahead: bool) -> None:
        """Take in a request that decodes from the next step on.

        `ahead` tells whether it holds the memory for that step already, and would not otherwise.
        """
        context = request.prompt + request.generated
        distance = request.distance = context - self.steps
        request.ends = self.steps + request.output - request.generated
        request.joined = self.steps
        request.ahead = ahead
        self.members[request.number] = request
        heappush(self.ends, request.ends << BITS | request.number)
        self.size += 1
        self.growing += 1
        self.contexts += context
        if self.farthest is not None and distance > self.farthest:
            self.farthest = distance
        self.on_blocks[distance % self.block] += 1
        self.blocks[distance % FEATURE_BLOCK] += 1
        self.credit += ahead
        if self.near and context <= self.window:
            self.on_near[distance % self.block] += 1
            self.near_credit += ahead
            heappush(self.leaving, (self.window - distance + 1) << BITS | request.number)
        if request.last != self.last:
            self.fresh.append(request)
        else:
            self.counted += request.counted

    def leave(self, request: Request) -> None:
        """Take a member out, with all its fields as they are now."""
        del self.members[request.number]
        self.show(request)
        self.size -= 1
        self.growing -= 1
        distance = request.distance
        if distance == self.farthest:
            self.farthest = None
        self.contexts -= distance + self.steps
        self.on_blocks[distance % self.block] -= 1
        self.blocks[distance % FEATURE_BLOCK] -= 1
        near = self.near and distance + self.steps <= self.window
        if near:
            self.on_near[distance % self.block] -= 1
        if request.ahead:
            self.credit -= 1
            self.near_credit -= bool(near)
            request.ahead = False
        if self.fresh and request in self.fresh:
            self.fresh.remove(request)
        else:
            self.counted -= request.counted

    def show(self, request: Request) -> None:
        """Write what has become of a member into its fields."""
        request.held = self.held_by(request)
        request.generated = request.output - (request.ends - self.steps)
        request.computed = request.prompt + request.generated - 1
        if request.joined == self.steps:
            return  # no step since it joined, or was fresh
        request.last = self.last
        place = bisect_right(self.peak_steps, request.joined)
        if place < len(self.peak_gaps) and self.peak_gaps[place] > request.largest_gap:
            request.largest_gap = self.peak_gaps[place]

    def held_by(self, request: Request) -> int:
        """Return the bytes that a member holds: those for the iteration in flight, if one is."""
        if not self.grows:
            return request.held
        context = request.distance + self.steps - (not (self.in_flight or request.ahead))
        near = -(-min(context, self.window) // self.block) * self.near
        return -(-context // self.block) * self.unit + near + self.fixed

    def dissolve(self) -> None:
        """Take all out; the padding stays what it is."""
        for request in list(self.members.values()):
            self.leave(request)
        self.clear()

    def clear(self) -> None:
        """Forget what only members needed, once there are none."""
        self.ends.clear()
        self.peak_steps.clear()
        self.peak_gaps.clear()
        self.fresh.clear()
        self.padding.clear()
        self.leaving.clear()
        self.size = self.growing = self.contexts = self.counted = self.credit = 0
        self.near_credit = 0
        self.farthest = None
        self.in_flight = False

    # -- steps ---------------------------------------------------------------------------------

    @property
    def next_end(self) -> int:
        """Return the step at which the first member ends."""
        ends = self.ends
        while ends[0] & NUMBER not in self.members:
            heappop(ends)
        return ends[0] >> BITS

    @property
    def grows(self) -> bool:
        """Tell whether members take more memory as they decode."""
        return bool(self.unit or self.near)

    def needed(self) -> int:
        """Return the bytes that the next step takes."""
        entered = (1 - self.steps) % self.block
        more = (self.on_blocks[entered] - self.credit) * self.unit
        if self.near:
            more += (self.on_near[entered] - self.near_credit) * self.near
        return more

    @property
    def next_beyond(self) -> int | None:
        """Return the step at which the first next context is beyond the window; None without."""
        leaving = self.leaving
        while leaving and leaving[0] & NUMBER not in self.members:
            heappop(leaving)
        return leaving[0] >> BITS if leaving else None

    def pass_window(self) -> None:
        """Take those out of the window whose next context is beyond it."""
        leaving = self.leaving
        while leaving and leaving[0] >> BITS <= self.steps:
            request = self.members.get(heappop(leaving) & NUMBER)
            if request is not None:
                self.on_near[request.distance % self.block] -= 1

    def grant(self) -> None:
        """Note that the next step has got its memory."""
        self.in_flight = True
        if self.credit:
            for request in self.members.values():
                request.ahead = False
            self.credit = self.near_credit = 0

    def step(self, now: float, gaps: dict[float, int]) -> None:
        """Give all growing members a token; count the gaps of those that count."""
        self.in_flight = False
        self.steps += 1
        self.contexts += self.growing
        gap = now - self.last
        if self.counted:
            gaps[gap] = gaps.get(gap, 0) + self.counted
        for request in self.fresh:
            own = now - request.last  # type: ignore[operator]
            if request.counted:
                gaps[own] = gaps.get(own, 0) + 1
            request.largest_gap = max(request.largest_gap, own)
            request.last = now
            request.joined = self.steps
            self.counted += request.counted
        if self.growing > len(self.fresh):
            self.note(gap)
        self.fresh.clear()
        self.last = now
        if self.leaving:
            self.pass_window()

    def note(self, gap: float) -> None:
        """Note the greatest gap of the steps up to this one."""
        steps, peaks = self.peak_steps, self.peak_gaps
        while peaks and peaks[-1] <= gap:
            peaks.pop()
            steps.pop()
        peaks.append(gap)
        steps.append(self.steps)

    def ended(self) -> list[Request]:
        """Take out those who have all their tokens; in a static batch they become padding."""
        found = []
        ends, members = self.ends, self.members
        while ends and ends[0] >> BITS <= self.steps:
            request = members.get(heappop(ends) & NUMBER)
            if request is not None:
                self.leave(request)
                found.append(request)
        if not members:
            self.peak_steps.clear()
            self.peak_gaps.clear()
        return found

    def pad(self, request: Request) -> None:
        """Keep the slot of one that has ended: it is computed on, and gains nothing."""
        self.padding.append(request)
        self.size += 1
        self.contexts += request.prompt + request.generated

    # -- features of the cost that few costs have ----------------------------------------------

    def context_blocks(self) -> int:
        """Return the blocks of 16 tokens that the contexts of the next iteration take."""
        blocks = 0
        for distance, count in enumerate(self.blocks):
            # The rest of each context in its last block, modulo 16, is the same for all of these.
            blocks += count * (-(distance + self.steps) % FEATURE_BLOCK)
        padded = sum(-(r.prompt + r.generated) % FEATURE_BLOCK for r in self.padding)
        return (self.contexts + blocks + padded) // FEATURE_BLOCK

    def longest_context(self) -> int:
        """Return the longest context of the next iteration."""
        growing = self.greatest_distance() + self.steps if self.members else 0
        return max(growing, self.longest_padding())

    def longest_padding(self) -> int:
        """Return the longest context of a slot that is computed on in vain."""
        return max([r.prompt + r.generated for r in self.padding], default=0)

    def greatest_distance(self) -> int:
        """Return the greatest distance of the members, of which there are some."""
        if self.farthest is None:
            self.farthest = max([r.distance for r in self.members.values()])
        return self.farthest
