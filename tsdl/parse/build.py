"""Lark's tree to our syntax tree. Knows the grammar's rule names and `ast`."""

from collections.abc import Callable

from tsdl import ast
from tsdl.parse.parser import Token, Tree
from tsdl.source import Source, Span

_MOST_DIGITS = 30


class Builder:
    """Builds the nodes of one source; `docs` are its doc comments by line."""

    def __init__(self, source: Source, comments: list[Token]) -> None:
        """Take a source and its comments; one behind something else documents nothing."""
        self.source = source
        self.docs = {
            token.line: str(token)[2:].removeprefix(" ").rstrip()
            for token in comments
            if token.startswith("##")
            and token.line is not None
            and source.line(token.line).lstrip().startswith("##")
        }

    def items(self, trees: list[Tree]) -> tuple[ast.Item, ...]:
        """Build the items of a file or of a body."""
        return tuple(self._item(tree) for tree in trees)

    # -- places --------------------------------------------------------------------------------

    def _span(self, tree: Tree | Token) -> Span:
        return Span(self.source, tree.start_pos or 0, tree.end_pos or 0)

    def _doc(self, tree: Tree) -> str:
        start = tree.start_pos or 0
        line, column = self.source.position(start)
        found: list[str] = []
        while line - 1 in self.docs:
            line -= 1
            found.append(self.docs[line])
        if self.source.text[start - column + 1 : start].strip():
            return ""  # a doc comment belongs to the first thing on its line
        return "\n".join(reversed(found))

    # -- items ---------------------------------------------------------------------------------

    def _item(self, tree: Tree) -> ast.Item:
        match tree.data:
            case "field":
                target, operator, value = tree.children
                return ast.Field(
                    self.expr(target),
                    str(operator),
                    self.expr(value),
                    self._doc(tree),
                    self._span(tree),
                )
            case "bound":
                left, operator, right = tree.children
                comparison = ast.Binary(
                    str(operator), self.expr(left), self.expr(right), self._span(tree)
                )
                return ast.Bound(comparison, self._doc(tree), self._span(tree))
            case "node":
                name, operator = tree.children
                return ast.GraphNode(
                    str(name),
                    self.expr(operator),
                    self._doc(tree),
                    self._span(tree),
                    self._span(name),
                )
            case "let":
                name, value = tree.children
                return ast.Let(str(name), self.expr(value), self._span(tree), self._span(name))
            case "for_each":
                name, iterable, body = tree.children
                return ast.For(str(name), self.expr(iterable), self._body(body), self._span(tree))
            case "if_":
                return self._if(tree)
            case "clause" | "bare_clause":
                return self._clause(tree)
            case _:  # expect, where, table, log, record: their keyword is not among the children
                return self._keyword(tree)

    def _body(self, tree: Tree) -> ast.Body:
        return ast.Body(self.items(tree.children), self._span(tree))

    def _if(self, tree: Tree) -> ast.If:
        test, then, *rest = tree.children
        otherwise = None
        if rest:
            branch = rest[0]
            otherwise = (
                self._body(branch)
                if branch.data == "body"
                else ast.Body((self._if(branch),), self._span(branch))
            )
        return ast.If(self.expr(test), self._body(then), otherwise, self._span(tree))

    def _keyword(self, tree: Tree) -> ast.Clause:
        verb, span = str(tree.data), self._span(tree)
        objects = [child for child in tree.children if child.data != "only"]
        only = [child for child in tree.children if child.data == "only"]
        return ast.Clause(
            verb=verb,
            objects=tuple(self.expr(child) for child in objects),
            count=None,
            type=None,
            within=None,
            prepositions=tuple(
                ast.Preposition("where", (self.expr(part.children[0]),), self._span(part))
                for part in only
            ),
            value=None,
            body=None,
            doc=self._doc(tree),
            span=span,
            verb_span=Span(self.source, span.start, span.start + len(verb)),
        )

    def _clause(self, tree: Tree) -> ast.Clause:
        verb, *parts = tree.children
        objects: list[ast.Expr] = []
        prepositions: list[ast.Preposition] = []
        single: dict[str, ast.Expr] = {}
        body: ast.Body | None = None
        for part in parts:
            match part.data:
                case "head":
                    child = part.children[0]
                    objects.append(
                        self._text(child) if isinstance(child, Token) else self.expr(child)
                    )
                case "counted":
                    objects.append(self.expr(part.children[0]))
                    single["count"] = self.expr(part.children[1])
                case "more":
                    objects.append(self.expr(part.children[0]))
                case "type" | "within" | "value":
                    single[part.data] = self.expr(part.children[0])
                case "preposition":
                    prepositions.append(self._preposition(part))
                case "body":
                    body = self._body(part)
        return ast.Clause(
            verb=str(verb),
            objects=tuple(objects),
            count=single.get("count"),
            type=single.get("type"),
            within=single.get("within"),
            prepositions=tuple(prepositions),
            value=single.get("value"),
            body=body,
            doc=self._doc(tree),
            span=self._span(tree),
            verb_span=self._span(verb),
        )

    def _preposition(self, tree: Tree) -> ast.Preposition:
        word, *objects = tree.children
        return ast.Preposition(
            str(word), tuple(self.expr(child) for child in objects), self._span(tree)
        )

    # -- expressions ---------------------------------------------------------------------------

    def expr(self, tree: Tree) -> ast.Expr:
        """Build an expression."""
        return _EXPRESSIONS[tree.data](self, tree)

    def _name(self, tree: Tree) -> ast.Expr:
        return ast.Name(str(tree.children[0]), self._span(tree))

    def _text(self, token: Token) -> ast.Text:
        return ast.Text(str(token)[1:-1], self._span(token))

    def _quoted(self, tree: Tree) -> ast.Expr:
        token = tree.children[0]
        assert isinstance(token, Token)
        return self._text(token)

    def _attribute(self, tree: Tree) -> ast.Expr:
        value, name = tree.children
        return ast.Attribute(self.expr(value), str(name), self._span(tree), self._span(name))

    def _call(self, tree: Tree) -> ast.Expr:
        function, *arguments = tree.children
        return ast.Call(self.expr(function), self._arguments(arguments), self._span(tree))

    def _index(self, tree: Tree) -> ast.Expr:
        value, *arguments = tree.children
        return ast.Index(self.expr(value), self._arguments(arguments), self._span(tree))

    def _arguments(self, trees: list[Tree]) -> tuple[ast.Argument, ...]:
        return tuple(self._argument(tree) for tree in trees)

    def _argument(self, tree: Tree) -> ast.Argument:
        span = self._span(tree)
        match tree.data:
            case "keyword_argument":
                name, value = tree.children
                return ast.Argument(str(name), self.expr(value), None, None, span)
            case "weighted_argument":
                value, weight, *default = (self.expr(child) for child in tree.children)
                return ast.Argument(None, value, weight, default[0] if default else None, span)
            case "across":
                return ast.Argument(None, self._across(tree), None, None, span)
            case "argument":
                return ast.Argument(None, self.expr(tree.children[0]), None, None, span)
            case _:
                return ast.Argument(None, self._generator(tree), None, None, span)

    def _across(self, tree: Tree) -> ast.Across:
        element, axis, *condition = (self.expr(child) for child in tree.children)
        return ast.Across(element, axis, condition[0] if condition else None, self._span(tree))

    def _generator(self, tree: Tree) -> ast.Generator:
        parts = list(tree.children)
        at = next(i for i, part in enumerate(parts) if isinstance(part, Token))
        condition = self.expr(parts[at + 2]) if len(parts) > at + 2 else None
        return ast.Generator(
            self.expr(parts[0]),
            tuple(self.expr(part) for part in parts[1:at]),
            str(parts[at]),
            self.expr(parts[at + 1]),
            condition,
            self._span(tree),
        )

    def _list(self, tree: Tree) -> ast.Expr:
        parts = list(tree.children)
        unit = str(parts.pop()) if parts and isinstance(parts[-1], Token) else None
        return ast.ListOf(self._arguments(parts), unit, self._span(tree))

    def _quantity(self, tree: Tree) -> ast.Expr:
        number, *unit = (str(child) for child in tree.children)
        digits = number.replace("_", "")
        # Beyond any count a whole number is kept as a float: Python reads only so many digits.
        whole = digits.isdigit() and len(digits) <= _MOST_DIGITS
        value = int(digits) if whole else float(digits)
        return ast.Number(value, unit[0] if unit else None, self._span(tree))

    def _binary(self, tree: Tree) -> ast.Expr:
        left, operator, right = tree.children
        return ast.Binary(str(operator), self.expr(left), self.expr(right), self._span(tree))

    def _membership(self, tree: Tree) -> ast.Expr:
        left, right = tree.children
        return ast.Binary("in", self.expr(left), self.expr(right), self._span(tree))

    def _logic(self, tree: Tree) -> ast.Expr:
        left, right = tree.children
        operator = str(tree.data).rstrip("_")
        return ast.Binary(operator, self.expr(left), self.expr(right), self._span(tree))

    def _power(self, tree: Tree) -> ast.Expr:
        left, right = tree.children
        return ast.Binary("**", self.expr(left), self.expr(right), self._span(tree))

    def _sign(self, tree: Tree) -> ast.Expr:
        operator, operand = tree.children
        return ast.Unary(str(operator), self.expr(operand), self._span(tree))

    def _negation(self, tree: Tree) -> ast.Expr:
        return ast.Unary("not", self.expr(tree.children[0]), self._span(tree))

    def _conditional(self, tree: Tree) -> ast.Expr:
        then, test, otherwise = (self.expr(child) for child in tree.children)
        return ast.Conditional(then, test, otherwise, self._span(tree))

    def _interval(self, tree: Tree) -> ast.Expr:
        low, high, *step = (self.expr(child) for child in tree.children)
        return ast.Interval(low, high, step[0] if step else None, self._span(tree))


_EXPRESSIONS: dict[str, Callable[[Builder, Tree], ast.Expr]] = {
    "name": Builder._name,
    "attribute": Builder._attribute,
    "call": Builder._call,
    "index": Builder._index,
    "list": Builder._list,
    "quantity": Builder._quantity,
    "text": Builder._quoted,
    "group": lambda self, tree: self.expr(tree.children[0]),
    "sum": Builder._binary,
    "product": Builder._binary,
    "compare": Builder._binary,
    "membership": Builder._membership,
    "power": Builder._power,
    "or_": Builder._logic,
    "and_": Builder._logic,
    "sign": Builder._sign,
    "negation": Builder._negation,
    "conditional": Builder._conditional,
    "interval": Builder._interval,
}
