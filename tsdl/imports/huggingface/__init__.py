"""The config.json of a model of Hugging Face, as a model of the library's graphs."""

from collections.abc import Sequence
from pathlib import PurePath

from msgspec.structs import replace

from tsdl.diagnostics import Sink
from tsdl.imports.documents import File, read_flags, read_tables
from tsdl.imports.huggingface.architectures import Architecture, architecture
from tsdl.imports.huggingface.computed import computed, same
from tsdl.imports.huggingface.effectless import effectless
from tsdl.imports.huggingface.formats import dtype, quantization
from tsdl.imports.huggingface.recurrent import states
from tsdl.imports.huggingface.sizes import Sizes
from tsdl.imports.huggingface.variants import variant
from tsdl.imports.library import Names, near
from tsdl.imports.tables import WRONG, Table
from tsdl.source import Source, Span
from tsdl.writing import Block, Line, render, visible

FILE_FLAGS: tuple[str, ...] = ()
_COMMAND = "tsdl import hf"
_TEXT = ("text_config", "llm_config", "language_config")  # of a multimodal model
_BIASES = ("attention_bias", "mlp_bias")  # of those whose class leaves that open
_PARTS = {"vision_config": "images", "audio_config": "sound"}


def read(files: Sequence[File], flags: Sequence[str], sink: Sink) -> str | None:
    """Return the TSDL text of a configuration, or None where it has mistakes."""
    given = read_flags(flags, sink)
    given.finish()
    tables = [table for file in files for table in read_tables(file.name, file.text, sink)]
    if len(tables) > 1:
        sink.error(WRONG, "a second configuration; one is imported at a time", tables[1].span)
    if not files:
        sink.error(WRONG, "no file is given", Span(Source("<flags>", ""), 0, 0))
    return None if sink.has_errors else _text(files[0][0], tables[0], sink)


def _text(path: str, root: Table, sink: Sink) -> str | None:
    within = next(filter(None, (root.table(key) for key in _TEXT)), None)
    text = within or root
    found = None if sink.has_errors else architecture(root, text, sink)
    if found is None:
        return None
    kind, family = found[0], variant(*found, text)
    kind = kind if within is None else f"the language model in it, a {kind}"
    graph, members = Sizes(text, family, within is not None).read()
    biased = family.biases or any(_is_true(text, key) for key in _BIASES)
    family = replace(family, graph=graph, biases=biased)
    both = [text, root] if within else [root]
    members += [dtype(both), *states(text), *quantization(both, members), *_tied(both, family)]
    _leave(root, text)
    named = PurePath(path).name, _name(path, root)
    return None if sink.has_errors else _written(named, kind, family, members, text)


def _is_true(table: Table, key: str) -> bool:
    value = table.value(key)
    return value is not None and value.data is True


def _tied(tables: list[Table], family: Architecture) -> list[Line]:
    """Return whether lm_head shares the embedding's weights; nothing where it never does."""
    told = [table.flag("tie_word_embeddings") for table in tables]
    tied = next((flag for flag in told if flag is not None), family.tied)
    return [Line("true" if tied else "false", "", "tied")] if tied or family.tied else []


def _leave(root: Table, text: Table) -> None:
    """Tell of the keys that are left out, but for those without any effect."""
    for key, what in _PARTS.items():
        if root.value(key) is not None:
            root.unread(key, f"what is done with {what} is left out: a model here has text only")
    for table in {id(t): t for t in (root, text)}.values():
        table.ignore(*(key for key in table.keys if effectless(key)))
        table.finish()


def _written(
    named: tuple[str, str], kind: str, family: Architecture, members: list[Line], table: Table
) -> str | None:
    file, name = named
    called = name.lower()
    called = f"{called}_hf" if near("model", called) else called  # no spelling should mean another
    called = Names(table.sink).declare("model", called)
    head = f"model {called} from "
    title = [f"Made from {visible(file)} by `{_COMMAND}`."]
    note = f"{visible(name)}. Source: {visible(file)} ({kind})."
    note += " Biases are not counted." if family.biases else ""
    whole = render(title, [Block(head + family.graph, [*members])])
    found = computed(whole, called, table.span, table.sink)
    if found is None:
        return None
    sizes, parameters = found
    comment = f"{_short(parameters)} parameters"
    twin = same(sizes)
    if twin:
        base, differing = twin
        own = [line for line in members if line.name in differing]
        but = f", but for {' and '.join(line.name for line in own)}" if own else ""
        notes = [note, f"It is `{base}` of the library{but}."]
        text = render(title, [Block(head + base, [*own], comment, notes)])
        if computed(text, called, table.span, Sink()) == found:
            return text
    return render(title, [Block(head + family.graph, [*members], comment, [note])])


def _short(parameters: int) -> str:
    """Write a number of parameters as the library does: `8.030 B`."""
    for factor, letter in ((1e9, "B"), (1e6, "M")):
        if parameters >= factor:
            return f"{parameters / factor:#.4g} {letter}".replace(". ", " ")
    return str(parameters)


def _name(path: str, root: Table) -> str:
    """Return what to call a model: as its file, its folder in the cache, or as it says itself."""
    place = PurePath(path)
    cached = [part.split("--")[-1] for part in place.parts if part.startswith("models--")]
    told = root.text("_name_or_path") or ""
    kind = root.text("model_type") or "model"
    stem = "" if place.stem in ("config", "<stdin>") else place.stem
    folder = "" if place.parent.name.startswith(".") else place.parent.name
    candidates = (stem, *cached, PurePath(told).name, folder, kind)
    return next(c for c in candidates if c)
