"""The sizes of a configuration, put together where they have to agree."""

from msgspec import Struct

from tsdl.imports.huggingface.architectures import Architecture
from tsdl.imports.huggingface.context import context, window
from tsdl.imports.tables import WRONG, Table
from tsdl.writing import Line, number, tokens

_MOST = {"layers": 10_000, "context": 10**9}
_LARGEST = 10**8  # of any other size
_GROUPS = ("expert_groups", "active_groups")
_OPTIONAL = ("kv_heads", "head_dim", "shared_experts", *_GROUPS)
_OF_TOKENS = ("chosen",)
_NONE = ("shared_experts", "dense_layers")  # there may be none


class Sizes(Struct):
    """Reads sizes from the table that has them, and tells of what is missing or disagrees."""

    text: Table
    family: Architecture
    inner: bool  # a `text_config`, which leaves out what is a default of its class

    def read(self) -> tuple[str, list[Line]]:
        """Return the graph, and the sizes as its fields; the sink has what is wrong with them."""
        keys = {**self.family.keys, **dict.fromkeys(self.family.assumed, ())}
        found = {key: self._size(key) for key in keys}
        hidden, heads, layers = (found[key][0] for key in ("hidden", "heads", "layers"))
        if not found["ffn"][0] and self.family.wide and hidden:
            found["ffn"] = hidden * self.family.wide, f"{self.family.wide} * hidden_size"
        longest = found["context"]
        if self.text.sink.has_errors or None in (hidden, heads, layers, longest[0]):
            return self.family.graph, []
        assert hidden and heads and layers and longest[0]  # noqa: PT018 (for mypy)
        self._agree(found, hidden, heads, layers)
        reach, why = context(self.text, self.family, longest[0])
        lines = [
            Line(tokens(size) if key in _OF_TOKENS else number(size), comment, key)
            for key, (size, comment) in found.items()
            if size
            and key != "context"
            and not (key == "expert_ffn" and size == found["ffn"][0])
            and not (key == "kv_heads" and size == heads)
            and not (key == "value_dim" and size == found["head_dim"][0])
            and not (key in _GROUPS and found["expert_groups"][0] in (None, 1))
        ]
        lines = [line for line in lines if not _implied(line, hidden, heads)]
        lines.append(Line(tokens(reach), why or longest[1], "context"))
        if self.family.offset is not None:
            table = number(longest[0] + self.family.offset)
            why = f"they count from {self.family.offset}" if self.family.offset else ""
            lines.append(Line(table, why, "positions"))
        graph, windows = window(self.text, self.family, layers, reach, inner=self.inner)
        return graph, [*lines, *windows]

    def _size(self, field: str) -> tuple[int | None, str]:
        """Return a size, and where it is from if not from the configuration."""
        keys = self.family.keys.get(field, ())
        most = _MOST.get(field, _LARGEST)
        self.text.ignore(*keys)
        for key in keys:
            if self.text.value(key) is not None:
                return self.text.whole(key, 0 if field in _NONE else 1, most), ""
        usual = self.family.assumed.get(field)
        if self.inner:
            usual = self.family.defaults.get(field, usual)
        if usual is not None:
            reason = f"no {keys[0]}: that of its class" if keys else "that of its class"
            return usual, self.family.reasons.get(field, reason)
        computed = field == "ffn" and self.family.wide
        if not computed and (field not in _OPTIONAL or keys[:1] == ("qk_nope_head_dim",)):
            place = self.text.keys.get(keys[0], self.text.span)
            help_ = f'write it: `"{keys[0]}": …`; it becomes `{field}` of the model'
            self.text.sink.error(WRONG, f"no `{keys[0]}` is given", place, help=(help_,))
        return None, ""

    def _agree(
        self, found: dict[str, tuple[int | None, str]], hidden: int, heads: int, layers: int
    ) -> None:
        text, kv_heads = self.text, found["kv_heads"][0]
        if kv_heads and heads % kv_heads:
            key = self._key("kv_heads")
            title = f"`{key}` divides the {heads} heads, and {kv_heads} does not"
            text.sink.error(WRONG, title, text.place(key))
        for some, all_, what in (
            ("active_experts", "experts", "experts"),
            ("active_groups", "expert_groups", "groups"),
        ):
            few, many = (found.get(key, (None, ""))[0] for key in (some, all_))
            if few and few > (many or few):
                key = self._key(some)
                title = f"`{key}` is {few}, and there are {many} {what}"
                text.sink.error(WRONG, title, text.place(key))
        dense = found.get("dense_layers", (0, ""))[0]
        if dense and dense > layers:
            key = self._key("dense_layers")
            title = f"`{key}` is {dense}, and there are {layers} layers"
            help_ = f"write `{key}` up to {layers}, or more layers"
            text.sink.error(WRONG, title, text.place(key), help=(help_,))
        if not found["head_dim"][0] and hidden % heads:
            key = self._key("hidden")
            title = f"`{key}` is {hidden}, which {heads} heads do not divide"
            help_ = 'the width of a head is told by `"head_dim": …`'
            text.sink.error(WRONG, title, text.place(key), help=(help_,))

    def _key(self, field: str) -> str:
        """Return the key that a field was read from, or would have been."""
        keys = self.family.keys[field]
        return next((key for key in keys if self.text.has(key)), keys[0])


def _implied(line: Line, hidden: int, heads: int) -> bool:
    """Tell whether a width of heads is what the language takes without it."""
    return line.name == "head_dim" and line.text == number(hidden // heads)
