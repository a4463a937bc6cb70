"""A command line as it stands in a shell or a script: its words, and the flags among them."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePath

from msgspec import Struct

from tsdl.diagnostics import Sink
from tsdl.imports.documents import scalar
from tsdl.imports.tables import UNREAD, WRONG, Data, Table, Value
from tsdl.source import Source, Span

_TRUTHS = ("true", "false")
MODEL = "MODEL"  # the key of a word that belongs to no flag
_MODELS = frozenset((MODEL, "--model", "--model-path"))
_MOST_CHARACTERS = 100_000
_GOES_ON = "\\\n"  # a line, on the next one
# A comment, which begins where a word does; the end of a line that goes on; a mark of the shell
# that ends a command; or a word.
_WORD = re.compile(
    r"""\#[^\n]* | \\\n | [;&|]+ | (?: [^\s"'\\;&|] | \\[^\n] | "(?:[^"\\]|\\.)*" | '[^']*' )+""",
    re.DOTALL | re.VERBOSE,
)
_ENDS = re.compile(r"(&&|\|\|?|;|&|[12&]?>.*)")  # what follows is of the shell
# A list of words, as Kubernetes and Compose have a container's.
_LISTED = re.compile(
    r"^[ \t-]*((?:args|command)[ \t]*:)[ \t]*(?:\[|\r?\n[ \t]*-[ \t])", re.MULTILINE
)
_SECRETS = ("--api-key", "--admin-api-key", "--hf-token", "--ssl-keyfile-password")
# A variable whose name says so, by itself or behind a flag: `--env=HF_TOKEN=`.
_SECRET = re.compile(
    r"""(?:--?\w[\w-]*=|-e)?['"]?\w*(?:key|token|secret|pass|credential)\w*=""", re.IGNORECASE
)
# Flags that more than one word may follow, of which none counts here.
_SEVERAL = (
    "--served-model-name", "--api-key", "--allowed-origins", "--allowed-methods",
    "--allowed-headers", "--lora-modules", "--lora-paths", "--middleware",
    "--cudagraph-capture-sizes", "--cuda-graph-bs",
)  # fmt: skip
_GLUED = re.compile(r"(-[A-Z])([0-9])")  # `-O3`
_SIZE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)([kKmMgG])")
_FACTORS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


Version = tuple[int, ...]


class Grammar(Struct, frozen=True):
    """How an engine is told what to do."""

    program: str  # as it is shown
    starts: tuple[tuple[str, ...], ...]  # words in front of its flags
    image: str  # of Docker, which starts it
    aliases: Mapping[str, str]  # other names of flags
    switches: frozenset[str]  # flags that take no value but `True` or `False`
    parts: frozenset[str] = frozenset()  # flags of which `--flag.part` is read
    own: tuple[str, ...] = ("hardware", "link", "model", "network", "version")  # flags behind `--`
    measured: bool = False  # whether runs are known that keep what it was started with


class _Word(Struct, frozen=True):
    text: str
    span: Span
    begins: bool  # a line, and the shell did not take it for more of the one before


class Measured(Struct, frozen=True):
    """Of a server that was measured: what it ran on, and what with.

    `offered` is the path of its requests, and `dataset` the name of the file that they came from.
    """

    device: Value | None
    offered: str
    dataset: str


class Command(Struct, frozen=True):
    """Flags by their names, `--` included, and what else is told of a server.

    `tag` is the engine's version as an image or a file names it, "" if none does; `text` is the
    command as it was given, or would be.
    """

    flags: Table
    tag: str
    text: str
    measured: Measured | None = None


def read_command(name: str, text: str, grammar: Grammar, sink: Sink) -> Command | None:
    """Read a command line; None where it has mistakes.

    A flag that is given twice is what the last one says. `--no-flag` is the flag, not true. Sizes
    like `32k` (1000) and `32K` (1024) are numbers, as engines read them.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    listed = _LISTED.search(source.text)
    if listed:
        title = "this is a list of YAML, and scripts and commands are read"
        help_ = f"write its words behind one another: `{grammar.program} …`"
        sink.error(WRONG, title, Span(source, *listed.span(1)), help=(help_,))
        return None
    words = _words(source, sink)
    if words is None:
        return None
    start, tag = _start(words, grammar)
    if start < 0:
        title = f"no `{grammar.program}` in this command line"
        help_ = f'put it in quotes: `tsdl import … "{grammar.program} …" -- --hardware A100_80G`'
        sink.error(WRONG, title, Span(source, 0, 0), help=(help_,))
        return None
    table = Table(Span(source, 0, len(source.text.rstrip())), sink)
    end = start + _enter(table, words[start:], grammar, sink)
    _tell_others(words[end:], grammar, sink)
    return None if sink.has_errors else Command(table, tag, text)


def plain(text: str) -> str:
    """Return a command line as one line, without comments, and without what is nobody's business.

    What is made of it gets committed: keys and tokens, of flags and in the environment, become `…`.
    """
    shown, secret = [], False
    for word in (match[0] for match in _WORD.finditer(text) if _is_word(match[0])):
        flag, given, _ = _plain(word).partition("=")
        if flag.startswith("-"):
            secret = flag.replace("_", "-") in _SECRETS
            masked = f"{flag}=…" if secret and given else word
        else:
            masked = "…" if secret else word
        variable = _SECRET.match(masked)
        shown.append(f"{variable[0]}…" if variable else masked)
    return " ".join(" ".join(shown).split())  # quotes may hold ends of lines


def _words(source: Source, sink: Sink) -> list[_Word] | None:
    """Return the words, without what is commented out."""
    if len(source.text) > _MOST_CHARACTERS:
        help_ = "give the command alone that starts the server"
        sink.error(WRONG, "too long for a command line", Span(source, 0, 0), help=(help_,))
        return None
    text = source.text.replace("\r", " ")
    found: list[_Word] = []
    end, begins = 0, False
    for match in _WORD.finditer(text):
        if text[end : match.start()].strip():
            break
        begins |= "\n" in text[end : match.start()]
        end = match.end()
        if _is_word(match[0]):
            found.append(_Word(_plain(match[0]), Span(source, match.start(), end), begins))
            begins = False
    rest = text[end:]
    if rest.strip():
        at = end + len(rest) - len(rest.lstrip())
        title, help_ = "a quote that is not closed", "put in the other one where the value ends"
        if text[at] == "\\":
            title, help_ = "a `\\` that nothing follows", "leave it out"
        sink.error(WRONG, title, Span(source, at, at + 1), help=(help_,))
        return None
    return found


def _is_word(text: str) -> bool:
    return not text.startswith("#") and text != _GOES_ON


def _plain(word: str) -> str:
    """Return a word without its quotes."""
    word = word.replace(_GOES_ON, "")
    return "".join(shlex.split(word)) if set(word) & set("\"'\\") else word


def _start(words: Sequence[_Word], grammar: Grammar) -> tuple[int, str]:
    """Return where the engine's own words begin, -1 if nowhere, and the tag of its image."""
    found, tag = -1, ""
    for i, word in enumerate(words):
        if found >= 0 and _ENDS.fullmatch(word.text):
            break
        if found < 0 and _is_image(word, grammar):
            found, tag = i + 1, word.text.partition(":")[2]
        length = _length_of_start(words[i:], grammar)
        if length:
            return i + length, tag
    return found, tag


def _is_image(word: _Word, grammar: Grammar) -> bool:
    return word.text.partition(":")[0].endswith(grammar.image)


def _length_of_start(words: Sequence[_Word], grammar: Grammar) -> int:
    """Return how many words start an engine here; 0 where none does."""
    for start in grammar.starts:
        if [PurePath(word.text).name for word in words[: len(start)]] == list(start):
            return len(start)
    return 0


def _tell_others(words: Sequence[_Word], grammar: Grammar, sink: Sink) -> None:
    """Warn of the first server that stands behind the one that is read."""
    for i, word in enumerate(words):
        if _is_image(word, grammar) or _length_of_start(words[i:], grammar):
            help_ = "a scenario is made of one: import each from a script or a command of its own"
            title = f"`{word.text[:60]}` starts another server, which is not read"
            sink.warning(UNREAD, title, word.span, help=(help_,))
            return


def _enter(table: Table, words: Sequence[_Word], grammar: Grammar, sink: Sink) -> int:
    """Enter the flags of a command; return how many words it has, with what ends it."""
    waiting = several = ""
    for i, word in enumerate(words):
        if _ENDS.fullmatch(word.text):
            return i + 1
        goes_on = word.text.startswith("-") or (waiting and waiting not in grammar.switches)
        if word.begins and not goes_on and not _MODELS.isdisjoint(table.entries):
            title = f"`{word.text[:60]}` begins another command, which is not read"
            help_ = "a line that goes on ends in `\\`"
            sink.warning(UNREAD, title, word.span, help=(help_,))
            return i + 1
        if "$" in word.text:
            help_ = "put in what the shell would"
            sink.error(WRONG, f"`{word.text[:60]}` is a variable", word.span, help=(help_,))
        elif word.text.startswith("-") and not isinstance(scalar(word.text), int | float):
            waiting = several = _flag(table, word, grammar)
        elif waiting and (waiting not in grammar.switches or word.text.lower() in _TRUTHS):
            table.entries[waiting] = Value(value_of(word.text), word.span)
            waiting = ""
        elif several in _SEVERAL and not waiting:
            continue
        elif MODEL not in table.entries:
            table.entries[MODEL] = Value(word.text, word.span)
            table.keys[MODEL] = word.span
        else:
            title = f"`{word.text[:60]}` belongs to no flag, and is not read"
            sink.warning(UNREAD, title, word.span)
    return len(words)


def _flag(table: Table, word: _Word, grammar: Grammar) -> str:
    """Enter a flag; return its name if its value may follow."""
    name, given, value = word.text.partition("=")
    glued = _GLUED.fullmatch(name)
    if glued and glued[1] in grammar.aliases:
        name, given, value = glued[1], "=", glued[2]
    name, _, part = name.partition(".")  # `--compilation-config.cudagraph_mode`
    if name.startswith("--"):
        name = name.replace("_", "-")
    key = grammar.aliases.get(name, name)
    if part and key in grammar.parts:
        key = f"{key}.{part}"
    off = key.startswith("--no-")
    key = f"--{key.removeprefix('--no-')}" if off else key
    table.keys[key] = word.span
    table.entries[key] = Value(value_of(value) if given else not off, word.span)
    return "" if given or off else key


def value_of(text: str) -> Data:
    """Return what the text of a flag means: sizes are numbers."""
    size = _SIZE.fullmatch(text)
    return float(size[1]) * _FACTORS[size[2]] if size else scalar(text)
