"""KV memory of a worker: bytes taken and given back, on the device and in swap space."""

from collections.abc import Callable

from tsdl import formula
from tsdl.costs import compiled_footprint, compiled_move, watermark
from tsdl.diagnostics.words import several
from tsdl.facts import growth_of, holds_something
from tsdl.formulaerrors import CannotBe, cannot_be
from tsdl.parts import of_kvcache
from tsdl.plan import Channel, KVCache
from tsdl.runtime.request import Request


class Memory:
    """What is held of the KV cache; `fill` and the rest are read by policies."""

    __slots__ = (
        "_context", "_host", "_in", "_of_context_only", "_out", "block", "block_tokens",
        "bytes_per_token", "capacity", "footprint", "holds_all", "name", "peak", "retired",
        "rises", "state", "swap_space", "swapped", "used", "watermark",
    )  # fmt: skip

    shares = False  # whether equal blocks are kept once
    asked = 0  # tokens of newcomers, and how many of them were there already
    found = 0

    def __init__(self, kv: KVCache, share: float, host: Channel) -> None:
        """Begin empty; admission leaves a share of the capacity free."""
        self.name, self.capacity = kv.name, kv.capacity
        self.watermark = watermark(kv, share)
        below = None if holds_something(kv) else _below_zero(kv.name)
        self.footprint = compiled_footprint(kv, below)
        self.block = kv.block_tokens * kv.bytes_per_token
        self.block_tokens = kv.block_tokens
        self.bytes_per_token, self.state = kv.bytes_per_token, kv.state
        self._of_context_only = formula.symbols(kv.footprint) <= {"context"}
        self.rises = growth_of(kv) is not None  # never less for a longer context
        self._context = 0
        self.holds_all = False  # any request that the model takes fits here, were it alone
        self.used = self.peak = 0
        self.retired = 0  # bytes of those that ended, which are in use until that is known
        self.swap_space = kv.swap_space
        self.swapped = 0
        self._host = host
        self._out, self._in = compiled_move(kv, kv.swap_out), compiled_move(kv, kv.swap_in)

    @property
    def free(self) -> int:
        """Return the bytes not in use."""
        return self.capacity - self.used

    @property
    def fill(self) -> float:
        """Return used over capacity."""
        return self.used / self.capacity if self.capacity else 0.0

    def fill_with(self, request: Request) -> float:
        """Return what `fill` would be with a request admitted."""
        used = self.used + self.needed(request)
        return used / self.capacity if self.capacity else 0.0

    def needed(self, request: Request, context: int | None = None) -> int:
        """Return the bytes that a request holds at a context; at the one that it has, without."""
        at = request.prompt + request.generated if context is None else context
        return self.footprint(at, request.prompt, request.output)

    def final(self, request: Request) -> int:
        """Return the bytes that a request holds at its longest: its last token is never cached."""
        return self.needed(request, request.prompt + request.output - 1)

    def serve(self, context: int, longest: int) -> None:
        """Get to know how many tokens a request may have here, and how many it may have at all."""
        self._context = context
        if self.rises and self._of_context_only:
            room = self.capacity - self.watermark
            fits = self.footprint(longest, longest, longest) <= room
            self.holds_all = fits and longest <= context

    def could_ever_hold(self, request: Request, *, decodes: bool) -> bool:
        """Tell whether a request would fit at its longest, were it alone."""
        prompt, output = request.prompt, request.output
        if prompt + output > self._context:
            return False
        most = self.footprint(prompt + output - 1, prompt, output) if decodes else 0
        if not (decodes and self.rises):
            most = max(most, self.needed(request))
        return most <= self.capacity - self.watermark

    def admits(self, size: int) -> bool:
        """Tell whether a newcomer of this size leaves the watermark free."""
        return self.used + size <= self.capacity - self.watermark

    # What the memory of prefixes.py does otherwise, where equal blocks are kept once.

    def cached(self, request: Request) -> int:
        """Return the tokens of a request whose KV is here already."""
        return 0

    def match(self, request: Request) -> int:
        """Let a newcomer begin with what is here; return the bytes that it takes besides."""
        return self.needed(request)

    def unmatch(self, request: Request) -> None:
        """Let it wait on, with nothing."""

    def begin(self, request: Request, size: int) -> None:
        """Let a newcomer hold `size` bytes in all, what it begins with among them."""
        self.grow(request, size)

    def register(self, request: Request, tokens: int) -> None:
        """Let others find the full blocks of the first tokens of a request."""

    def retire(self, request: Request) -> None:
        """Take back what a request holds once `free_retired` is called."""
        self.retired += request.held
        request.held = 0

    def free_retired(self) -> None:
        """Take back what those held that have been retired."""
        self.used -= self.retired
        self.retired = 0

    def reserve(self, size: int) -> None:
        """Take so many bytes for what is on its way here."""
        self.used += size
        if self.used > self.peak:  # noqa: PLR1730 (often: `max` is slower)
            self.peak = self.used

    def grow(self, request: Request, size: int) -> None:
        """Let a request hold `size` bytes in all."""
        self.used += size - request.held
        request.held = size
        if self.used > self.peak:  # noqa: PLR1730 (often: `max` is slower)
            self.peak = self.used

    def release(self, request: Request) -> None:
        """Take back all that a request holds."""
        self.used -= request.held
        request.held = 0

    # -- swap space of the host ----------------------------------------------------------------

    def swap_out(self, request: Request) -> bool:
        """Move what a request holds to swap space; False where it does not fit."""
        if self.swapped + request.held > self.swap_space:
            return False
        self.swapped += request.held
        self.used -= request.held
        return True

    def swap_in(self, request: Request, size: int) -> None:
        """Bring a request back; it then holds `size` bytes."""
        self.swapped -= request.held
        self.used += size
        request.held = size
        self.peak = max(self.peak, self.used)

    def out_time(self, request: Request) -> float:
        """Return the seconds that moving a request to swap space takes. Raises CannotBe."""
        return self._time(request) if self._out is None else self._move("out", self._out(request))

    def in_time(self, request: Request) -> float:
        """Return the seconds that bringing it back takes. Raises CannotBe."""
        return self._time(request) if self._in is None else self._move("in", self._in(request))

    def _time(self, request: Request) -> float:
        return self._host.latency + request.held / self._host.bandwidth

    def _move(self, way: str, seconds: float) -> float:
        """Return how long a move takes. Raises CannotBe if that cannot be."""
        if cannot_be(seconds):
            raise CannotBe(
                of_kvcache(self.name),
                f"`swap_{way}` of a request would take {seconds:g} seconds",
                f"see to it that `swap_{way}` is never negative: `max(0 s, …)`",
            )
        return seconds


def _below_zero(name: str) -> Callable[[int, int, int, int], int]:
    """Return what refuses sizes below zero of a request's footprint."""

    def refuse(size: int, context: int, prompt: int, output: int) -> int:
        raise CannotBe(
            of_kvcache(name),
            f"a request would hold {several(size, 'byte')}",
            "see to it that `footprint` is never negative: `max(0 B, …)`",
            f"at a context of {several(context, 'token')} (prompt {prompt:,}, output {output:,})",
        )

    return refuse
