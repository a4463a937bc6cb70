"""Drafted tokens: which of them are right, by a number of its own for each token of a request.

The number of a token depends on the seed, on its request and on its place alone: whatever else a
scenario changes, the same tokens are easy to tell, and it does not matter who asks when.
"""

from tsdl import pythonsource
from tsdl.parts import of_acceptance
from tsdl.plan import Local, Speculation
from tsdl.runtime.request import Request
from tsdl.runtime.streams import stream

_ALL = 2**64 - 1  # the bits of a number
_STEP = 0x9E3779B97F4A7C15  # of SplitMix64, as are the numbers of `_mixed`


class Drafts:
    """What is drafted on a worker, and how much of it has been of use."""

    def __init__(self, local: Local, speculation: Speculation, seed: int) -> None:
        """Begin with nothing drafted."""
        self.tokens = speculation.tokens
        chance = pythonsource.python(speculation.acceptance)
        self._acceptance = pythonsource.function(of_acceptance(local.policy), "r", chance, {})
        self._start = int(stream(seed, "speculation").integers(2**63))
        self.made = 0  # decodes for which tokens were drafted
        self.accepted = 0  # of these tokens

    @property
    def length(self) -> float | None:
        """Return the tokens that a request has gained in the mean where some were drafted."""
        return 1 + self.accepted / self.made if self.made else None

    def accepted_of(self, request: Request) -> int:
        """Return how many of the tokens drafted for a request are right, and still of use to it.

        Each is right by the chance that the policy gives to it, if all before it were.
        """
        self.made += 1
        first = request.generated
        last = min(first + self.tokens, request.output - 1)
        chance = self._acceptance(request)
        of_request = _mixed(_mixed(self._start + request.session) + request.turn)
        place = first
        while place < last and _mixed(of_request + place * _STEP) < chance * 2**64:
            place += 1
        self.accepted += place - first
        return place - first


def _mixed(number: int) -> int:
    """Return a number of 64 bits in which each bit depends on all of another number's.

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014; Vigna's constants).
    """
    number = (number + _STEP) & _ALL
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _ALL
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _ALL
    return number ^ number >> 31
