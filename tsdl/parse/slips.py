"""Statements as they are written elsewhere: what they are, and what to write here."""

import re
from collections.abc import Callable
from functools import cache

from msgspec import Struct

from tsdl._resources import grammar_words
from tsdl.formula import percentile_of
from tsdl.schema import ACTIONS, BY_REQUEST, KINDS
from tsdl.schema.studies import FORMS, PLOTS
from tsdl.source import Source, Span

_LONGEST = 500  # of a statement that is looked at
_ACTION = rf"(?P<verb>{'|'.join(ACTIONS)})"
_OPERAND = r"(?:[^(),]|\([^()]*\))+(?=[),]|$)"


class Slip(Struct, frozen=True):
    """A statement that cannot be read: where it stands, what it is, and its remedy."""

    span: Span
    title: str
    help: str


class _Pattern(Struct, frozen=True):
    """How a slip looks; `¦` stands for the place at which the parser gave up.

    A group `sign` is all that is marked, where there is one.
    """

    text: str
    title: str
    remedy: Callable[[re.Match[str]], str]


def _without_brackets(found: re.Match[str]) -> str:
    verb, inside, rest = found["verb"], found["inside"].strip(), found["rest"].strip()
    if "," in inside or not inside:
        return f"write `{ACTIONS[verb].form}`"
    return f"write `{' '.join([verb, inside, rest]).strip()}`"


def _in_full(found: re.Match[str]) -> str:
    state, operator, value = found["state"], found["operator"], found["value"].strip()
    if operator in ("++", "--"):
        return f"write `{state} {operator[0]}= 1`"
    return f"write `{state} = {state} {operator} {value}`"


def _compared(found: re.Match[str]) -> str:
    test, value = found["test"].strip(), found["value"].strip()
    swapped = found["sign"].replace("¦", "")[1:]  # `=<`
    if swapped:
        return f"write `{test} {swapped}= {value}`"
    if found["word"] in ("expect", "while"):  # what is measured is hardly ever just that
        return f"write `{test} <= {value}`, for example, or `==` where it is to be just that"
    return f"write `{test} == {value}`"


def _percentile(found: re.Match[str]) -> str:
    name = found["whole"].zfill(2) + found["part"].rstrip("0")
    if percentile_of(f"p{name}") != float(f"{found['whole']}.{found['part']}"):
        return "percentiles are `p0` to `p100`, and `p999` is that of 99.9 %"
    return f"write `p{name}({found['rest']}`"


def _plotted(found: re.Match[str]) -> str:
    picture, named = found["picture"], _AXIS.findall(found["rest"])
    axes = dict(zip(("x", "color"), named, strict=False))
    shown = _AXIS.split(found["rest"])[0].strip(" ,")
    if not axes:
        return f"for example `{FORMS['plot']}`"
    channels = ", ".join(f"{channel} = {axis}" for channel, axis in axes.items())
    return f"write `plot {picture}({shown}, {channels})`"


_AXIS = re.compile(r"\b(?:by|over|x\s*=|color\s*=)\s*(\w+)\s*,?")


_ASKED = r"(?:expect|table|best|pareto|plot|maximize|minimize)\b.*\b"
_STATISTIC = r"(?P<function>p[0-9]+|mean|min|max)\s*\(\s*(?P<metric>[^(),¦]+?)"
_WHERE = r"(?:¦where\s+|where\s+¦)"
_OF_SOME = "a statistic, or a total, says by `where` which requests it is of"

# In this order: the first that fits is told.
_PATTERNS = (
    _Pattern(
        rf"{_ACTION}\s*\((?P<inside>[^()]*)\)\s*¦(?P<rest>(?:(?:to|in|from)\b.*)?)$",
        "an action has no brackets",
        _without_brackets,
    ),
    _Pattern(
        rf".*¦if\b\s*(?P<test>.+?)\s+then\b\s*(?P<one>.+?)\s+else\b\s*(?P<other>{_OPERAND})",
        "a choice has its condition in the middle",
        lambda found: f"write `{found['one']} if {found['test']} else {found['other'].strip()}`",
    ),
    _Pattern(
        r".*(?:\b(?:by|when)|=)\s*¦if\b",
        "a choice has its condition in the middle",
        lambda _: "write `a if condition else b`",
    ),
    _Pattern(
        rf"(?P<action>{_ACTION}\b.*?)\s*¦if\b\s*(?P<test>.*)$",
        "an action has no `if` behind it",
        lambda found: f"write `if {found['test'].strip()} {{ {found['action']} }}`",
    ),
    _Pattern(
        r"(?P<clause>(?:admit|evict|resume|on|breakpoint|after)\b.*?)\s*¦if\b\s*(?P<test>.*)$",
        "a condition of a clause follows `when`",
        lambda found: f"write `{found['clause']} when {found['test'].strip()}`",
    ),
    _Pattern(
        r"delay\s*¦-\s*[0-9][0-9.]*\s*\w*\s*$",
        "a delay is not negative",
        lambda _: "write how long the worker is to do nothing: `delay 5 ms`",
    ),
    _Pattern(
        r"delay\b\s*(?P<before>[^¦]*)¦(?P<after>(?:-|\+|\*|/).*)$",
        "what is computed does not stand in `delay`",
        lambda found: (
            f"give it a name first: `let t = {(found['before'] + found['after']).strip()}; delay t`"
        ),
    ),
    _Pattern(
        r"(?P<state>[\w.]+(?:\[[^]]*\])?)\s*¦(?P<operator>\+\+|--)(?P<value>\s*)$",
        "state is changed by `=`, `+=` and `-=`",
        _in_full,
    ),
    _Pattern(
        r"(?P<state>[\w.]+(?:\[[^]]*\])?)\s*¦(?P<operator>\*\*|//|\*|/)=(?P<value>.+)$",
        "state is changed by `=`, `+=` and `-=`",
        _in_full,
    ),
    _Pattern(
        r"(?P<test>(?:.*[^\w.])?(?P<word>expect|where|while|when|if)\b\s*[^\s¦][^¦]*?)"
        r"\s*¦(?P<sign>=(?!=)[<>]?)\s*(?P<value>.+)$",
        "a condition compares by `==`, `<=` or `>=`",
        _compared,
    ),
    _Pattern(
        r"(?P<test>[\w.(), ]*[^=\s])\s*(?P<sign>=¦[<>])\s*(?P<value>.+)$",
        "a bound compares by `<=` or `>=`",
        _compared,
    ),
    _Pattern(
        r".*(?<!\w)(?P<sign>p(?P<whole>[0-9]+)\.¦(?P<part>[0-9]+))\s*\((?P<rest>[^()]*\)).*$",
        "a percentile is written without a point",
        _percentile,
    ),
    _Pattern(
        r"for\s+(?P<each>\w+)\s+in\s+(?P<list>[^¦]+?)\s+(?P<sign>if\b\s*(?P<test>[^¦]+?))\s*¦$",
        "`for` of a handler goes over a whole list",
        lambda found: (
            f"put an `if` in the braces: `for {found['each']} in {found['list']} "
            f"{{ if {found['test']} {{ … }} }}`"
        ),
    ),
    _Pattern(
        rf"plot\s+(?P<picture>{'|'.join(PLOTS)})\s*¦(?P<rest>\w.*)$",
        "a picture has what it shows in brackets",
        _plotted,
    ),
    _Pattern(
        rf"{_ASKED}{_STATISTIC}(?:\s+if\s+(?P<a>[^¦]+?)\s*¦|,?\s*{_WHERE}(?P<b>.+?))\).*$",
        _OF_SOME,
        lambda found: (
            f"write `{found['function']}({found['metric']}, "
            f"where = {(found['a'] or found['b']).removeprefix('= ')})`"
        ),
    ),
    _Pattern(
        rf"{_ASKED}(?P<total>{'|'.join(BY_REQUEST)})\s+(?:where|if)\s+(?P<test>.+?)\s*¦[<>=!].*$",
        _OF_SOME,
        lambda found: f"write `{found['total']}(where = {found['test']})`",
    ),
    _Pattern(
        r"while\b.*$",
        "there is no `while`",
        lambda _: "go over a list, `for x in LIST { … }`, or look again in `on every(5 s) { … }`",
    ),
    _Pattern(
        r"on\s+every\b[^(]*¦.*$",
        "`every` says how much time passes between two",
        lambda _: "write `on every(5 s) { … }`",
    ),
    _Pattern(
        r"(?P<function>[\w.]+)\s*\([^=:]*\)\s*¦$",
        "this is a value, and nothing is done with it",
        lambda found: f"in a handler, give it a name: `let x = {found['function']}(…)`",
    ),
)


@cache
def _reserved() -> _Pattern:
    """Return how a declaration looks whose name is a word of the grammar."""
    words = "|".join(grammar_words())
    return _Pattern(
        rf"(?P<kind>{'|'.join((*KINDS, 'param', 'let'))})\s+¦?(?P<sign>{words})\b.*$",
        "a word of the grammar names nothing",
        lambda found: f"give the {found['kind']} another name: `{found['sign']}_1`, for example",
    )


def slip_of(source: Source, place: int) -> Slip | None:
    """Return what was likely meant by the statement in which the parser gave up at a place."""
    text = source.text
    start = max(text.rfind(mark, 0, place) for mark in "\n;{}") + 1
    rest = re.compile(r"[\n;{}#]").search(text, place)
    end = rest.start() if rest else len(text)
    if end - start > _LONGEST:
        return None
    start += len(text[start:place]) - len(text[start:place].lstrip())
    shown = f"{text[start:place]}¦{text[place:end].rstrip()}"
    for pattern in (_reserved(), *_PATTERNS):
        found = re.match(pattern.text, shown)
        if found:
            remedy = pattern.remedy(found)
            span = Span(source, start, max(start, len(text[:end].rstrip())))
            if "sign" in found.groupdict():
                first, last = (start + at - ("¦" in shown[:at]) for at in found.span("sign"))
                span = Span(source, first, last)
            return Slip(span, pattern.title, remedy)
    return None
