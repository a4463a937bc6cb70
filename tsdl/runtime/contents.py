"""What is in a prompt, as far as others may have the same: keys of its first blocks.

Equal keys mean the same tokens in a block and in all before it.
"""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unknown:
    """Of a prompt nothing is known: it is like no other."""

    def keys(self, block: int) -> list[Hashable]:
        """Return no key."""
        return []


@dataclass(frozen=True, slots=True)
class Named:
    """A file names the content of so many tokens each."""

    names: tuple[int, ...]
    span: int

    def keys(self, block: int) -> list[Hashable]:
        """Return the keys of the blocks that the names reach over."""
        if block > self.span:
            step = block // self.span
            return [(name, 0, 0) for name in self.names[step - 1 :: step]]
        return [(name, at, 0) for name in self.names for at in range(self.span // block)]


@dataclass(frozen=True, slots=True)
class Beginning:
    """A prompt begins with one of several texts, which is so many tokens long."""

    number: int
    tokens: int

    def keys(self, block: int) -> list[Hashable]:
        """Return the keys of the blocks that are full of it."""
        return [(self.number, place, 1) for place in range(self.tokens // block)]


Content = Unknown | Named | Beginning
UNKNOWN = Unknown()
