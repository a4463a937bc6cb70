"""Which steps vLLM captures no graph of, as its flags and its compilation config say."""

import json

from tsdl.imports.tables import Table
from tsdl.writing import Line

CONFIG, LEVEL = "--compilation-config", "--optimization-level"  # `-O` meant either in its time
MOST = "--max-cudagraph-capture-size"
_TOKENS = 10**9
_MODES = ("NONE", "FULL_DECODE_ONLY", "PIECEWISE", "FULL", "FULL_AND_PIECEWISE")
_SIZES = ("max_cudagraph_capture_size", "cudagraph_capture_sizes")
_LEVELS = 3
_LARGEST = 512  # tokens of a step, and no more than twice max_num_seqs: what is captured as a rule


def uncaptured(flags: Table, sequences: int, *, old: bool) -> Line | None:
    """Return the line of a policy for the steps that no graph has; None where they are as usual.

    Before V1 (`old`) a config is not read. Warns of what says nothing that is understood.
    """
    config = {} if old else _config(flags)
    most = flags.whole(MOST, 1, _TOKENS)
    if flags.flag("--enforce-eager"):
        return Line("true", "--enforce-eager: no step is captured", "eager")
    mode, level, largest = config.get("mode"), config.get("level"), most or config.get("largest")
    if mode == "NONE" or (mode is None and level == 0):
        return Line("true", "no step is captured", "eager")
    if mode == "FULL_DECODE_ONLY":
        limit = largest or min(_LARGEST, 2 * sequences)
        return Line(f"prefills > 0 or tokens > {limit}", f"{CONFIG}: only decodes", "eager")
    if largest:
        return Line(f"tokens > {largest}", MOST if most else CONFIG, "eager")
    return None


def _config(flags: Table) -> dict[str, object]:
    """Return `mode`, `level` and `largest` as far as they are given."""
    found: dict[str, object] = {}
    for key in [key for key in flags.entries if key.partition(".")[0] in (CONFIG, LEVEL)]:
        part = key.partition(".")[2]
        text = flags.text(key)
        if text is None:
            continue
        given = {part: _read(text)} if part else _read(text)
        if isinstance(given, int) and not isinstance(given, bool):
            given = {"level": given}
        understood = _understood(given) if isinstance(given, dict) else None
        if understood is None:
            flags.unread(key, "graphs are taken to be captured as is usual")
        else:
            found |= understood
    return found


def _read(text: str) -> object:
    """Return what a text says in JSON; itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _understood(given: dict[str, object]) -> dict[str, object] | None:
    """Return what a config says of graphs; None where anything in it is not understood."""
    found: dict[str, object] = {}
    for key, value in given.items():
        sizes = value if isinstance(value, list) else [value]
        whole = [n for n in sizes if type(n) is int and 0 < n <= _TOKENS]
        if key == "cudagraph_mode" and isinstance(value, str) and value.upper() in _MODES:
            found["mode"] = value.upper()
        elif key in _SIZES and whole and len(whole) == len(sizes):
            found["largest"] = max(whole)
        elif key == "level" and type(value) is int and 0 <= value <= _LEVELS:
            found["level"] = value
        elif key != "mode" or value != _LEVELS:  # with which all is compiled, as is usual
            return None
    return found
