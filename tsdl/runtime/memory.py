"""KV memory of a worker: bytes taken and given back, on the device and in swap space."""

from tsdl.costs import compiled_footprint, watermark
from tsdl.plan import KVCache
from tsdl.runtime.request import Request


class Memory:
    """What is held of the KV cache; `fill` and the rest are read by policies."""

    def __init__(self, kv: KVCache, share: float) -> None:
        """Begin empty; admission leaves a share of the capacity free."""
        self.capacity = kv.capacity
        self.watermark = watermark(kv, share)
        self.footprint = compiled_footprint(kv)
        self.used = 0
        self.peak = 0
        self.swap_space = kv.swap_space
        self.swapped = 0

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
        used = self.used + self.needed(request, request.length)
        return used / self.capacity if self.capacity else 0.0

    def needed(self, request: Request, context: int) -> int:
        """Return the bytes that a request holds at a context."""
        return self.footprint(context, request.prompt, request.output)

    def could_ever_hold(self, request: Request) -> bool:
        """Tell whether a request would fit at its longest, were it alone."""
        longest = request.prompt + request.output - 1
        most = max(self.needed(request, request.prompt), self.needed(request, longest))
        return most <= self.capacity - self.watermark

    def admits(self, size: int) -> bool:
        """Tell whether a newcomer of this size leaves the watermark free."""
        return self.used + size <= self.capacity - self.watermark

    def grow(self, request: Request, size: int) -> None:
        """Let a request hold `size` bytes in all."""
        self.used += size - request.held
        request.held = size
        self.peak = max(self.peak, self.used)

    def release(self, request: Request) -> None:
        """Take back all that a request holds."""
        self.used -= request.held
        request.held = 0

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
