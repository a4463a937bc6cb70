"""Which steps vLLM captures in graphs, and how, as its flags and its compilation config say."""

import json
from typing import NamedTuple

from tsdl.imports.documents import parsed
from tsdl.imports.engines.commandline import Version
from tsdl.imports.tables import Table
from tsdl.writing import Line

CONFIG, LEVEL = "--compilation-config", "--optimization-level"  # `-O` meant either in its time
MOST = "--max-cudagraph-capture-size"
_TOKENS = 10**9
_MODES = ("NONE", "FULL_DECODE_ONLY", "PIECEWISE", "FULL", "FULL_AND_PIECEWISE")
# vLLM's numbers of these: of decodes alone, and of others where they have two.
_NUMBERED = {"0": "NONE", "1": "PIECEWISE", "2": "FULL", "[2, 0]": _MODES[1], "[2, 1]": _MODES[4]}
_SIZES = ("max_cudagraph_capture_size", "cudagraph_capture_sizes")
_LEVELS = 3
_ONE = (0, 8)  # V1
DECODES_WHOLE = (0, 11)  # from which on graphs of decodes do not end at each layer's attention
OLD = "vllm_0_8"  # the profile whose graphs of decodes do
_LARGEST = 512  # tokens of a step, and no more than twice max_num_seqs: what is captured as a rule


class Graphs(NamedTuple):
    """Which steps no graph has, and whether those of decodes end at each layer's attention.

    `eager` is None where the steps are as usual; `whole` says that steps with prompts do not end
    there either.
    """

    eager: Line | None
    pieces: bool = False
    whole: bool = False

    def lines(self, profile: str) -> list[Line]:
        """Return what has to be said of them in a policy from a profile."""
        found = [self.eager] if self.eager else []
        if self.pieces and profile != OLD:
            ends = "launch * kernels if eager else in_pieces"
            found.append(Line(ends, "graphs end at each layer's attention", "host_time"))
        if self.whole:
            whole = "launch * kernels if eager else 0 s"
            found.append(Line(whole, "graphs have all of a step", "host_time"))
        return found


def captured(flags: Table, sequences: int, version: Version) -> Graphs:
    """Return what is captured of the steps; before V1 a config is not read.

    Warns of what says nothing that is understood.
    """
    config = {} if version < _ONE else _config(flags)
    most = flags.whole(MOST, 1, _TOKENS)
    mode, level, largest = config.get("mode"), config.get("level"), most or config.get("largest")
    usual = "PIECEWISE" if _ONE <= version < DECODES_WHOLE else "FULL_AND_PIECEWISE"
    if flags.flag("--enforce-eager"):
        return Graphs(Line("true", "--enforce-eager: no step is captured", "eager"))
    if mode == "NONE" or (mode is None and level == 0):
        return Graphs(Line("true", "no step is captured", "eager"))
    if mode == "FULL_DECODE_ONLY":
        limit = largest or min(_LARGEST, 2 * sequences)
        return Graphs(Line(f"prefills > 0 or tokens > {limit}", f"{CONFIG}: only decodes", "eager"))
    eager = None
    if largest and largest != min(_LARGEST, 2 * sequences):
        eager = Line(f"tokens > {largest}", MOST if most else CONFIG, "eager")
    return Graphs(eager, (mode or usual) == "PIECEWISE", mode == "FULL")


def _config(flags: Table) -> dict[str, object]:
    """Return `mode`, `level` and `largest` as far as they are given."""
    found: dict[str, object] = {}
    for key in [key for key in flags.entries if key.partition(".")[0] in (CONFIG, LEVEL)]:
        part = key.partition(".")[2]
        value = flags.value(key)
        said = value.data if value and isinstance(value.data, bool) else flags.text(key)
        if said is None:
            continue
        read = parsed(said) if isinstance(said, str) else said
        given = {part: read} if part else read
        if isinstance(given, int) and not isinstance(given, bool):
            given = {"level": given}
        understood = _understood(given) if isinstance(given, dict) else None
        if understood is None:
            flags.unread(key, "graphs are taken to be captured as is usual")
        else:
            found |= understood
    return found


def _understood(given: dict[str, object]) -> dict[str, object] | None:
    """Return what a config says of graphs; None where anything in it is not understood."""
    found: dict[str, object] = {}
    for key, value in given.items():
        sizes = value if isinstance(value, list) else [value]
        whole = [n for n in sizes if type(n) is int and 0 < n <= _TOKENS]
        mode = _NUMBERED.get(json.dumps(value), str(value).upper().removeprefix("CUDAGRAPHMODE."))
        if key == "cudagraph_mode" and mode in _MODES:
            found["mode"] = mode
        elif key == "full_cuda_graph" and isinstance(value, bool):  # as it was said before 0.11
            found["mode"] = "FULL" if value else "PIECEWISE"
        elif key in _SIZES and whole and len(whole) == len(sizes):
            found["largest"] = max(whole)
        elif key == "level" and type(value) is int and 0 <= value <= _LEVELS:
            found["level"] = value
        elif key != "mode" or value != _LEVELS:  # with which all is compiled, as is usual
            return None
    return found
