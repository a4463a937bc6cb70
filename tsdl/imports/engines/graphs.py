"""Which steps vLLM captures no graph of, as its flags and its compilation config say."""

import json

from tsdl.imports.tables import Table
from tsdl.writing import Line

_CONFIG = "--compilation-config"
_MOST = 10**9
_SIZES = ("max_cudagraph_capture_size", "cudagraph_capture_sizes")


def uncaptured(flags: Table) -> Line | None:
    """Return the line of a policy for the steps that no graph has; None where they are as usual."""
    config = _config(flags)
    most = flags.whole("--max-cudagraph-capture-size", 1, _MOST)
    if flags.flag("--enforce-eager"):
        return Line("true", "--enforce-eager: no step is captured", "eager")
    if flags.whole("--optimization-level", 0, 3) == 0:
        return Line("true", "-O0: no step is captured", "eager")
    mode = config.get("cudagraph_mode")
    if mode in ("NONE", 0):
        return Line("true", f"{_CONFIG}: no step is captured", "eager")
    sizes = [config[key] for key in _SIZES if key in config]
    given = [n for size in sizes for n in (size if isinstance(size, list) else [size])]
    whole = [n for n in given if type(n) is int and 0 < n <= _MOST]
    limit = f"tokens > {most or max(whole)}" if most or whole else ""
    if mode == "FULL_DECODE_ONLY":
        condition = f"prefills > 0 or {limit}" if limit else "prefills > 0"
        return Line(condition, f"{_CONFIG}: only decodes are captured", "eager")
    if limit:
        return Line(limit, "--max-cudagraph-capture-size" if most else _CONFIG, "eager")
    return None


def _config(flags: Table) -> dict[str, object]:
    """Return the compilation config; warn where it says nothing that is understood."""
    text = flags.text(_CONFIG)
    if text is None:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    config: dict[str, object] = found if isinstance(found, dict) else {}
    if not config.keys() & {"cudagraph_mode", *_SIZES}:
        flags.unread(_CONFIG, "graphs are taken to be captured as is usual")
    return config
