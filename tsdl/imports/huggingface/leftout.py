"""Matrices that a quantized checkpoint leaves as they are, and what that means for its formats."""

import re
from collections.abc import Iterator

from msgspec.structs import replace

from tsdl.imports.tables import Table
from tsdl.writing import Line

_KEYS = ("ignore", "modules_to_not_convert", "exclude_modules", "llm_int8_skip_modules")
# What is in the model's own format here, too, or is no part of a model of text.
_NEVER = re.compile(
    r"lm_head|embed|norm|router|rotary|(^|[.*])(shared_expert_)?gate(\.weight)?$|wte|wpe|score|mtp|"
    r"nextn|vision|visual|image|audio|multi_modal|mm_proj"
)
_ATTENTION = re.compile(r"(?:^|[.*])(?:layers\.(?P<layer>\d+)\.)?(?:self_)?(?:attn|attention)$")
_ROUTED = re.compile(r"(?<!shared_)experts?\b")
_SHOWN = 4  # names


def but_for_those_left_out(given: Table, found: list[Line], sizes: list[Line]) -> list[Line]:
    """Return formats as they are with what a configuration leaves out; tell what they miss.

    `sizes` are those of the model. Where all attention of a mixture of experts is left out, the
    format is that of its experts.
    """
    key = next((key for key in _KEYS if _texts(given, key)), "")
    left = [name for name in map(_plain, _texts(given, key)) if not _NEVER.search(name)]
    if _all_attention(left, sizes) and any(line.name == "weight_dtype" for line in found):
        found = list(_of_experts(given, key, found))
    if any(line.name == "expert_dtype" for line in found):
        left = [name for name in left if _ROUTED.search(name)]
    if left:
        names = list(dict.fromkeys(re.sub(r"\d+", "*", name) for name in left))
        shown = ", ".join(f"`{name[:60]}`" for name in names[:_SHOWN])
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        given.unread(
            key,
            f"what it leaves out is taken as quantized, too: {shown}{more}",
            "write `weight_dtype` and `expert_dtype` of the model by hand",
        )
    return found


def _texts(given: Table, key: str) -> list[str]:
    value = given.value(key) if key else None
    entries = value.data if value and isinstance(value.data, list) else []
    return [entry.data for entry in entries if isinstance(entry.data, str)]


def _plain(name: str) -> str:
    """Return a name of modules with `*` for anything: `*self_attn` of `re:.*self_attn.*`."""
    plain = name.lower().removeprefix("re:").replace("\\", "").replace(".*", "*")
    return plain.strip("^$").rstrip("*.")


def _all_attention(left: list[str], sizes: list[Line]) -> bool:
    """Tell whether the attention of all layers of a mixture of experts is left out."""
    known = {line.name: line.text for line in sizes}
    layers = int(known.get("layers", "0").replace("_", ""))
    found = [match for name in left if (match := _ATTENTION.search(name))]
    numbers = {match["layer"] for match in found}
    return "experts" in known and (None in numbers or len(numbers) >= layers > 0)


def _of_experts(given: Table, key: str, found: list[Line]) -> Iterator[Line]:
    for line in found:
        if line.name == "weight_dtype":
            yield replace(line, name="expert_dtype")
        else:
            yield line
        if line.name == "compute_dtype":
            reason = f"attention is stored in the model's format, and computed in {line.text}, too"
            given.unread(key, reason)
