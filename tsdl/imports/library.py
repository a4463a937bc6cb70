"""What names of other simulators are called in the standard library."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import chain, count
from pathlib import PurePath

from msgspec import Struct, field

from tsdl import ast
from tsdl.diagnostics import Sink
from tsdl.diagnostics.suggest import nearest
from tsdl.evaluate import Evaluator
from tsdl.imports.tables import WRONG
from tsdl.modules import Module
from tsdl.session import Session, library
from tsdl.source import Span

DEFAULT_LINK = "NVLink3"

# Folded names (letters and digits, `gb` as `g`) that the library spells otherwise.
_ALIASES: dict[str, dict[str, str]] = {
    "hardware": {
        "a100": "A100_80G", "a100sxm": "A100_80G", "a100sxm80g": "A100_80G",
        "a100sxm480g": "A100_80G", "a100sxm40g": "A100_40G", "v100": "V100_32G",
        "v100sxm2": "V100_32G", "h100": "H100_SXM", "h10080g": "H100_SXM", "h200sxm": "H200",
        "h200141g": "H200", "b200sxm": "B200", "b200192g": "B200", "a1024g": "A10",
        "a100pcie80g": "A100_PCIe", "a10080gpcie": "A100_PCIe", "a10080gbpcie": "A100_PCIe",
        "a100sxm440g": "A100_40G",
        "gh20096g": "GH200", "gh200480g": "GH200", "gh200141g": "GH200_144G", "b300sxm": "B300",
        "b300288g": "B300", "a6000": "RTX_A6000", "teslat4": "T4", "geforcertx3090": "RTX_3090",
        "g6aim": "GDDR6_AiM", "rtxpro6000server": "RTX_PRO_6000",
        "v100sxm232g": "V100_32G", "v100sxm216g": "V100_16G", "b300sxm6ac": "B300",
    },
    "link": {
        "nvlinkx6": "NVLink2", "nvlinkx12": "NVLink3", "nvlinkx18": "NVLink4",
        "nvlink5x18": "NVLink5", "pcie50x16": "PCIe5_x16", "pcie40x16": "PCIe4_x16",
        "infiniband": "InfiniBand_HDR", "ibhdr200": "InfiniBand_HDR", "hdr": "InfiniBand_HDR",
        "ibndr400": "InfiniBand_NDR", "ndr": "InfiniBand_NDR", "ethernet": "Ethernet_100G",
    },
    "model": {
        "llama30b": "llama_33b", "llama38b": "llama3_8b", "gpt3": "gpt3_175b",
        "llama270bgqa": "llama2_70b",
    },
}  # fmt: skip

# Words of a device's name as drivers tell it, which say nothing of what it does.
_OF_DRIVERS = {
    "nvidia", "tesla", "geforce", "amd", "instinct", "blackwell", "workstation", "server",
    "edition", "generation", "hbm3", "hbm3e", "oam",
}  # fmt: skip

# What NVLink and PCIe are on a device of the library; on others NVLink3 and PCIe4_x16.
_NVLINKS = {
    "V100_32G": "NVLink2", "V100_16G": "NVLink2", "H100_SXM": "NVLink4", "H200": "NVLink4",
    "B200": "NVLink5", "H20": "NVLink4", "GH200": "NVLink4", "GH200_144G": "NVLink4",
    "B300": "NVLink5",
}  # fmt: skip
_PCIE = {
    "V100_32G": "PCIe3_x16", "V100_16G": "PCIe3_x16", "H100_SXM": "PCIe5_x16",
    "H100_PCIe": "PCIe5_x16", "H200": "PCIe5_x16", "B200": "PCIe5_x16", "MI300X": "PCIe5_x16",
    "RTX_PRO_6000": "PCIe5_x16", "RTX_5090": "PCIe5_x16", "H20": "PCIe5_x16",
    "MI325X": "PCIe5_x16", "TPU_v4": "PCIe3_x16", "TPU_v5e": "PCIe3_x16",
    "T4": "PCIe3_x16", "GH200": "PCIe5_x16", "GH200_144G": "PCIe5_x16", "B300": "PCIe5_x16",
    "MI355X": "PCIe5_x16",
}  # fmt: skip

_RESERVED = {
    "if", "else", "and", "or", "not", "in", "for", "let", "from", "when", "by", "to", "over",
    "after", "while", "as", "every", "step",
}  # fmt: skip


@cache
def _declarations() -> list[tuple[str, str, bool]]:
    """Return kind and name of what the library declares, and whether it derives from another."""
    return [head for module in library() for head in _heads(module)]


def _heads(module: Module) -> Iterator[tuple[str, str, bool]]:
    for clause in module.clauses:
        head = clause.head.function if isinstance(clause.head, ast.Call) else clause.head
        if isinstance(head, ast.Name):
            yield clause.verb, head.id, clause.preposition("from") is not None


@cache
def _known(kind: str) -> dict[str, str]:
    """Return the names of a kind by their folded forms."""
    families = ("hardware", "model")  # of which those that derive from nothing are no real ones
    return {
        folded(name): name
        for verb, name, derived in _declarations()
        if verb == kind and (derived or kind not in families)
    }


def models() -> list[str]:
    """Return the names of the library's models with sizes, and not of the graphs they are of."""
    return sorted(name for name in _known("model").values() if longest_context(name))


def folded(name: str) -> str:
    """Return a name without what spellings differ in."""
    plain = "".join(c for c in name.lower() if c.isascii() and c.isalnum())
    return re.sub(r"(\d)gb?(?=\d|$)", r"\1g", plain)


def known(kind: str, name: str) -> str | None:
    """Return what a name is called in the library."""
    key = folded(name)
    found = _ALIASES.get(kind, {}).get(key) or _known(kind).get(key)
    if found or kind != "hardware":
        return found
    plain = " ".join(word for word in name.split() if word.lower() not in _OF_DRIVERS)
    return known(kind, plain) if plain not in ("", name) else None


def near(kind: str, name: str) -> bool:
    """Tell whether the library has a name that is the same as declared, or differs in spelling."""
    return bool(known(kind, name)) or identifier(name) in (other for _, other, _ in _declarations())


def has_experts(model: str) -> bool:
    """Tell whether a model of the library is a mixture of experts: whether it says how many."""
    return declares(model, "experts")


def declares(model: str, key: str) -> bool:
    """Tell whether a model of the library sets a size, or one that it derives from does."""
    return _set("model", model, key) is not None


def size(model: str, key: str) -> int:
    """Return a size of a model of the library; 0 where no number is set."""
    value = _set("model", model, key)
    return int(value.value) if isinstance(value, ast.Number) else 0


def longest_context(model: str) -> int | None:
    """Return the most tokens that a request to a model of the library may have."""
    return size(model, "context") or None


def own_link(hardware: str) -> str:
    """Return the link of the library between devices of a server, else that to their host."""
    value = _set("hardware", hardware, "link") or _set("hardware", hardware, "host")
    return value.id if isinstance(value, ast.Name) else "PCIe4_x16"


@cache
def capacity(hardware: str) -> int:
    """Return the whole GiB of a device of the library."""
    program, _ = Session("<import>", "").compile()
    evaluator = Evaluator(program, {}, Sink())
    memory = evaluator.block(evaluator.instance(program.prelude[hardware]), "memory", "")
    size = evaluator.get(memory, "capacity") if memory else None
    assert isinstance(size, int | float)  # each device of the library has it
    return int(size // 2**30)


def of_nvidia(hardware: str) -> bool:
    """Tell whether a device of the library is one of NVIDIA's: they have a file of their own."""
    return any(
        verb == "hardware" and name == hardware
        for module in library()
        if PurePath(module.path).name == "hardware_nvidia.tsim"
        for verb, name, _ in _heads(module)
    )


def _set(kind: str, name: str, key: str) -> ast.Expr | None:
    """Return what a declaration sets a field to, or the one that it derives from."""
    for clause in _clauses(kind, name):
        items = clause.body.items if clause.body else ()
        for field_ in (item for item in items if isinstance(item, ast.Field)):
            if isinstance(field_.target, ast.Name) and field_.target.id == key:
                return field_.value
        for base in _bases(clause):
            if (found := _set(kind, base, key)) is not None:
                return found
    return None


def _clauses(kind: str, name: str) -> list[ast.Clause]:
    """Return the declaration of a name of the library; empty where there is none."""
    return [
        clause
        for module in library()
        for clause in module.clauses
        if clause.verb == kind and isinstance(clause.head, ast.Name) and clause.head.id == name
    ]


def _bases(clause: ast.Clause) -> list[str]:
    bases = clause.preposition("from")
    return [base.id for base in (bases.objects if bases else ()) if isinstance(base, ast.Name)]


def suggestion(kind: str, name: str) -> str | None:
    """Return the name in the library that an unknown one is most like, if any is close."""
    candidates = {**_known(kind), **_ALIASES.get(kind, {})}
    near = nearest(identifier(name), candidates.values())
    if not near and (spelled := nearest(folded(name), candidates)):
        near = candidates[spelled]
    return near


def connection(name: str, hardware: str) -> str | None:
    """Return the link that a name like `PCIe` means for a device."""
    key = folded(name)
    if key == "nvlink":
        return _NVLINKS.get(hardware, DEFAULT_LINK)
    return _PCIE.get(hardware, "PCIe4_x16") if key == "pcie" else known("link", name)


def identifier(name: str, taken: Iterable[str] = ()) -> str:
    """Return a name as TSDL can declare it, unlike those that are taken."""
    stem = re.sub(r"[^A-Za-z0-9_]+", "_", name[:60]).strip("_") or "unnamed"
    stems = chain([stem], (f"{stem}_{number}" for number in count(2)))
    return next(made for made in map(_declarable, stems) if made not in taken)


def _declarable(name: str) -> str:
    """Return a name of letters, digits and underscores as one that no word of TSDL is."""
    return f"_{name}" if name[0].isdigit() or name in _RESERVED else name


# Writes a declaration out and returns its name.
Offer = Callable[[], str | None]


class Names(Struct):
    """Finds what names mean: in the library, else among what the files bring."""

    sink: Sink
    declared: dict[tuple[str, str], str] = field(default_factory=dict)
    offers: dict[tuple[str, str], Offer] = field(default_factory=dict)

    def known(self, kind: str, name: str) -> str | None:
        """Return the name of a declaration that is written out, in whatever spelling."""
        return self.declared.get((kind, folded(name)))

    def declare(self, kind: str, name: str) -> str:
        """Take up a declaration that is written out; return its name in TSDL."""
        library_names = [taken for _, taken, _ in _declarations()]
        made = identifier(name, [*self.declared.values(), *library_names])
        self.declared[kind, folded(name)] = made
        return made

    def offer(self, kind: str, name: str, write: Offer) -> None:
        """Offer a declaration that files bring, to be written where the library has none."""
        self.offers.setdefault((kind, folded(name)), write)

    def find(self, kind: str, name: str, place: Span) -> str | None:
        """Return what a name is called in TSDL; report one that nothing has."""
        found = self.known(kind, name) or known(kind, name)
        return found or self._offered(kind, name, place)

    def link(self, name: str, hardware: str, place: Span) -> str | None:
        """Return the link that a name means for a device; report one that nothing has."""
        found = self.known("link", name) or connection(name, hardware)
        return found or self._offered("link", name, place)

    def _offered(self, kind: str, name: str, place: Span) -> str | None:
        write = self.offers.get((kind, folded(name)))
        if write:
            return write()
        self.unknown(kind, name, place)
        return None

    def unknown(self, kind: str, name: str, place: Span) -> None:
        """Report a name that nothing has."""
        near = suggestion(kind, name)
        meant = f"did you mean `{near}`? " if near else ""
        help_ = f"{meant}Import a file with its numbers too, or put in a name of the library"
        self.sink.error(WRONG, f"no {kind} `{name}` is known", place, "unknown", help=(help_,))
