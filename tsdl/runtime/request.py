"""A request as the engine knows it."""

from dataclasses import dataclass

FINISHED, REJECTED, UNFINISHED = "finished", "rejected", "unfinished"


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way; times in seconds, NaN-free: None until it happened."""

    id: int
    arrived: float
    prompt: int
    output: int
    counted: bool = True  # arrived after the warm-up
    generated: int = 0
    computed: int = 0  # tokens whose KV is held
    prefilled: bool = False  # has computed all that it had when it was admitted
    active: bool = False  # among those that run on a worker
    held: int = 0  # bytes of KV on the device, or in swap space
    preemptions: int = 0
    worker: int = -1
    started: float | None = None
    first: float | None = None
    last: float | None = None
    largest_gap: float = 0.0
    status: str = UNFINISHED

    @property
    def length(self) -> int:
        """Return the tokens that exist: the prompt and what was generated."""
        return self.prompt + self.generated

    @property
    def context(self) -> int:
        """Return the tokens whose KV it holds or is about to hold."""
        return self.prompt + self.generated

    @property
    def done(self) -> bool:
        """Tell whether it has generated all of its output."""
        return self.generated >= self.output
