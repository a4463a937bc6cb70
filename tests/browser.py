"""A real browser without a window: what a page looks like once its scripts have run."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
_SAID = re.compile(r'CONSOLE[:(]\d+\)?\] (".*)')
_FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-default-apps",
    "--disable-extensions", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
    "--log-level=0", "--virtual-time-budget=30000", "--dump-dom",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opened:
    """A page that was opened: its document as text, and all that was said on the console.

    There the browser tells of errors, and of whatever the page was kept from fetching.
    """

    document: str
    console: list[str]


def open_page(page: Path, folder: Path, width: int = 1280) -> Opened:
    """Open a file in a browser with a new profile in a folder; skip the test without a browser."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"needs a browser: {', '.join(NAMES)}")
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses root
    profile = f"--user-data-dir={folder / 'profile'}"
    done = subprocess.run(
        [browser, *_FLAGS, *alone, profile, f"--window-size={width},1000", page.as_uri()],
        capture_output=True,
        check=True,
        timeout=180,
        encoding="utf-8",
    )
    return Opened(done.stdout, _SAID.findall(done.stderr))
