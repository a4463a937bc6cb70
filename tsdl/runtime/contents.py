"""What is in a request, as far as others may have the same: keys of its blocks.

Equal keys mean the same tokens in a block and in all before it. They are whole numbers, which are
looked up quickest: of each four, one kind of content has one.
"""

import numpy as np
from msgspec import Struct

_KINDS = 4
_NAMED, _BEGINNING, _SAID = range(3)
_PLACES = 1 << 32  # more than any request has blocks


class Unknown(Struct, frozen=True):
    """Of a prompt nothing is known: it is like no other."""

    def keys(self, block: int) -> list[int]:
        """Return no key."""
        return []


class Named(Struct, frozen=True):
    """A file names the content of so many tokens each."""

    names: tuple[int, ...]
    span: int

    def keys(self, block: int) -> list[int]:
        """Return the keys of the blocks that the names reach over."""
        if block > self.span:
            step = block // self.span
            return [name * _KINDS + _NAMED for name in self.names[step - 1 :: step]]
        each = self.span // block
        return [(name * each + at) * _KINDS + _NAMED for name in self.names for at in range(each)]


class Beginning(Struct, frozen=True):
    """A prompt begins with one of several texts, which is so many tokens long."""

    number: int
    tokens: int

    def keys(self, block: int) -> list[int]:
        """Return the keys of the blocks that are full of it."""
        return _places(_BEGINNING, self.number, 0, self.tokens // block)


class Parted(Struct, frozen=True):
    """What is in a request of one of so many workloads, none of which has what another has."""

    content: "Unknown | Named | Beginning"
    part: int
    many: int

    def keys(self, block: int) -> list[int]:
        """Return its keys, which are those of its part alone."""
        each = (divmod(key, _KINDS) for key in self.content.keys(block))
        return [(place * self.many + self.part) * _KINDS + kind for place, kind in each]


Content = Unknown | Named | Beginning | Parted
UNKNOWN = Unknown()


class Beginnings(Struct, frozen=True):
    """The beginnings of the prompts of a workload's rows, as a function that can be pickled."""

    chosen: list[int]  # which text each row has
    tokens: list[int]  # of each text
    prompts: np.ndarray[tuple[int], np.dtype[np.int64]]  # tokens of each row, or of its first turn

    def __call__(self, row: int) -> Beginning:
        """Return with what the prompt of a row begins."""
        text = self.chosen[row]
        return Beginning(text, min(self.tokens[text], int(self.prompts[row])))


class Names(Struct, frozen=True):
    """The names that a file has for what is in the prompts of its rows, as such a function."""

    names: tuple[tuple[int, ...], ...]
    span: int
    prompts: np.ndarray[tuple[int], np.dtype[np.int64]]

    def __call__(self, row: int) -> Named:
        """Return the names of a row's prompt."""
        return Named(self.names[row][: int(self.prompts[row]) // self.span], self.span)


def keys(content: Content, session: int, block: int, tokens: int) -> list[int]:
    """Return the keys of all full blocks of so many tokens: what follows is the conversation's."""
    count = tokens // block
    known = content.keys(block)[:count]
    return known + _places(_SAID, session, len(known), count)


def _places(kind: int, number: int, first: int, end: int) -> list[int]:
    """Return keys of the blocks at some places of a text of a kind."""
    base = number * _PLACES * _KINDS + kind
    return list(range(base + first * _KINDS, base + end * _KINDS, _KINDS))
