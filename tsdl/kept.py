"""The checked library, kept from one process to the next. Knows what a program is made of."""

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import suppress
from fractions import Fraction
from functools import cache
from types import ModuleType

from tsdl import _cache, ast, modules, program, types, units
from tsdl import source as source_
from tsdl._resources import compiler_code
from tsdl.parse.parser import origin
from tsdl.program import Program
from tsdl.schema import KINDS, Block
from tsdl.source import Source


def kept(sources: list[Source], make: Callable[[], Program]) -> Program:
    """Return the program that was made of these sources before; else make it.

    It is that of this compiler alone. Whatever goes wrong with what is kept, it is made anew.
    """
    texts = [text for source in sources for text in (source.name, source.text)]
    key = _cache.digest(origin(), *compiler_code(), *texts)
    found = _cache.load("library", key)
    if found is not None:
        with suppress(Exception):  # whoever made it, it is as good as none
            return _Reader(found, sources).program()
    made = make()
    written = io.BytesIO()
    _Writer(written, sources).dump(made)
    _cache.save("library", key, written.getvalue())
    return made


class _Writer(pickle.Pickler):
    """Writes a program: a source as its place in a list, what is the schema's as the path to it."""

    def __init__(self, file: io.BytesIO, sources: list[Source]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._names: dict[int, int | str] = {id(s): place for place, s in enumerate(sources)}
        self._names |= {id(block): path for path, block in _blocks().items()}

    def persistent_id(self, thing: object) -> int | str | None:
        return self._names.get(id(thing))


class _Reader(pickle.Unpickler):
    """Reads a program. Nothing but its parts can be made, so that no byte of it is run."""

    def __init__(self, data: bytes, sources: list[Source]) -> None:
        super().__init__(io.BytesIO(data))
        self._named: dict[int | str, Source | Block] = dict(enumerate(sources))
        self._named.update(_blocks())

    def program(self) -> Program:
        """Return what was written."""
        read = self.load()
        if not isinstance(read, Program):
            raise pickle.UnpicklingError("no program was kept")
        return read

    def find_class(self, module: str, name: str) -> type:
        return _parts()[module, name]

    def persistent_load(self, pid: int | str) -> object:
        return self._named[pid]


@cache
def _parts() -> dict[tuple[str, str], type]:
    """Return the classes of which a program consists, by module and name."""
    homes: tuple[ModuleType, ...] = (ast, modules, program, source_, types, units)
    found: dict[tuple[str, str], type] = {(Fraction.__module__, Fraction.__name__): Fraction}
    for home in homes:
        found |= {
            (home.__name__, name): thing
            for name, thing in vars(home).items()
            if isinstance(thing, type) and thing.__module__ == home.__name__
        }
    return found


@cache
def _blocks() -> dict[str, Block]:
    """Return every block of the schema, by a path that leads to it."""
    found: dict[str, Block] = {}
    for kind, block in KINDS.items():
        found |= dict(_beneath(block, kind))
    return found


def _beneath(block: Block, path: str) -> Iterator[tuple[str, Block]]:
    yield path, block
    for verb, nested in block.blocks.items():
        yield from _beneath(nested.block, f"{path}.{verb}")
    if block.open_block:
        yield from _beneath(block.open_block, f"{path}.*")
