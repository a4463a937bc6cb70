"""What a model of times has to say to be tabulated: four functions, in seconds."""

from typing import Protocol


class NoTime(Exception):
    """A model has no time at a point; the message says why. The table has a hole there."""


class NoSource(Exception):
    """A model cannot be had, or not for what is asked; the message says why."""


class Times(Protocol):
    """The times of iterations of one model on one kind of workers, in seconds.

    Each function raises NoTime where it has none. An iteration of decodes alone takes `decodes`;
    one that prefills takes `others`, and the attention of its prefills and of its decodes.
    """

    def decodes(self, sequences: int, context: int) -> float:
        """Return what an iteration takes in which so many sequences of such contexts decode.

        A context is all tokens that attention sees, the new one included.
        """

    def others(self, tokens: int) -> float:
        """Return what all but attention takes, in an iteration of so many tokens that prefills."""

    def prefill(self, tokens: int, past: int) -> float:
        """Return what the attention of one prefill takes: so many tokens, after others."""

    def attention(self, sequences: int, context: int) -> float:
        """Return what the attention of decodes takes in an iteration that prefills."""
