"""Which words and signs a text consists of: Lark's contextual lexer, with one scan for all states.

Lark compiles an expression for each set of tokens that can come next, some two dozen in a file,
and that takes longer than to read most files. Here one expression finds the next word or sign, and
the state says what it is: a word of the grammar where that one can stand, and a name otherwise.
From the first place on that cannot be told so, as with a mistake, Lark's own lexer reads.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

from lark import Token
from lark.common import LexerConf
from lark.lexer import ContextualLexer, Lexer, LexerState, PatternStr

WORD_END = "(?![A-Za-z0-9_])"  # after a word of the grammar


class OneScan(Lexer):
    """Yields the tokens that Lark's contextual lexer yields. Lark makes it, where it is told to."""

    def __init__(
        self, conf: LexerConf, states: dict[int, Collection[str]], always_accept: Collection[str]
    ) -> None:
        """Note what there is to find; `always_accept` are tokens that can come in any state."""
        self._arguments = conf, states, always_accept
        self._ignored = frozenset(conf.ignore)
        self._anywhere = self._ignored.union(always_accept)
        self._callbacks = conf.callbacks
        self._words: dict[str, str] = {}  # the grammar's words and signs, and their types
        self._signs: dict[str, str] = {}
        regular: dict[str, str] = {}  # other types, and their expressions
        for terminal in conf.terminals:
            pattern = terminal.pattern
            if isinstance(pattern, PatternStr):
                self._signs[pattern.value] = terminal.name
            elif pattern.value.endswith(WORD_END):
                self._words[pattern.value.removesuffix(WORD_END)] = terminal.name
            else:
                regular[terminal.name] = pattern.value
        self._name = re.compile(regular.pop("NAME")).match
        self._unit = re.compile(regular.pop("UNIT")).match
        regular["word"] = "[A-Za-z_][A-Za-z0-9_]*"
        regular["sign"] = "|".join(map(re.escape, sorted(self._signs, key=len, reverse=True)))
        parts = (f"(?P<{kind}>{expression})" for kind, expression in regular.items())
        self._next = re.compile("|".join(parts)).match

    def lex(self, lexer_state: LexerState, parser_state: Any) -> Iterator[Token]:  # noqa: ANN401
        """Yield token after token. The parser has taken each before it asks for another."""
        text, end, counter = lexer_state.text.text, lexer_state.text.end, lexer_state.line_ctr
        position, line, line_start = counter.char_pos, counter.line, counter.line_start_pos
        states, stack = parser_state.parse_conf.states, parser_state.state_stack
        last = lexer_state.last_token
        while position < end:
            accepted = states[stack[-1]]
            found = self._next(text, position, end)
            kind = (found and found.lastgroup) or ""
            if found and kind == "word":
                kind = self._words.get(found.group(), "NAME")
                if kind not in accepted:
                    kind, found = "NAME", self._name(text, position, end)
            elif found and kind == "sign":
                kind = self._signs[found.group()]
            if kind not in accepted and "UNIT" in accepted and kind not in self._anywhere:
                kind, found = "UNIT", self._unit(text, position, end)
            if found is None or not (kind in accepted or kind in self._anywhere):
                counter.char_pos, counter.line, counter.line_start_pos = position, line, line_start
                counter.column = position - line_start + 1
                lexer_state.last_token = last
                conf, terminals, always = self._arguments
                yield from ContextualLexer(conf, terminals, always).lex(lexer_state, parser_state)
                return
            value = found.group()
            begun, position = position, position + len(value)
            if kind in self._ignored and kind not in self._callbacks:
                continue
            begun_on, column = line, begun - line_start + 1
            if kind == "_NL":
                line, line_start = line + 1, position
            token = Token(
                kind, value, begun, begun_on, column, line, position - line_start + 1, position
            )
            if kind in self._callbacks:
                token = self._callbacks[kind](token)
            if kind not in self._ignored:
                last = token
                yield token
