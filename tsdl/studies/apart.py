"""Processes that know nothing of the script that begins them.

Those of multiprocessing run the caller's main module first, to know what is declared there. A
script that has no `if __name__ == "__main__":` would begin its study again in each of them, and a
program that came through a pipe cannot be read twice. Runs need nothing of it: plans are values.
"""

from __future__ import annotations

from copy import copy
from functools import partial
from multiprocessing import spawn
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.context import BaseContext

_NAME = "tsdl study"  # of a process: by that it is known to be one of these
_told = spawn.get_preparation_data


def apart(context: BaseContext) -> BaseContext:
    """Return a context like another one, whose processes do not run the main module."""
    own = copy(context)
    own.Process = partial(context.Process, name=_NAME)  # type: ignore[attr-defined]
    return own


def _told_apart(name: str) -> dict[str, Any]:
    """Return what a new process is told of this one, without the main module if it is ours."""
    told = _told(name)
    if name == _NAME:
        told.pop("init_main_from_name", None)
        told.pop("init_main_from_path", None)
    return told


# multiprocessing has no other place to say it. Processes of others are told what they always are.
spawn.get_preparation_data = _told_apart
