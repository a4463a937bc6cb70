"""How long a context a configuration allows, and how far back its attention looks."""

from tsdl.imports.huggingface.architectures import Architecture
from tsdl.imports.tables import WRONG, Table
from tsdl.writing import Line, number, tokens

_LONGEST = 1e9  # tokens
_MOST_TIMES = 10_000  # that a scaling stretches a context
_KEYS = ("sliding_window", "attention_chunk_size")
_PATTERNS = ("sliding_window_pattern", "no_rope_layer_interval")
# Lists of all layers, and what they say of one that has a window. In Llama 4, layers with rotary
# positions look back a chunk.
_LISTS = {"layer_types": ("sliding_attention", "chunked_attention"), "no_rope_layers": (1,)}
# Ways of scaling whose max_position_embeddings is that after scaling, whatever their factor.
_WITHIN = ("default", "llama3", "longrope", "su", "mrope")


def context(text: Table, family: Architecture, positions: int) -> tuple[int, str]:
    """Return the longest context, in tokens, and what it comes from if not from positions alone.

    A scaling by a factor reaches so many times the length that the model was trained for: its
    `original_max_position_embeddings`, or the positions themselves. Where these count the scaling
    in already, they are more, and hold.
    """
    scaling = text.table("rope_scaling") or text.table("rope_parameters")
    text.ignore("rope_scaling", "rope_parameters")
    if scaling is None:
        return positions, ""
    scaling = scaling.table("full_attention") or scaling
    kind = scaling.text("rope_type") or scaling.text("type") or "default"
    factor = scaling.positive("factor", _MOST_TIMES) or 1.0
    original = scaling.whole("original_max_position_embeddings", high=_LONGEST)
    reach = round((original or positions) * factor)
    if not family.stretched or kind in _WITHIN or reach <= positions:
        return positions, ""
    return reach, f"rope_scaling: {factor:g} times {original or positions}"


def window(
    text: Table, family: Architecture, layers: int, longest: int, *, inner: bool
) -> tuple[str, list[Line]]:
    """Return the graph with the windows of a configuration, and their fields.

    A window that the graphs of this architecture cannot have is warned of.
    """
    size = _size(text, family.defaults.get("sliding_window") if inner else None)
    used = text.flag("use_sliding_window")
    count = _count(text, family, layers)
    if not size or used is False or not count:
        size = longest
    size = min(size, longest)
    back = Line(tokens(size), "", "window")
    if family.mixed:  # how many there are tells layers apart, though a window may be all there is
        return family.graph, [Line(number(count), "", "windowed_layers"), back]
    if size == longest:
        return family.graph, []
    if count == layers and family.windowed:
        return family.windowed, [back]
    key = next((key for key in _KEYS if text.has(key)), "layer_types")
    reason = f"{count} of {layers} layers look back {size:,} tokens, here all layers look back"
    text.unread(key, f"{reason} over the whole context", "KV and attention are overestimated")
    return family.graph, []


def _size(text: Table, usual: int | None) -> int | None:
    """Return the tokens that a window has."""
    for key in _KEYS:
        if text.has(key):
            return text.whole(key, 0, _LONGEST)
    return usual


def _count(text: Table, family: Architecture, layers: int) -> int:
    """Return how many layers have a window."""
    patterns = [text.whole(key, 1, _LONGEST) for key in _PATTERNS]
    last = text.whole("max_window_layers", 0, _LONGEST)
    for key, windowed in _LISTS.items():
        types = text.value(key)
        if types is not None and types.data != []:
            return _listed(text, key, layers, windowed)
    every = next(filter(None, patterns), family.full)
    if every:
        return layers - layers // every
    return layers if last is None else max(layers - last, 0)


def _listed(text: Table, key: str, layers: int, windowed: tuple[object, ...]) -> int:
    """Return how many layers have a window by a list of all layers."""
    types = text.value(key)
    if types is None or not isinstance(types.data, list):
        text.wrong(key, "a list", text.entries[key])
        return 0
    if len(types.data) != layers:
        title = f"`{key}` names each of {layers} layers"
        text.sink.error(WRONG, title, types.span, f"it has {len(types.data)} entries")
    return sum(entry.data in windowed for entry in types.data)
