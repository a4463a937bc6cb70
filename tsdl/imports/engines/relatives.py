"""Which model of the library is most like one that it has not, by family, version and size.

Letters that differ say little of that: `DeepSeek-V3.2-Exp` is spelled almost as `deepseek_v2`, and
is a `deepseek_v3`.
"""

import math
import re

from msgspec import Struct

from tsdl.imports.library import has_experts, models, suggestion

_FIRST = re.compile(r"([a-z]+)v?(\d{1,2}(?:\.\d{1,2})?)?")  # a family, and often its version
_VERSION = re.compile(r"v?(\d(?:\.\d{1,2})?)")
_SIZE = re.compile(r"(?:\d+x)?(\d{1,4}(?:\.\d{1,3})?)([bm])")
_EXPERTS = re.compile(r"a\d+(?:\.\d+)?b|\d+x\d+b|\d+e")
# Points, which names of the library have as `_`: of sizes below 2 B, of versions before a size, of
# versions at the end.
_POINTS = (
    (re.compile(r"_([01])_([567]b)"), r"_\1.\2"),
    (re.compile(r"^([a-z]+\d)_(\d)(?=_|$)"), r"\1.\2"),
    (re.compile(r"_v0(\d)"), r"_v0.\1"),
    (re.compile(r"_v(\d)_(\d)(?=_|$)"), r"_v\1.\2"),
)
_UNSAID = {"meta"}
_FAR = 2.0  # a version apart is 1, a size of twice as much is 1


class _Named(Struct, frozen=True):
    """What a name says: zero where it does not."""

    family: str
    version: float = 0.0
    size: float = 0.0  # 10**9 parameters
    experts: bool = False


def help_for(name: str) -> str:
    """Say what to do about a model that the library has not."""
    wanted = _read(name)
    apart, near = min((_apart(wanted, _of_library(model)), model) for model in models())
    own = "make a model of its config.json: `tsdl import hf config.json`"
    misspelt = suggestion("model", name) if apart == math.inf else None
    if misspelt:
        return f"did you mean `{misspelt}`? Name it behind `--`: `--model {misspelt}`, or {own}"
    if apart < _FAR:
        told = f"the nearest is `{near}`: name it behind `--` if it has the same sizes"
        return f"{told}, `--model {near}`, or {own}"
    own += ", and put it in the place of one that you name behind `--`"
    return f"nothing in the library is near it: {own}"


def _read(name: str) -> _Named:
    words = [w for w in re.split(r"[-_ ]", name[:100].lower()) if w and w not in _UNSAID]
    first = _FIRST.match(words[0]) if words else None
    if first is None:
        return _Named("")
    sizes = [found for word in words if (found := _SIZE.fullmatch(word))]
    versions = [found[1] for word in words[1:] if (found := _VERSION.fullmatch(word))]
    size = float(sizes[0][1]) / (1000 if sizes[0][2] == "m" else 1) if sizes else 0.0
    version = first[2] or (versions[0] if versions else "0")
    experts = any(_EXPERTS.fullmatch(word) for word in words)
    return _Named(first[1], float(version), size, experts)


def _of_library(model: str) -> _Named:
    name = model
    for pattern, written in _POINTS:
        name = pattern.sub(written, name)
    read = _read(name)
    return _Named(read.family, read.version, read.size, has_experts(model))


def _apart(wanted: _Named, other: _Named) -> float:
    """Return how unlike two models are; infinity where they are of two families."""
    if not wanted.family or wanted.family != other.family:
        return math.inf
    sizes = 1.0 if wanted.size or other.size else 0.0
    if wanted.size and other.size:
        sizes = abs(math.log2(wanted.size / other.size))
    return abs(wanted.version - other.version) + sizes + (wanted.experts != other.experts)
