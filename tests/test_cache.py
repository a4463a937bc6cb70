"""What is kept between processes: it saves time, and nothing else ever depends on it."""

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_library_once import members_of
from tsdl import _cache, ast
from tsdl._resources import library_files
from tsdl.check import check
from tsdl.diagnostics import Sink
from tsdl.kept import kept
from tsdl.modules import load_library
from tsdl.parse import parse
from tsdl.parse import parser as parser_
from tsdl.program import Program
from tsdl.resolve import resolve
from tsdl.schema import KINDS
from tsdl.session import Session, checked_library
from tsdl.source import Source

KEY = _cache.digest("what it is of")
OWN = """
hardware slow { memory { capacity = 4 GiB; bandwidth = 100 GB/s } }
hardware fast(times = 2) from slow { memory.bandwidth = times * base.memory.bandwidth }
operator Twice(width) { flops = 2 * tokens * width }
"""
SOURCES = [
    *(Source(name, text) for name, text in library_files() if name == "<stdlib>/units.tsim"),
    Source("<stdlib>/own.tsim", OWN),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TSDL_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def kept_file(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def made(sources: list[Source]) -> Program:
    """Return a program of sources that stand for the library, checked."""
    sink = Sink()
    program = resolve(load_library([parse(s, sink) for s in sources], sink), None, sink)
    check(program, sink)
    assert not sink.found
    return program


def program() -> Program:
    return kept(SOURCES, lambda: made(SOURCES))


def refuse(*_: object) -> Program:
    raise AssertionError("it was computed again")


def shown(program: Program) -> object:
    """Return all that a program says, without the places of its parts in memory."""
    place = {id(declaration): n for n, declaration in enumerate(program.declarations)}
    nodes = [n for module in program.modules for n in ast.walk(module.file.items)]
    return (
        [(module.path, module.library, ast.dump(module.file.items)) for module in program.modules],
        [list(names) for names in program.scopes.values()],
        [
            (d.kind, d.name, [place[id(b.declaration)] for b in d.bases], len(d.parameters))
            for d in program.declarations
        ],
        [len(list(members_of(d.members))) for d in program.declarations],
        (program.units, program.root.path, program.known),
        [program.types.get(node) for node in nodes],  # type: ignore[call-overload]
        [program.number_units.get(node) for node in nodes],  # type: ignore[call-overload]
        [type(program.meanings.get(node)) for node in nodes],  # type: ignore[call-overload]
        [ast.dump(expression) for expression in program.defaults.values()],
        [program.parameter_types.get(p) for d in program.declarations for p in d.parameters],
    )


PROGRAM = shown(made(SOURCES))


def test_what_is_kept_is_found_again_and_only_for_what_it_is_of(folder: Path) -> None:
    assert _cache.load("some", KEY) is None
    _cache.save("some", KEY, b"data")
    assert _cache.load("some", KEY) == b"data"
    assert _cache.load("some", _cache.digest("another")) is None
    assert _cache.load("other", KEY) is None
    _cache.save("some", KEY, b"newer")
    assert _cache.load("some", KEY) == b"newer"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept_file(folder).stat().st_mode) == 0o600  # and nothing lies beside it


def test_a_digest_keeps_its_parts_apart() -> None:
    assert _cache.digest("ab", "c") != _cache.digest("a", "bc")
    assert _cache.digest("\ud800") != _cache.digest("")


def test_what_is_kept_is_the_program(folder: Path) -> None:
    assert shown(program()) == PROGRAM
    read = kept(SOURCES, refuse)
    assert shown(read) == PROGRAM
    for source, module in zip(SOURCES, read.modules, strict=True):
        fresh = parse(source, Sink())
        assert module.file.source is source
        spans = [(item.span.source, item.span.text) for item in module.file.items]
        assert spans == [(source, item.span.text) for item in fresh.items]
    for declaration in read.declarations:
        assert declaration.module in read.modules
        assert read.scopes[declaration.module][declaration.name] is declaration
        assert declaration.members is not None
        assert declaration.members.shape is KINDS[declaration.kind]


def test_the_library_is_the_same_when_it_was_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked_library.cache_clear()
    fresh = shown(checked_library())
    monkeypatch.setattr("tsdl.session.resolve", refuse)
    checked_library.cache_clear()
    assert shown(checked_library()) == fresh


def test_a_program_of_another_text_or_compiler_is_made_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program()
    changed = [SOURCES[0], Source(SOURCES[1].name, "param edited = 1\n")]
    assert [d.name for d in kept(changed, lambda: made(changed)).declarations] == ["edited"]
    assert shown(program()) == PROGRAM
    monkeypatch.setattr("tsdl.kept.compiler_code", lambda: ["another"])
    with pytest.raises(AssertionError, match="computed again"):
        kept(SOURCES, refuse)


@pytest.mark.parametrize("at", [0, 31, 32, 40, 1000, -1])
def test_a_damaged_file_is_none(folder: Path, at: int) -> None:
    program()
    file = kept_file(folder)
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    assert shown(program()) == PROGRAM
    assert file.read_bytes() != bytes(data)  # and it is mended


@pytest.mark.parametrize("size", [0, 10, 32, 33, 5000])
def test_a_truncated_file_is_none(folder: Path, size: int) -> None:
    program()
    file = kept_file(folder)
    file.write_bytes(file.read_bytes()[:size])
    assert shown(program()) == PROGRAM


class Bomb:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("exploded",)


def test_nothing_that_is_kept_is_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def load(*_: object) -> bytes:
        return pickle.dumps(Bomb())

    monkeypatch.setattr(_cache, "load", load)
    assert shown(program()) == PROGRAM
    assert parser_._kept_parser(lambda comment: comment).parse("param x = 1").data == "start"
    assert not (tmp_path / "exploded").exists()


def test_tables_that_are_kept_make_the_same_parser(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = parser_._kept_parser(lambda comment: comment)
    monkeypatch.setattr(parser_, "new_parser", refuse)
    second = parser_._kept_parser(lambda comment: comment)
    for source in SOURCES:
        assert second.parse(source.text) == first.parse(source.text)
    with pytest.raises(parser_.UnexpectedInput) as one:
        first.parse("param x = = 3")
    with pytest.raises(parser_.UnexpectedInput) as other:
        second.parse("param x = = 3")
    assert str(one.value) == str(other.value)


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs owners of files")
def test_what_others_could_have_written_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cache.save("some", KEY, b"data")
    kept_file(folder).chmod(0o620)
    assert _cache.load("some", KEY) is None
    kept_file(folder).chmod(0o600)
    assert _cache.load("some", KEY) == b"data"
    folder.chmod(0o770)
    assert _cache.load("some", KEY) is None
    folder.chmod(0o700)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    assert _cache.load("some", KEY) is None
    _cache.save("other", KEY, b"data")  # the folder is somebody else's
    assert len(list(folder.iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes in folders")
def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    _cache.save("some", KEY, b"data")
    file = kept_file(folder)
    file.unlink()
    os.mkfifo(file, 0o600)
    assert _cache.load("some", KEY) is None


def test_without_a_place_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for place in ("off", str(blocked), str(blocked / "below"), "/proc/none"):
        monkeypatch.setenv("TSDL_CACHE", place)
        _cache.save("some", KEY, b"data")
        assert _cache.load("some", KEY) is None
        assert shown(program()) == PROGRAM


def test_the_folder_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TSDL_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _cache._folder() == tmp_path / "xdg" / "tsdl"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache._folder() == tmp_path / ".cache" / "tsdl"

    monkeypatch.setenv("HOME", "relative")
    assert _cache._folder() is None

    def homeless() -> Path:
        raise RuntimeError

    monkeypatch.setattr(Path, "home", homeless)
    assert _cache._folder() is None


def test_a_full_disk_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as changed:
        changed.setattr(Path, "replace", full)
        _cache.save("some", KEY, b"data")
    assert not list(folder.iterdir())
    _cache.save("some", KEY, b"data")
    assert _cache.load("some", KEY) == b"data"


def test_processes_at_once_keep_a_whole_file(folder: Path) -> None:
    code = "import sys; from tsdl.session import library; sys.exit(len(library()) != 15)"
    running = [
        subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[1])
        for _ in range(4)
    ]
    assert [process.wait() for process in running] == [0] * 4
    assert sorted(path.name.split("-")[0] for path in folder.iterdir()) == ["grammar", "library"]
    assert shown(program()) == PROGRAM


def test_diagnostics_point_into_the_library_as_before(folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "wrong.tsim"
    program.write_text("hardware mine from A100_80G, H100_SXM {}\n")
    command = [sys.executable, "-m", "tsdl", "check", str(program)]
    shown = []
    for place in ("off", str(folder), str(folder)):
        environment = {**os.environ, "TSDL_CACHE": place}
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False,
            cwd=Path(__file__).parents[1],
        )  # fmt: skip
        shown.append(done.stderr)
    assert "<stdlib>/hardware_nvidia.tsim:" in shown[0]
    assert shown[0] == shown[1] == shown[2]


@pytest.mark.parametrize("command", ["check", "plan"])
def test_only_a_run_imports_what_simulates(command: str, tmp_path: Path) -> None:
    code = f"""\
import sys
from tsdl.cli import main
status = main([{command!r}, "examples/quickstart.tsim"])
assert status == 0, status
print([name for name in ("numpy", "simpy", "yaml", "tsdl.runtime") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[1],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_session_works_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSDL_CACHE", "off")
    program, sink = Session("<text>", "param x = 3\n").compile()
    assert not sink.found
    assert program.declarations
