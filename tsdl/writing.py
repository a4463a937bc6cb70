"""How TSDL is written: blocks and fields with comments in line, numbers with their units."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from msgspec import Struct, field

_ONE_LINE = 118  # a block without comments within is written in one line up to here
_WIDEST = 120
_ALIGNED = 80  # comments stand below one another behind lines that are not longer
_LARGE = ("scenario", "cluster", "policy", "workload")  # are never written in one line
_GROUPED = 10_000  # from here on, digits are grouped
_NO_PATH = '"\\'  # what a path is written without
_HUGE = 1e16  # from here on, numbers with a point are written by powers of ten


class Line(Struct, frozen=True):
    """A field `name = text`, or a statement where it has no name; and where it comes from."""

    text: str
    comment: str = ""
    name: str = ""


class Block(Struct):
    """A block: what stands before its brace, and its members."""

    head: str
    members: "list[Line | Block]" = field(default_factory=list)
    comment: str = ""
    notes: Sequence[str] = ()


Member = Line | Block


def render(title: Iterable[str], blocks: Iterable[Member]) -> str:
    """Return a whole file."""
    lines = ['edition "2026"', *(f"# {visible(line, _ONE_LINE)}" for line in title)]
    for block in blocks:
        lines.append("")
        if isinstance(block, Block):
            lines += [f"## {visible(note, _ONE_LINE)}" for note in block.notes]
            lines += _block(block, "")
        else:
            lines += _run([block], "")
    return "\n".join(lines) + "\n"


def visible(text: str, most: int = 60) -> str:
    """Return a text as it may stand in a comment: in one line, and not too long."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _block(block: Block, indent: str) -> list[str]:
    if _single(block, indent):
        return _run([block], indent)
    lines = [_commented(f"{indent}{block.head} {{", block.comment, 0)]
    for simple, members in groupby(block.members, lambda m: _single(m, indent + "  ") is not None):
        if simple:
            lines += _run(list(members), indent + "  ")
        else:
            for member in members:
                assert isinstance(member, Block)
                lines += _block(member, indent + "  ")
    return [*lines, f"{indent}}}"]


def _run(members: list[Member], indent: str) -> list[str]:
    """Write members of one line each, their signs `=` and their comments one below the other."""
    names = max((len(m.name) for m in members if isinstance(m, Line)), default=0)
    written = [_single(member, indent, names) for member in members]
    singles = [single for single in written if single]
    column = max((len(s.text) for s in singles if s.comment and len(s.text) <= _ALIGNED), default=0)
    lines = []
    for single in singles:
        if single.comment and max(column, len(single.text)) + len(single.comment) + 4 > _WIDEST:
            lines += [f"{indent}# {single.comment}", single.text]
        else:
            lines.append(_commented(single.text, single.comment, column))
    return lines


def _single(member: Member, indent: str, names: int = 0) -> Line | None:
    """Return a member as one line with its comment, or None where it takes more."""
    if isinstance(member, Line):
        text = f"{member.name:{names}} = {member.text}" if member.name else member.text
        return Line(indent + text, member.comment)
    within = [_single(m, "") for m in member.members]
    lines = [line for line in within if line]
    if (member.notes and lines) or len(lines) < len(within) or _spread(member, lines):
        return None
    inner = "; ".join(line.text for line in lines)
    text = f"{indent}{member.head} {{ {inner} }}" if inner else f"{indent}{member.head} {{}}"
    comment = "; ".join(filter(None, [member.comment, *(line.comment for line in lines)]))
    large = not indent and member.head.split()[0] in _LARGE
    return None if large or len(text) > _ONE_LINE else Line(text, comment)


def _spread(block: Block, lines: list[Line]) -> bool:
    """Tell whether a block reads better in several lines, though it fits one."""
    within = [member for member in block.members if isinstance(member, Block)]
    nested = within and (len(lines) > 1 or len(within[0].members) > 1)
    stage = block.head in ("local", "global") or block.head.startswith("on ")
    told = sum(1 for line in lines if line.comment)
    return bool(nested) or (stage and (len(lines) > 2 or told > 1))  # noqa: PLR2004


def _commented(text: str, comment: str, column: int) -> str:
    return f"{text:{column}}  # {comment}" if comment else text


def quoted_path(path: str) -> str:
    """Write the path of a file as a text."""
    return f'"{"".join(c for c in path if c.isprintable() and c not in _NO_PATH)}"'


def number(value: float) -> str:
    """Write a number."""
    if isinstance(value, int) or (value.is_integer() and abs(value) < _HUGE):
        whole = int(value)
        return f"{whole:_}" if abs(whole) >= _GROUPED else str(whole)
    return f"{value:.10g}" if abs(value) < _HUGE else f"{value!r}"


def quantity(value: float, unit: str) -> str:
    """Write a number with its unit."""
    return f"{number(value)} {unit}"


def percent(share: float) -> str:
    """Write a share of one in percent."""
    return quantity(share * 100, "%")


def seconds(value: float) -> str:
    """Write a time, in the unit that makes it a handy number."""
    for factor, unit in ((1, "s"), (1e3, "ms"), (1e6, "us")):
        if value * factor >= 1 or not value:
            return quantity(round(value * factor, 9), unit)
    return quantity(round(value * 1e9, 9), "ns")


def bandwidth(gigabytes: float) -> str:
    """Write a bandwidth that is given in GB/s."""
    large = gigabytes >= 1000  # noqa: PLR2004 (GB in a TB)
    return quantity(gigabytes / 1000, "TB/s") if large else quantity(gigabytes, "GB/s")


def tokens(value: float) -> str:
    """Write a number of tokens."""
    return quantity(value, "tokens")
