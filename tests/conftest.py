"""What all tests share: golden files, the folder of measured data."""

import os
import signal
from collections.abc import Callable, Iterator
from difflib import unified_diff
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ACCEPTED = pytest.StashKey[list[Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tsdl")
    group.addoption(
        "--accept", action="store_true", help="rewrite golden files with what the tests yield"
    )
    group.addoption(
        "--data",
        metavar="DIR",
        help="folder of shared traces and measurements (else TSDL_DATA, else ../shared/data)",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ACCEPTED] = []
    given = _given_data(config)
    if given and not given.is_dir():
        raise pytest.UsageError(f"there is no folder of data at {given}")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for path in config.stash[ACCEPTED]:
        terminalreporter.write_line(f"accepted {os.path.relpath(path)}")


@pytest.fixture(scope="session", autouse=True)
def _cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep nothing in the user's own folder; the processes that tests start share this one."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("TSDL_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[Path, str], None]:
    """Compare a text with a golden file, to the byte; with --accept, rewrite the file instead."""

    def compare(path: Path, text: str) -> None:
        wanted = path.read_bytes().decode("utf-8") if path.is_file() else None
        if text == wanted:
            return
        if request.config.getoption("--accept"):
            path.write_text(text, encoding="utf-8", newline="")
            request.config.stash[ACCEPTED].append(path)
            return
        if wanted is None:
            pytest.fail(f"{path} is missing; `pytest --accept` writes it:\n{text}", pytrace=False)
        name = os.path.relpath(path)
        lines = unified_diff(
            wanted.splitlines(keepends=True),
            text.splitlines(keepends=True),
            name,
            "what came out",
        )
        shown = "".join(line if line.endswith("\n") else f"{line}\\ no end\n" for line in lines)
        pytest.fail(f"{name} differs; look, then `pytest --accept`:\n{shown}", pytrace=False)

    return compare


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt a test and what it starts, also where `nohup` lets it be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def data(request: pytest.FixtureRequest) -> Path:
    """Return the folder of shared traces and measurements; skip the test where there is none."""
    found = _given_data(request.config) or ROOT.parent / "shared" / "data"
    if not found.is_dir():
        pytest.skip("needs the folder of shared data: `pytest --data DIR`, or set TSDL_DATA")
    return found


def _given_data(config: pytest.Config) -> Path | None:
    given = config.getoption("--data") or os.environ.get("TSDL_DATA")
    return Path(given).resolve() if given else None
