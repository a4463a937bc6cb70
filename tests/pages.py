"""Pages of the documents: their fenced blocks, and what becomes of these when they are run.

What stands behind the first marks of a block says what it is: a language, and then

- `NAME.EXT`: the block is that file, in the folder in which the page's blocks run,
- `output`: what the commands of the block of `sh` before it print (a line `…` leaves some out),
- `error CODE`, `warning CODE`, `note CODE`: a program gives this diagnostic, and no other,
- `shown`: it cannot run here. Commands of `tsdl` are still read by the command line's parser.

A program (`tsdl`, `tsim`) is checked, `tsdl-fragment` parsed; `python` runs; commands of `tsdl` in
`sh` are run in this process, and end with status 0, or with N where `# exit status N` follows.
"""

import contextlib
import io
import json
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tsdl.cli import _divided, main
from tsdl.cli.parsers import make_parser
from tsdl.diagnostics import Diagnostic, Sink
from tsdl.diagnostics.text import render_all
from tsdl.parse import parse
from tsdl.session import Session
from tsdl.source import Source

PROGRAMS = ("tsdl", "tsim")
# What begins with a brace is not a block but a word to the site's generator: `{toctree}`.
_FENCE = re.compile(r"^```([^\s{][^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_READ: dict[str, Callable[[str], Any]] = {"json": json.loads, "yaml": yaml.safe_load}


@dataclass(frozen=True)
class Fence:
    """A fenced block: what stands behind its first marks, its text, where that is, its line."""

    kind: str
    text: str
    start: int
    line: int

    @property
    def language(self) -> str:
        """Return the first word behind the marks."""
        return self.kind.split()[0]

    @property
    def words(self) -> list[str]:
        """Return the others."""
        return self.kind.split()[1:]

    @property
    def file(self) -> str | None:
        """Return the name of the file that it is."""
        return next((word for word in self.words if "." in word), None)

    def __str__(self) -> str:
        """Return where it is."""
        return f"{self.kind.replace(' ', '-')}-line-{self.line}"


def fences(text: str) -> list[Fence]:
    """Return the fenced blocks of a page, in their order."""
    return [
        Fence(found[1], found[2], found.start(2), text.count("\n", 0, found.start()) + 1)
        for found in _FENCE.finditer(text)
    ]


def commands(text: str) -> list[tuple[list[str], int]]:
    """Return the words of each command of a block of `sh`, and its exit status."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        status = re.search(r"# exit status (\d+)", line)
        found += [(words, int(status[1]) if status else 0)] if words else []
    return found


def check(fence: Fence, name: str) -> list[Diagnostic]:
    """Return what `tsdl check` finds in a program."""
    session = Session(name, fence.text)
    program, sink = session.compile()
    if not sink.has_errors:
        session.verify(program, sink)
    return sink.sorted()


def assert_as_said(fence: Fence, name: str) -> None:
    """Let a program have the diagnostic that its block names, or none."""
    found = check(fence, name)
    words = [word for word in fence.words if word != fence.file]
    wanted = [tuple(words)] if words else []
    assert [(d.severity.value, d.code) for d in found] == wanted, render_all(found)


def assert_readable(words: Iterable[str]) -> None:
    """Let the command line's parser take a command of `tsdl`."""
    given, _ = _divided(list(words)[1:])
    make_parser().parse_args(given)  # exits where it does not


class Run:
    """Runs the blocks of a page in the working folder, and keeps what its outputs should be."""

    def __init__(self, name: str, text: str) -> None:
        """Begin with nothing run."""
        self.name = name
        self.text = text
        self._said = ""
        self._namespace: dict[str, Any] = {"__name__": "page"}

    def renewed(self) -> str:
        """Run all blocks; return the page with the outputs that came of it."""
        parts, at = [], 0
        for fence in fences(self.text):
            new = self._of(fence)
            parts += [self.text[at : fence.start], new]
            at = fence.start + len(fence.text)
        return "".join([*parts, self.text[at:]])

    def _of(self, fence: Fence) -> str:
        """Do what a block says; return what should stand in it."""
        where = f"{self.name}, line {fence.line}"
        if fence.file:
            Path(fence.file).parent.mkdir(parents=True, exist_ok=True)
            Path(fence.file).write_text(fence.text, encoding="utf-8", newline="")
        if "shown" in fence.words:
            self._show(fence)
        elif "output" in fence.words:
            return fence.text if _alike(fence.text, self._said) else self._said
        elif fence.language in PROGRAMS:
            assert_as_said(fence, fence.file or where)
        elif fence.language == "tsdl-fragment":
            sink = Sink()
            assert parse(Source("fragment", fence.text), sink).items
            assert not sink.found, f"{where}: {render_all(sink.sorted())}"
        elif fence.language == "sh":
            self._command(fence, where)
        elif fence.language == "python":
            self._python(fence, where)
        else:
            assert fence.file, f"{where}: what becomes of `{fence.kind}` is not said"
        return fence.text

    def _show(self, fence: Fence) -> None:
        """Look at a block that cannot run."""
        if fence.language == "sh":
            for words, _ in commands(fence.text):
                if words[0] == "tsdl":
                    assert_readable(words)
        _READ.get(fence.language, str)(fence.text)

    def _command(self, fence: Fence, where: str) -> None:
        assert not fence.words, f"{where}: `{fence.kind}`"
        self._said = ""
        for words, wanted in commands(fence.text):
            assert words[0] == "tsdl", f"{where}: `{words[0]}` cannot run in tests: say `shown`"
            with _heard() as heard:
                status = _main(words[1:])
            self._said += heard.getvalue()
            assert status == wanted, f"{where}, {words}, status {status}: {self._said}"

    def _python(self, fence: Fence, where: str) -> None:
        with _heard() as heard:
            exec(compile(fence.text, where, "exec"), self._namespace)
        self._said = heard.getvalue()


def _main(arguments: list[str]) -> int:
    """Return the exit status of a command, `--version` and `--help` among them."""
    try:
        return main(arguments)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1


@contextlib.contextmanager
def _heard() -> Any:  # noqa: ANN401 (a generator, to the decorator)
    """Hear both streams, as a reader at a terminal does."""
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
        yield heard


def _alike(shown: str, said: str) -> bool:
    """Tell whether a text is shown as it was said, but for lines `…`."""
    parts = re.split(r"^…\n", shown, flags=re.MULTILINE)
    return re.fullmatch("(?:.*\n)*?".join(map(re.escape, parts)), said) is not None
