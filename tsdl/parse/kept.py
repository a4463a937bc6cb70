"""Trees kept from one process to the next, for texts that are the same in each: the library's."""

import io
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tsdl import _cache, ast
from tsdl.diagnostics import Sink
from tsdl.parse import parse
from tsdl.parse.parser import origin
from tsdl.source import Source, Span

_NODES: dict[str, type] = {"Span": Span} | {
    name: found
    for name, found in vars(ast).items()
    if isinstance(found, type) and found.__module__ == ast.__name__
}


def parse_kept(name: str, sources: list[Source]) -> list[ast.File]:
    """Parse sources that hold no mistake, or take the trees that they had before."""
    texts = [text for source in sources for text in (source.name, source.text)]
    key = _cache.digest(origin(), *texts)
    kept = _cache.load(name, key)
    if kept is not None:
        with suppress(Exception):  # whoever made it, it is as good as none
            return _Reader(kept, sources).load()  # type: ignore[no-any-return]
    sink = Sink()
    trees = [parse(source, sink) for source in sources]
    assert not sink.found, sink.found[0]
    written = io.BytesIO()
    _Writer(written, sources).dump(trees)
    _cache.save(name, key, written.getvalue())
    return trees


class _Writer(pickle.Pickler):
    """Writes trees: nodes as they say it themselves, each source as its place in a list."""

    def __init__(self, file: io.BytesIO, sources: list[Source]) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._places = {id(source): place for place, source in enumerate(sources)}

    def reducer_override(self, thing: object) -> Any:  # noqa: ANN401 (as pickle declares it)
        if isinstance(thing, Source):
            return Source, (self._places[id(thing)],)
        return NotImplemented


class _Reader(pickle.Unpickler):
    """Reads trees. Nothing but nodes can be made, so that no byte of it is run."""

    def __init__(self, data: bytes, sources: list[Source]) -> None:
        super().__init__(io.BytesIO(data))
        self._sources = sources

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        if module not in (ast.__name__, Span.__module__):
            raise pickle.UnpicklingError(f"{module}.{name} is no part of a tree")
        return self._sources.__getitem__ if name == Source.__name__ else _NODES[name]
