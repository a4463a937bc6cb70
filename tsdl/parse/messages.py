"""Words for syntax errors: what was found, what could stand there, and the usual slips."""

import re
import unicodedata
from typing import cast

from tsdl._resources import grammar_words
from tsdl.diagnostics import Edit, Fix, Label, Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.parse.parser import UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from tsdl.parse.slips import slip_of
from tsdl.source import Source, Span

_NAMES = {
    "NAME": "a name",
    "NUMBER": "a number",
    "TEXT": "a text in quotes",
    "UNIT": "a unit",
    "_NL": "a line end",
    "SEMICOLON": "`;`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "EQUAL": "`=`",
    "COLON": "`:`",
    "COMMA": "`,`",
    "DOT": "`.`",
    "LESSTHAN": "`<`",
    "MORETHAN": "`>`",
    "STAR": "`*`",
    "SLASH": "`/`",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "$END": "the end",
}

# What people type who come from elsewhere, and what to write here.
_SLIPS = {
    "else": "`else` stands on the line of the brace before it: `} else {`",
    "'": 'texts stand in double quotes: "text"',
    "%": "`%` is a unit (`90 %`); modulo is `mod(a, b)`",
    "&": "logic is written `and`",
    "|": "logic is written `or`",
    "!": "negation is written `not`, inequality `!=`",
    "\\": "texts know no escapes, folders are divided by `/`, "
    "and a line inside ( ) or [ ] needs no `\\` to go on",
    "?": "a choice is written `a if condition else b`",
    "^": "a power is written `**`; `^` stands only inside a unit",
    "@": "there are no decorators; declare with `kind name { … }`",
    '"': "a text ends on the line that it begins on; is the closing quote missing?",
    "//": "a comment begins with `#`",
    "==": "a field is set with one `=`",
    "µ": "`µ` stands only inside a unit, right after a number: `2 µs` (or `2 us`)",
}

# What looks like a sign of the language, and the sign.
_LOOKALIKES = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212\uff0d", "-"),
    **dict.fromkeys("\u00d7\u2217\u22c5\u00b7\uff0a", "*"),
    **dict.fromkeys("\u00f7\u2044\u2215\uff0f", "/"),
    "\u03bc": "µ", "\u2264": "<=", "\u2265": ">=", "\u2260": "!=", "\u2026": "..",
    "\uff1d": "=", "\uff1a": ":", "\uff0c": ",", "\uff1b": ";", "\uff08": "(", "\uff09": ")",
    "\uff5b": "{", "\uff5d": "}", "\uff03": "#", "\uff05": "%",
}  # fmt: skip

_AT_MOST = 6
_OPERATORS = {"PLUS", "STAR"}  # what can stand behind an operand
# An entry that is whole, and what begins one.
_WHOLE = re.compile(r"[^;{}#\n]*[=:][^;{}#\n]*$|\}[ \t]*$")
_ESCAPE = re.compile(r'"[^"\\\n]*\\(?=[^\n]*")')  # in a text that is closed, up to the first
_DOTTED = re.compile(r"\b(\w+)\.(\w+)[ \t]*$")
_ENTRY = re.compile(r"[A-Za-z_][\w.]*[ \t]*(=(?!=)|\{)")


def report(error: UnexpectedInput, source: Source, end: int, sink: Sink) -> None:
    """Tell one syntax error; `end` is where the parsed part of the source ends."""
    if isinstance(error, UnexpectedCharacters):
        place = cast("int", error.pos_in_stream)  # Lark declares None
        escape = _ESCAPE.match(source.text, place)
        place = escape.end() - 1 if escape else place
        found = source.text[place : place + 1]
        shown = f"`{found}`" if found.isprintable() else f"the character U+{ord(found):04X}"
        span = Span(source, place, place + 1)
        help_, fix = _character(found, span)
        sink.error(
            "E0101", f"{shown} cannot stand here", span, "not understood", help=help_, fix=fix
        )
        return
    if isinstance(error, UnexpectedToken) and error.token.type != "$END":
        _unexpected_token(error, source, end, sink)
        return
    _unexpected_end(source, end, sink)


def _character(found: str, span: Span) -> tuple[tuple[str, ...], Fix | None]:
    """Return what to write instead of a character that the language does not know."""
    if found in _SLIPS:
        return (_SLIPS[found],), None
    if found in _LOOKALIKES:
        sign = _LOOKALIKES[found]
        return (f"write `{sign}`",), Fix(f"write `{sign}`", (Edit(span, sign),))
    if unicodedata.category(found) in ("Zs", "Cf"):  # a blank of another width, or of none
        title = "write a plain blank, or nothing"
        return (title,), Fix(title, (Edit(span, " " * (unicodedata.category(found) == "Zs")),))
    if not found.isascii() and (found.isalnum() or unicodedata.combining(found)):
        return ("names are made of the letters A to Z, of digits and of `_`",), None
    return (), None


def _unexpected_token(error: UnexpectedToken, source: Source, end: int, sink: Sink) -> None:
    token = error.token
    start = token.start_pos or 0
    slip = slip_of(source, start)
    if slip:
        sink.error("E0101", slip.title, slip.span, help=(slip.help,))
        return
    expected = set(error.accepts or error.expected)
    if token.type == "_NL":
        opened = _open_bracket(source, start, 0)
        title, label = "the line ends too early", "something is missing here"
        span = Span(source, start, start)
    else:
        opened = None
        span = Span(source, start, token.end_pos or start + 1)
        title, label = f"`{token}` cannot stand here", "unexpected"
    if token.type == "RBRACE" and not _open_bracket(source, start, 0):
        sink.error("E0101", "this `}` closes nothing", span, "no `{` is open here")
        return
    helps = [_expected_text(expected)] if expected else []
    if near := _near(str(token), expected):
        helps = [f"did you mean `{near}`?"]
    fix = None
    if str(token) in _SLIPS:
        helps = [_SLIPS[str(token)]]
    elif "_NL" in expected and _second_entry(source.text, start):
        helps = [f"a `;` or a line end goes between two entries: write `; {token}`"]
        fix = Fix("write `;` between them", (Edit(Span(source, start, start), "; "),))
    if token.type == "LBRACE" and opened is None and "EQUAL" in expected:
        inner = _DOTTED.search(source.text, max(0, start - _AT_MOST * 20), start)
        helps.append(
            f"a block within another: `{inner[1]} {{ {inner[2]} {{ … }} }}`"
            if inner
            else "a block has a kind and a name: `cluster node { … }`"
        )
    secondary = (Label(opened, "opened here"),) if opened else ()
    sink.error("E0101", title, span, label, secondary=secondary, help=tuple(helps), fix=fix)


def _second_entry(text: str, place: int) -> bool:
    """Tell whether an entry seems to begin at a place, right behind another one."""
    before = text[max(text.rfind(mark, 0, place) for mark in "\n;{") + 1 : place]
    return bool(_WHOLE.search(before) and _ENTRY.match(text, place))


def _unexpected_end(source: Source, end: int, sink: Sink) -> None:
    place = Span(source, end, end)
    opened = _open_bracket(source, end, 0)
    if opened:
        sink.error(
            "E0102",
            f"`{opened.text}` is never closed",
            opened,
            "opened here",
            secondary=(Label(place, "still open here"),),
        )
    else:
        sink.error("E0101", "the text ends too early", place, "something is missing here")


def _expected_text(expected: set[str]) -> str:
    names = sorted({_NAMES.get(name, f"`{name.lower()}`") for name in expected if name[:2] != "__"})
    if len(names) > _AT_MOST:
        plain = [name for name in names if name.startswith("a ")]
        if expected >= _OPERATORS:
            plain.append("an operator")
        if "COMMA" in expected and "_NL" not in expected:  # inside brackets
            plain.append("`,`")
        names = plain or names[:_AT_MOST]
        return f"{', '.join(names)}, … can stand here"
    return f"{' or '.join(names)} can stand here"


def _near(written: str, expected: set[str]) -> str | None:
    """Return the word of the grammar that was likely meant, of those that can stand there."""
    words = sorted(name.lower() for name in expected if name.lower() in grammar_words())
    begins = [word for word in words if len(word) > 2 and written.startswith(word)]  # noqa: PLR2004
    return nearest(written, words) or (begins[-1] if begins else None)


def _open_bracket(source: Source, end: int, start: int) -> Span | None:
    """Return the innermost bracket between start and end that is still open."""
    pairs = {")": "(", "]": "[", "}": "{"}
    stack: list[int] = []
    in_text = in_comment = False
    for index in range(start, min(end, len(source.text))):
        character = source.text[index]
        if character == "\n":
            in_text = in_comment = False
        elif in_comment:
            continue
        elif character == '"':
            in_text = not in_text
        elif in_text:
            continue
        elif character == "#":
            in_comment = True
        elif character in "([{":
            stack.append(index)
        elif character in pairs and stack and source.text[stack[-1]] == pairs[character]:
            stack.pop()
    return Span(source, stack[-1], stack[-1] + 1) if stack else None
